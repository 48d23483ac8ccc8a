"""Kinds of picture files: which are found, what opens them, and what is in the way of their pixels."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from meanshape.core import openers
from meanshape.core.errors import ImageError
from meanshape.core.image import image_size, read_image
from meanshape.core.openers import looks_like_picture

RAMP = np.add.outer(np.arange(24) * 3, np.arange(40) * 4).astype(np.uint8)[:, :, None] // [1, 2, 3]
RAMP = RAMP.astype(np.uint8)
BACK = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""What a camera does to an upright picture before it writes an orientation."""


def encoded(kind, **more):
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, kind, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_pixels_however_a_picture_lies(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(RAMP)
    if orientation in BACK:
        stored = stored.transpose(Image.Transpose(BACK[orientation]))
    path = tmp_path / "photo"
    stored.save(path, kind, exif=exif)
    pixels = read_image(path)
    assert image_size(path) == (40, 24) == pixels.shape[1::-1]
    assert np.abs(pixels.astype(int) - RAMP).mean() < 12


def test_heic_is_read_by_the_extra_and_named_without(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    path = tmp_path / "phone.heic"
    heif.from_pillow(Image.fromarray(RAMP)).save(path, quality=95)
    assert "HEIF" not in Image.OPEN, "nothing global is changed"
    for way in (path, path.read_bytes()):
        assert np.abs(read_image(way).astype(int) - RAMP).mean() < 8
    assert image_size(path) == (40, 24)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"phone\.heic: HEIC needs .*meanshape\[heif\]"):
        read_image(path)
    with pytest.raises(ImageError, match=r"meanshape\[heif\]"):
        image_size(path)


def test_an_opener_of_the_users_own_is_honoured(tmp_path, monkeypatch):
    class Own(ImageFile.ImageFile):
        format = "OWN"

        def _open(self):
            assert self.fp.read(4) == b"OWN!"
            self._size, self._mode = struct.unpack("<HH", self.fp.read(4)), "L"
            self.tile = [("raw", (0, 0, *self.size), 8, ("L", 0, 1))]

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))
    path = tmp_path / "photo.own"
    path.write_bytes(b"OWN!" + struct.pack("<HH", 3, 2) + bytes([9, 8, 7, 6, 5, 4]))
    with pytest.raises(ImageError, match="not a picture"):
        read_image(path)
    assert not looks_like_picture(path)
    Image.register_open("OWN", Own, lambda head: head.startswith(b"OWN!"))
    Image.register_extension("OWN", ".own")
    assert looks_like_picture(path)
    assert read_image(path)[:, :, 1].tolist() == [[9, 8, 7], [6, 5, 4]]
    assert image_size(path) == (3, 2)


def test_what_looks_like_a_picture_is_one_by_name_or_content(tmp_path):
    (tmp_path / "IMG_0001").write_bytes(encoded("JPEG"))
    (tmp_path / "a.jpeg_large").write_bytes(encoded("WEBP"))
    (tmp_path / "b.HEIC").write_bytes(b"broken")
    (tmp_path / "notes.md").write_text("no picture")
    (tmp_path / "raw.dng").write_bytes(encoded("TIFF"))
    found = {path.name for path in tmp_path.iterdir() if looks_like_picture(path)}
    assert found == {"IMG_0001", "a.jpeg_large", "b.HEIC"}
    assert ".dng" in openers.UNREAD and not openers.UNREAD & openers.SUFFIXES


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LARGE = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"workflow\0\0" + LARGE),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + LARGE),
        chunk(b"iCCP", b"profile\0\0" + LARGE),
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 80,
        chunk(b"tEXt", b"a\0b")[:-1] + b"?",
    ],
    ids=["zTXt", "iTXt", "iCCP", "many", "check sum"],
)
@pytest.mark.parametrize("end", [False, True], ids=["before", "after"])
def test_metadata_that_is_in_the_way_is_skipped(metadata, end, tmp_path):
    path, data = tmp_path / "big.png", encoded("PNG")
    at = len(data) - 12 if end else 33
    path.write_bytes(data[:at] + metadata + data[at:])
    assert np.array_equal(read_image(path), RAMP)
    assert np.array_equal(read_image(path.read_bytes()), RAMP)
    assert image_size(path) == (40, 24)


def test_a_turn_that_a_short_text_says_is_kept_where_a_long_one_is_skipped():
    exif = Image.Exif()
    exif[0x0112] = 6
    hexed = exif.tobytes().hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(hexed) // 2}\n{hexed}\n")
    data = encoded("PNG", pnginfo=info)
    assert read_image(data).shape == (40, 24, 3)
    assert read_image(data[:33] + chunk(b"zTXt", b"a\0\0" + LARGE) + data[33:]).shape == (40, 24, 3)
