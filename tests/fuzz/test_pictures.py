"""Pictures that are cut off, flipped, huge on paper: an `ImageError`, or a picture; never anything else."""

import contextlib
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hostile import bounded, changed, cuts, flips, read_all
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from meanshape.core.errors import ImageError
from meanshape.core.image import image_size, read_image

RGB = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)


def made(kind, pixels=RGB, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker"
    return made("JPEG", exif=exif)


PICTURES = {
    "png": made("PNG"),
    "png-16": made("PNG", np.arange(143, dtype=np.uint16).reshape(11, 13) * 400),
    "png-palette": made("PNG", RGB[:, :, 0] // 64 * 64),
    "jpeg": made("JPEG"),
    "jpeg-progressive": made("JPEG", progressive=True),
    "jpeg-turned": turned(),
    "gif": made("GIF", RGB[:, :, 0]),
    "bmp": made("BMP"),
    "ppm": made("PPM"),
    "tiff": made("TIFF"),
    "tiff-lzw": made("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": made("TIFF", compression="jpeg"),
    "webp": made("WEBP"),
    "webp-lossless": made("WEBP", lossless=True),
    "jp2": made("JPEG2000"),
}
if ".avif" in Image.registered_extensions():
    PICTURES["avif"] = made("AVIF")


def size_too(path):
    """A reader of bytes that asks for the size of the file first, as data sets do."""

    def read(data):
        path.write_bytes(data)
        pixels = read_image(data)
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        assert image_size(path) == pixels.shape[1::-1]

    return read


@pytest.mark.parametrize("kind", PICTURES)
def test_cut_off_at_every_byte(kind, tmp_path):
    data = PICTURES[kind]
    good = read_all(size_too(tmp_path / "a"), cuts(data))
    assert good < 60, "most of what is cut off must be refused, not guessed"
    assert read_all(size_too(tmp_path / "a"), [data]) == 1


@pytest.mark.parametrize("kind", PICTURES)
def test_with_bytes_changed(kind, tmp_path):
    read_all(size_too(tmp_path / "a"), flips(PICTURES[kind], 80))


@given(st.one_of([changed(data) for data in PICTURES.values()]))
def test_put_together_at_random(data):
    read_all(read_image, [data])


@given(st.binary(max_size=300), st.sampled_from(sorted(PICTURES)))
def test_noise_behind_a_right_beginning(noise, kind):
    read_all(read_image, [noise, PICTURES[kind][:12] + noise])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows):
    """A PNG that says it is of some size, whatever is in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (100_000, 100_000), (200_000_000, 1)])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_size(width, height):
    with bounded(megabytes=64), pytest.raises(ImageError, match=r"too large|over the limit|cannot|broken"):
        read_image(png(width, height, bytes(1000)))


def test_a_bmp_of_few_bytes_that_says_it_is_huge_is_refused_at_once():
    """Found by guided.py: run lengths end early, and Pillow fills up 83 million pixels in Python."""
    data = bytearray(PICTURES["bmp"])
    data[18:26], data[30:31] = struct.pack("<ii", 16_711_687, 5), b"\1"  # width and height, run lengths
    with bounded(seconds=1), pytest.raises(ImageError, match="too few bytes"):
        read_image(bytes(data))


def test_a_text_that_unpacks_a_thousandfold_is_refused():
    """A PNG's comments may be compressed, too."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 1))
    with bounded(megabytes=300):
        data = png(2, 2, bytes(14))
        with contextlib.suppress(ImageError):
            read_image(data[:33] + bomb + data[33:])


def test_what_would_start_a_program_is_no_picture():
    """Pillow hands PostScript to Ghostscript; a photo is never PostScript."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(ImageError, match="not a picture"):
        read_image(eps)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    with bounded(), pytest.raises(ImageError, match="no file"):
        read_image(tmp_path / "pipe.jpg")
    with bounded(), pytest.raises(ImageError):
        image_size(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xd8\xff", b"RIFF", b"GIF89a", b"%PDF-1.4", b"<svg/>"])
def test_beginnings_of_other_things(data):
    with pytest.raises(ImageError):
        read_image(data)
