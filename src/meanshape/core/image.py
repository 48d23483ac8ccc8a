"""Pictures in and out: whatever comes becomes uint8 RGB (H, W, 3), upright.

What each kind of picture becomes:

- EXIF orientation is applied; animated pictures give their first frame; colour profiles are ignored;
- grey becomes three equal channels; transparency is composited on white; CMYK is converted;
- values of other than 8 bits are scaled by the rules of `core.depth`: 16-bit ones are divided by 257, floats
  must lie in 0..1.

`core.openers` has the kinds of files.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import stat
from collections.abc import Iterator
from mimetypes import guess_type
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import checks, depth
from meanshape.core.box import Box
from meanshape.core.errors import ImageError, MissingExtra, writing
from meanshape.core.files import replacing
from meanshape.core.geometry import Matrix, crop_matrix, invert
from meanshape.core.openers import open_picture, sparing, upright_size, without_metadata
from meanshape.core.reflection import looked_up

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
ImageLike = str | os.PathLike[str] | bytes | NDArray[Any] | Any

MAX_PIXELS = 178_956_970
TOO_LARGE = f"too large, more than {MAX_PIXELS:,} pixels; make it smaller"
"""Files with more pixels are refused: half a gigabyte once decoded, and where Pillow stops."""

BMP_PIXELS_PER_BYTE = 128
"""More than run lengths can hold. Pillow fills up what is missing in Python, for seconds."""

STRIP = 2**17
"""Pixels that are composited at once."""

_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Pillow's transposition that undoes an EXIF orientation."""


