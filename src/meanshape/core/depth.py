"""How many bits a picture's values have, and how they become eight. One rule for files and arrays:

- booleans are 0 or 255; floats lie in 0..1 and are multiplied by 255;
- 16-bit values, in either byte order, are divided by 257;
- where a file says that it uses fewer of its 16 bits (PNG's sBIT, TIFF's BitsPerSample and MaxSampleValue)
  and its values fit into so few, these are the range instead;
- where nothing says so and the values stay within a quarter of the range, a warning does;
- other integers are 8-bit values if none exceeds 255, 16-bit values if they fill more than a quarter of that
  range, else an error: nobody can tell what they are.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ImageError, MeanshapeWarning

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]

FULL = 65535
SIXTEEN = ("PNG", "PPM", "JPEG2000")
"""Files whose integers have 16 bits, also where Pillow keeps them in 32."""
FEW = FULL // 4
"""16-bit values that stay within are worth a warning: they have 14 bits, or the picture is very dark."""


def to_bytes(array: NDArray[Any], where: str, white: int | None = None) -> Pixels:
    """Return values (H, W, C) as uint8 by the rules on top of this page.

    `where` is what messages call the picture; `white` the greatest 16-bit value, if its file says one.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return np.where(array, 255, 0).astype(np.uint8)
    if kind not in "iuf":
        raise ImageError(f"{where}: an image holds numbers, not {array.dtype}")
    low, high = array.min(), array.max()
    if kind == "f":
        if not (low >= 0 and high <= 1):
            raise ImageError(f"{where}: floats must lie in 0..1, not {low:g}..{high:g}; or give it as uint8")
        return np.asarray(np.rint(array * 255), np.uint8)
    if (kind, size) == ("u", 2) or (low >= 0 and FEW < high <= FULL):
        return _from_sixteen(array, where, white)
    if low < 0 or high > 255:
        raise ImageError(
            f"{where}: values of {array.dtype} must lie in 0..255, or be 16-bit ones that fill their range, "
            f"not {low}..{high}; give them as uint8 or uint16"
        )
    return array.astype(np.uint8)


def white_of(image: Image, file: Any) -> int | None:
    """Return the greatest value that a file of 16-bit values says it has; None where it says nothing.

    `image` is open but not decoded, `file` what it was opened from.
    """
    with contextlib.suppress(Exception):  # tags are what the file makes of them
        if image.format == "PNG":
            return _of_bits(_png_bits(file))
        if image.format == "TIFF":
            tags: Any = image.tag_v2  # type: ignore[attr-defined]
            most, bits = (np.max(tags.get(tag, 0)) for tag in (281, 258))
            return int(most) if 255 < most < FULL else _of_bits(int(bits))
    return None


def is_deep_colour(image: Image) -> bool:
    """Tell whether a file that is open but not decoded has 16 bits a colour, of which Pillow keeps 8."""
    return not image.mode.startswith("I") and ";16" in str(getattr(image, "tile", ""))


def deep_colour(pixels: Pixels, where: str, white: int | None) -> Pixels:
    """Return 16-bit colour of a file, of which Pillow has kept the upper 8 bits, by the same rules."""
    colours = pixels[:, :, :3]
    high = int(colours.max())
    if not 0 < high <= FEW >> 8:
        return pixels
    if white is None or high > white >> 8:
        _warn_of((high << 8) + 255, where)
        return pixels
    stretched = np.minimum(colours.astype(np.uint16) * 255 // (white >> 8), 255).astype(np.uint8)
    return np.concatenate([stretched, pixels[:, :, 3:]], axis=2)


def _from_sixteen(array: NDArray[Any], where: str, white: int | None) -> Pixels:
    """Return 16-bit values as uint8; alpha, which fills its range or is absent, says nothing of colours."""
    channels = array.shape[2]
    high = int(array[:, :, : channels - (channels in (2, 4))].max())
    if white is not None and high <= white:
        return np.asarray((np.minimum(array, white).astype(np.uint32) * 510 + white) // (2 * white), np.uint8)
    if 0 < high <= FEW:
        _warn_of(high, where)
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _warn_of(high: int, where: str) -> None:
    bits = max(high.bit_length(), 8)
    said = f"{where}: its 16-bit values reach {high:,} of {FULL:,}, which is dark"
    warnings.warn(
        f"{said}; if they have {bits} bits, multiply them by {(FULL / ((1 << bits) - 1)):.4g}",
        MeanshapeWarning,
        stacklevel=2,
    )


def _of_bits(bits: int) -> int | None:
    return (1 << bits) - 1 if 8 < bits < 16 else None


def _png_bits(file: Any) -> int:
    """Return how many bits a PNG's sBIT chunk calls significant; 16 without one."""
    before = file.tell()
    file.seek(8)
    bits = 16
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"sBIT":
            bits = max(file.read(size), default=16)
            break
        file.seek(size + 4, 1)
    file.seek(before)  # Pillow reads on from there
    return bits
