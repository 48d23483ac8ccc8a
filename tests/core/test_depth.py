"""Values of more than eight bits: one rule for files and arrays."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from meanshape.core.errors import ImageError, MeanshapeWarning
from meanshape.core.image import read_image

GREY = np.linspace(0, 255, 24 * 40).reshape(24, 40).astype(np.uint8)
FULL = GREY.astype(np.uint16) * 257
TWELVE = (GREY.astype(np.uint32) * 4095 // 255).astype(np.uint16)


def encoded(array, kind="PNG", **more):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **more)
    return buffer.getvalue()


def with_bits(png, *bits):
    """A PNG that says how many bits count."""
    data = b"sBIT" + bytes(bits)
    return png[:33] + struct.pack(">I", len(bits)) + data + struct.pack(">I", zlib.crc32(data)) + png[33:]


def colour_png(values):
    """A PNG of 16-bit RGB (H, W, 3), which Pillow does not write."""
    height, width = values.shape[:2]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_the_same_in_files_and_arrays_in_either_byte_order(order):
    for way in (
        FULL.astype(order),
        encoded(FULL),
        encoded(FULL, "TIFF"),
        np.stack([FULL] * 3, 2).astype(order),
    ):
        assert np.array_equal(read_image(way)[:, :, 0], GREY)
    big = b"MM\0*" + struct.pack(">I", 8 + FULL.nbytes) + FULL.astype(">u2").tobytes()
    tags = ((256, 3, 40), (257, 3, 24), (258, 3, 16), (259, 3, 1), (262, 3, 1), (277, 3, 1), (278, 3, 24))
    entries = [struct.pack(">HHIHH", tag, kind, 1, value, 0) for tag, kind, value in tags]
    entries += [struct.pack(">HHII", 273, 4, 1, 8), struct.pack(">HHII", 279, 4, 1, FULL.nbytes)]
    entries = sorted(entries)
    big += struct.pack(">H", len(entries)) + b"".join(entries) + struct.pack(">I", 0)
    assert np.array_equal(read_image(big)[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["array", "png", "tiff", "ppm"])
def test_few_bits_are_warned_of_where_nothing_says_how_many(kind):
    way = {
        "array": TWELVE,
        "png": encoded(TWELVE),
        "tiff": encoded(TWELVE, "TIFF"),
        "ppm": b"P5 40 24 65535\n" + TWELVE.astype(">u2").tobytes(),
    }[kind]
    with pytest.warns(MeanshapeWarning, match=r"16-bit values reach 4,095 of 65,535.*12 bits.*by 16"):
        pixels = read_image(way)
    assert np.array_equal(pixels[:, :, 0], (TWELVE + 128) // 257)


def test_few_bits_are_stretched_where_the_file_says_how_many():
    assert np.array_equal(read_image(with_bits(encoded(TWELVE), 12))[:, :, 0], GREY)
    full = read_image(with_bits(encoded(FULL), 12))  # as the standard wants it: scaled up already
    assert np.array_equal(full[:, :, 0], GREY)
    most = encoded(TWELVE, "TIFF", tiffinfo={281: 4095})
    assert np.array_equal(read_image(most)[:, :, 0], GREY)
    assert np.array_equal(read_image(b"P5 40 24 4095\n" + TWELVE.astype(">u2").tobytes())[:, :, 0], GREY)


def test_colour_of_sixteen_bits_goes_by_the_same_rule():
    colour = np.stack([TWELVE, TWELVE // 2, TWELVE // 4], 2)
    with pytest.warns(MeanshapeWarning, match="12 bits"):
        assert read_image(colour_png(colour)).max() == 15
    told = read_image(with_bits(colour_png(colour), 12, 12, 12))
    assert np.abs(told[:, :, 0].astype(int) - GREY).max() <= 17  # Pillow keeps the upper byte only
    assert np.array_equal(read_image(colour_png(np.stack([FULL] * 3, 2)))[:, :, 1], GREY)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint32, np.int64, ">i4"])
def test_wider_integers_hold_bytes_or_fill_sixteen_bits(kind):
    assert np.array_equal(read_image(GREY.astype(kind))[:, :, 0], GREY)
    if np.dtype(kind).itemsize > 2:
        assert np.array_equal(read_image(FULL.astype(kind))[:, :, 0], GREY)
    with pytest.raises(ImageError, match=r"must lie in 0\.\.255"):
        read_image(TWELVE.astype(kind))


def test_a_tiff_of_32_bits_goes_by_the_same_rule(tmp_path):
    path = tmp_path / "deep.tif"
    for values in (GREY, FULL):
        Image.fromarray(values.astype(np.int32)).save(path)
        assert np.array_equal(read_image(path)[:, :, 0], GREY)
    Image.fromarray(TWELVE.astype(np.int32)).save(path)
    with pytest.raises(ImageError, match=r"deep\.tif: values of int32 must lie in 0\.\.255"):
        read_image(path)
    Image.fromarray(GREY.astype(np.float32)).save(path)
    with pytest.raises(ImageError, match=r"deep\.tif: floats must lie in 0\.\.1, not 0\.\.255"):
        read_image(path)
