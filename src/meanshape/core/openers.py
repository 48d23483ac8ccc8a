"""Which picture files there are, and what opens them.

Pillow reads the kinds in `USUAL` and `OTHERS`; pillow-heif (extra `heif`) those of phones; an opener that the
user registered with Pillow (`Image.register_open`) whatever it is for. Nothing here decodes pixels.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from meanshape.core.errors import ImageError, MissingExtra
from meanshape.core.regular import open_regular, read_whole

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = TypeVar("Answer")

USUAL = ("JPEG", "PNG", "BMP", "GIF", "PPM")
OTHERS = ("WEBP", "TIFF", "JPEG2000", "AVIF", "DIB", "ICO", "QOI", "SGI", "SUN", "PCX", "TGA")
"""What is read. Pillow knows more, hardly ever used, and gives PostScript to a program of its own."""

SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("apng", "avif", "avifs", "bmp", "dib", "gif", "heic", "heics", "heif", "heifs", "hif", "ico"),
        *("j2c", "j2k", "jfif", "jp2", "jpc", "jpe", "jpeg", "jpf", "jpg", "jpx", "mpo", "pbm", "pcx", "pgm"),
        *("png", "pnm", "ppm", "qoi", "ras", "sgi", "tga", "tif", "tiff", "webp"),
    )
)
"""What names of pictures end in, in lower case."""

UNREAD = frozenset(
    f".{kind}"
    for kind in (
        *("3fr", "arw", "cr2", "cr3", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mrw", "nef", "nrw", "orf"),
        *("pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
        *("dds", "eps", "exr", "hdr", "icns", "jxl", "jxr", "pfm", "psb", "psd", "svg", "wmf", "xcf"),
    )
)
"""Pictures that only an opener of the user's own reads: cameras' raw files first, then others."""

_LABELS = frozenset((".pts", ".txt", ".csv", ".json", ".jsonl", ".xml", ".ljson", ".toml", ".asf", ".mat"))
"""What often lies beside photos by the thousand; nobody needs to look into it."""
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_HEIF = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"))
_PNG = _BEGINNINGS[1]
_METADATA = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))

READS = 200_000
"""How often a file may be read before its picture's size is known: some readers take a byte at a time."""

_quiet = threading.Lock()


class _Beginning:
    """A picture's file while its size is looked for: so many reads and no more, nor more bytes at once.

    Pillow looks for the next part of a JPEG or a GIF byte by byte, which takes minutes where there is none.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, READS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int | None = -1) -> bytes:
        """Read, as from the file."""
        self._left -= 1
        if self._left < 0:
            raise OSError("nothing in its beginning says where the pixels are")
        if size is None or size < 0:
            return read_whole(self._file)
        data: bytes = self._file.read(size)
        return data


def looks_like_picture(path: Path) -> bool:
    """Tell whether a file may be a picture: by its name's end, else by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in _registered_suffixes():
        return True
    return suffix not in UNREAD | _LABELS and _begins_like_one(path)


def open_picture(file: Any) -> Image:
    """Open a picture file; nothing is decoded yet.

    Pillow warns of large pictures at half our limit; that is kept quiet.
    """
    from PIL import Image, UnidentifiedImageError

    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file, formats=USUAL)
        except UnidentifiedImageError:
            Image.init()
        try:
            return Image.open(
                file, formats=[*(name for name in OTHERS if name in Image.OPEN), *_registered()]
            )
        except UnidentifiedImageError:
            if not _is_heif(file):
                raise
    return _open_heif(file)


def without_metadata(file: Any, read: Callable[[Any], Answer]) -> Answer:
    """Return what `read` makes of an open file; a PNG that fails is tried again without texts and profile.

    Pillow refuses a PNG whose comments unpack to more than a megabyte; we need none of them.
    """
    try:
        return read(file)
    except ImageError:
        file.seek(0)
        if file.read(len(_PNG)) != _PNG:
            raise
        try:
            plain = _pixels_only(read_whole(file))
        except OSError:  # too long
            plain = None
        if plain is None:
            raise
    return read(io.BytesIO(plain))


def sparing(file: Any) -> Any:
    """Return a file to learn a picture's size from, which gives up where that takes too long."""
    return _Beginning(file)


def upright_size(image: Image, turned: bool) -> tuple[int, int]:
    """Return (width, height) as shown; `turned`: EXIF lays the picture on its side.

    Newer versions of Pillow answer that of a TIFF turned already, older ones do not: its tags say it.
    """
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(256, image.size[0]), tags.get(257, image.size[1])
    return (height, width) if turned else (width, height)


def _registered() -> list[str]:
    """Return the formats that somebody else than Pillow opens."""
    from PIL import Image

    return [
        name
        for name, (factory, _) in Image.OPEN.items()
        if not getattr(factory, "__module__", "").startswith("PIL.")
    ]


def _registered_suffixes() -> frozenset[str]:
    from PIL import Image

    own = _registered()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in own)


def _begins_like_one(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            head = file.read(12)
    except OSError:
        return False
    return (
        head.startswith(_BEGINNINGS)
        or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:] in _HEIF | {b"avif", b"avis"})
    )


def _is_heif(file: Any) -> bool:
    file.seek(0)
    head = file.read(12)
    return bool(head[4:8] == b"ftyp" and head[8:] in _HEIF)


def _open_heif(file: Any) -> Image:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtra.of("heif", "HEIC") from None
    file.seek(0)
    heif: Any = pillow_heif
    opened: Image = heif.HeifImageFile(file)
    return opened


def _pixels_only(chunks: bytes) -> bytes | None:
    """Return a PNG of its chunks but for texts and colour profile; None if it has none of them.

    The short text in which some programs keep EXIF stays: it may turn the picture.
    """
    kept, at, dropped = [_PNG], 0, False
    while at < len(chunks):
        end = at + 12 + int.from_bytes(chunks[at : at + 4], "big")
        kind, start = chunks[at + 4 : at + 8], chunks[at + 8 : at + 29]
        if kind in _METADATA and not (start.startswith(b"Raw profile type exif") and end - at < 65536):
            dropped = True
        else:
            kept.append(chunks[at:end])
        at = end
    return b"".join(kept) if dropped else None


__all__ = [
    "READS",
    "SUFFIXES",
    "UNREAD",
    "looks_like_picture",
    "open_picture",
    "sparing",
    "upright_size",
    "without_metadata",
]