def read_image(
    image: ImageLike, color: Literal["rgb", "bgr"] = "rgb", max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Return any picture as uint8 RGB (H, W, 3), upright and contiguous.

    Parameters
    ----------
    image : a path, the bytes of a file, a file that is open for reading bytes, a PIL image, or an array or
        tensor (H, W), (H, W, 1), (H, W, 2: grey and alpha), (H, W, 3) or (H, W, 4: colour and alpha), or as
        torch has them: (1, H, W), (3, H, W), (4, H, W), where W is more than 4. A uint8 RGB array comes back
        as it is, uncopied.
    color : the channel order of an *array* ("bgr" for OpenCV's)
    max_pixels : refuse larger files, before they are decoded
    """
    check_color(color, ImageError)
    if isinstance(image, (str, os.PathLike)):
        try:
            return _read_file(Path(image), max_pixels)
        except MemoryError:
            raise ImageError(f"{image}: takes more memory than there is") from None
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(image), "the bytes given", max_pixels)
    if hasattr(image, "getexif"):
        return _from_pil(cast("Image", image), "the PIL image given")
    if hasattr(image, "read") and not hasattr(image, "__array__"):
        return decode(io.BytesIO(_bytes_of(image)), "the file given", max_pixels)
    if image is None or not (hasattr(image, "__array__") or isinstance(image, (list, tuple))):
        raise ImageError(
            f"an image is a path, bytes, a file, a PIL image or an array, not {type(image).__name__}"
        )
    return _from_array(checks.array(image, ImageError, "an array (H, W, 3)"), color)


def check_color(color: object, error: type[ValueError]) -> None:
    """Refuse what is no channel order."""
    if color not in ("rgb", "bgr"):
        raise error(f"color must be 'rgb' or 'bgr', not {color!r}")


def _bytes_of(file: Any) -> bytes:
    """Return what is left to read in an open file."""
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(f"the file given cannot be read ({error})") from error
    if not isinstance(data, bytes):
        raise ImageError(f"the file given yields {type(data).__name__}, not bytes: open it with 'rb'")
    if not data:
        raise ImageError("the file given has nothing left to read: go back to its start, by seek(0)")
    return data


def image_size(image: str | os.PathLike[str] | bytes) -> tuple[int, int]:
    """Return (width, height) of a picture file or of its bytes, upright, without decoding it."""
    if isinstance(image, bytes):
        return size_of(io.BytesIO(image), "the bytes given")
    _check_file(Path(image))
    with _readable(Path(image)) as file:
        return size_of(file, str(image))


def size_of(file: Any, where: str) -> tuple[int, int]:
    """Return (width, height) of the picture in an open file; `where` is what a message calls it."""

    def measure(again: Any) -> tuple[int, int]:
        with _opened(sparing(again), where) as opened:
            return upright_size(opened, turned=_orientation(opened) in (5, 6, 7, 8))

    _check_content(file, where)
    return without_metadata(file, measure)


def write_image(path: str | os.PathLike[str], rgb: ArrayLike, quality: int = 95) -> None:
    """Write uint8 RGB pixels; the suffix says the format. The file appears whole or not at all."""
    data = encode(path, rgb, quality)
    with writing(path), replacing(Path(path)) as file:
        file.write(data)


def encode(name: str | os.PathLike[str], rgb: ArrayLike, quality: int = 95) -> bytes:
    """Return uint8 RGB pixels as a picture file of this name, whose suffix says the format."""
    from PIL import Image

    suffix = Path(name).suffix
    Image.init()
    kind = Image.EXTENSION.get(suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise ImageError(f"{name}: no picture format has the suffix {suffix!r}; .png and .jpg do")
    image, file = Image.fromarray(read_image(np.asarray(rgb))), io.BytesIO()
    with writing(name):  # a format may take no picture as large as this
        image.save(file, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return file.getvalue()


def warp(image: NDArray[Any], matrix: ArrayLike, size: tuple[int, int]) -> NDArray[Any]:
    """Return the picture mapped by `matrix` (2, 3), picture to output, of `size` (width, height).

    Where the map reduces, the part it needs is first halved (2 x 2 means) down to a factor of less than 1.8,
    and then smoothed if more than 1.1 is left, so that nothing aliases. Outside the picture its
    reflection goes on.
    """
    import cv2

    rows = invert(
        matrix
    ).tolist()  # numbers from here on: a crop waits for this, and arrays this small are slow
    part = _part(image, rows, size)
    step_x, step_y = (math.hypot(row[0], row[1]) for row in rows)  # source pixels per output pixel
    while max(step_x, step_y) >= 1.8 and min(part.shape[:2]) > 1:
        x, y = 1 + (step_x >= 1.6), 1 + (step_y >= 1.6)  # both at once where the box is nearly square: faster
        part, step_x, step_y = _shrink(part, x, y), step_x / x, step_y / y
        rows = [[a / by, b / by, (c + 0.5) / by - 0.5] for (a, b, c), by in zip(rows, (x, y), strict=True)]
    if max(step_x, step_y) > 1.1:
        sigma_x, sigma_y = (0.5 * math.sqrt(min(max(s * s - 1, 1e-4), 3.0)) for s in (step_x, step_y))
        part = cv2.GaussianBlur(part, (3, 3), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT)
    return looked_up(part, np.array(rows), size)


def crop(image: NDArray[Any], box: Box, size: int | tuple[int, int]) -> tuple[NDArray[Any], Matrix]:
    """Return the box's part of a picture, resized to `size` (width, height), and the map there."""
    matrix = crop_matrix(box, size)
    return warp(image, matrix, (size, size) if isinstance(size, int) else size), matrix


def _part(image: NDArray[Any], rows: list[list[float]], size: tuple[int, int]) -> NDArray[Any]:
    """Return the part of the picture that a warp needs; the map from output to picture, by rows, becomes
    the map to the part.

    A view: halving a large photo for one small face would waste most of the time. Where the output looks
    beyond the picture, the part reaches as far inside, for the reflection.
    """
    keep = []
    for row, length in zip(rows, (image.shape[1], image.shape[0]), strict=True):
        a, b, shift = row
        middle = a * (size[0] - 1) / 2 + b * (size[1] - 1) / 2 + shift
        reach = (abs(a) * size[0] + abs(b) * size[1]) / 2 + 4 * (abs(a) + abs(b)) + 2
        low, high = middle - reach, middle + reach
        first = int(min(max(min(low, 2 * length - high), 0), length - 1))
        last = int(min(max(high, -low) + 2, length))
        first -= (last - first) % 2 if first else 0  # an even part is halved without a copy
        keep.append(slice(first, last))
        row[2] -= first
    return image[keep[1], keep[0]]


def _shrink(image: NDArray[Any], x: int, y: int) -> NDArray[Any]:
    """Return the means of blocks of x by y pixels; an odd last one is filled up by reflection."""
    import cv2

    height, width = image.shape[:2]
    if width % x or height % y:
        image = cv2.copyMakeBorder(image, 0, -height % y, 0, -width % x, cv2.BORDER_REFLECT)
    return cv2.resize(image, (-(-width // x), -(-height // y)), interpolation=cv2.INTER_AREA)


def _read_file(path: Path, max_pixels: int) -> Pixels:
    """Return the picture in a file."""
    _check_file(path)
    with _readable(path) as file:
        return decode(file, str(path), max_pixels)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    """Open a file; what the operating system says against it is an `ImageError`."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check_file(path: Path) -> None:
    """Refuse what is no file: a pipe or a device could make its reader wait for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ImageError(_absent(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(mode):
        raise ImageError(f"{path}: a folder, not a picture")
    if not stat.S_ISREG(mode):
        raise ImageError(f"{path}: a pipe or a device, no file")


def _absent(path: Path) -> str:
    """Return what to say of a file that is not there; a path has made one slash of an address's two."""
    if re.match(r"(https?|ftp):", str(path)):
        return f"{path}: an address, not a file; download it first"
    return f"{path}: there is no such file"


def decode(file: Any, where: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return the picture (H, W, 3) in an open file; `where` is what a message calls it."""
    _check_content(file, where)
    return without_metadata(file, lambda again: _decode_once(again, where, max_pixels))


def _check_content(file: Any, where: str) -> None:
    if not file.read(1):
        raise ImageError(f"{where}: empty (0 bytes)")
    file.seek(0)


def _decode_once(file: Any, where: str, max_pixels: int) -> Pixels:
    with _opened(file, where) as opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise ImageError(
                f"{where}: {width} x {height} pixels are over the limit of {max_pixels:,}; make it smaller"
            )
        if opened.format in ("BMP", "DIB") and width * height > BMP_PIXELS_PER_BYTE * file.seek(
            0, os.SEEK_END
        ):
            raise ImageError(f"{where}: broken or truncated (too few bytes for {width} x {height} pixels)")
        return _from_pil(opened, where, file)


def _opened(file: Any, where: str) -> Image:
    """Open a picture; what is none is an `ImageError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        return open_picture(file)
    except UnidentifiedImageError:
        if (guess_type(where)[0] or "").startswith("video/"):
            raise ImageError(f"{where}: a video, not a picture; meanshape video takes it") from None
        raise ImageError(f"{where}: not a picture (no format Pillow knows)") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where}: {TOO_LARGE}") from error
    except MissingExtra as error:
        raise ImageError(f"{where}: {error}") from None
    except Exception as error:  # Pillow raises what it likes
        raise ImageError(f"{where}: not a picture that can be read ({error})") from error


def _orientation(image: Image) -> int:
    """Return what EXIF says, 1 to 8; broken EXIF says nothing about the pixels."""
    from PIL import Image

    with contextlib.suppress(Exception):  # Pillow raises what it likes
        # Not image.getexif(): that of a PNG decodes the picture, to look behind the pixels.
        return int(Image.Image.getexif(image).get(0x0112, 1))
    return 1


def _from_pil(image: Image, where: str, file: Any = None) -> Pixels:
    """Return a PIL image's pixels, upright; `file` is what it was opened from."""
    from PIL import Image

    deep, white = depth.is_deep_colour(image), depth.white_of(image, file or getattr(image, "fp", None))
    try:
        image.load()
        turn = _TURNS.get(_orientation(image))
        values = _values(image if turn is None else image.transpose(Image.Transpose(turn)))
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where}: {TOO_LARGE}") from error
    except MemoryError:
        raise ImageError(f"{where}: too large for the memory that there is") from None
    except Exception as error:  # Pillow raises what it likes
        raise ImageError(f"{where}: broken or truncated ({error})") from error
    if 0 in values.shape:
        raise ImageError(f"{where}: it has no pixels {image.size}")
    if deep:
        values = depth.deep_colour(values, where, white)
    return _from_array(values, "rgb", where, white)


def _values(image: Image) -> NDArray[Any]:
    """Return the values of a PIL image, as they lie: grey, RGB or RGBA."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return values.astype(np.uint16) if image.format in depth.SIXTEEN else values
    if image.mode == "F":
        return np.asarray(image)
    if "A" in image.getbands() or "transparency" in image.info:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_array(
    array: NDArray[Any], color: str, where: str = "the array given", white: int | None = None
) -> Pixels:
    """Return an array's pixels; `white` is the greatest 16-bit value, if its file says one."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 2, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        how = ": several pictures; give one, or take Pipeline.batch" if array.ndim == 4 else ""
        raise ImageError(f"an image array is (H, W), or (H, W, 1 to 4), not {array.shape}{how}")
    pixels = depth.to_bytes(array, where, white)
    channels = pixels.shape[2]
    if color == "bgr" and channels > 2:
        pixels = pixels[:, :, [2, 1, 0, 3][:channels]]
    if channels < 3:
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    return _on_white(pixels) if channels in (2, 4) else np.ascontiguousarray(pixels)


def _on_white(rgba: Pixels) -> Pixels:
    """Return (H, W, 4) composited on white, a few rows at a time: sixteen bits take room."""
    blended = np.empty((*rgba.shape[:2], 3), np.uint8)
    rows = max(1, STRIP // rgba.shape[1])
    for first in range(0, len(rgba), rows):
        part = rgba[first : first + rows]
        alpha = part[:, :, 3:].astype(np.uint16)
        blended[first : first + rows] = (part[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return blended
