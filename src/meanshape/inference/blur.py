"""Faces made unrecognisable: blurred, pixelated or filled.

Blur and pixels begin with the same few means: a grid of at most `MOST_BLOCKS` cells across the region, of
which a blur is a smooth picture. So neither keeps more of a face than these, and no deblurring brings more
back. A fill keeps nothing.

>>> import meanshape as ms                                           # doctest: +SKIP
>>> hidden = ms.blur("photo.jpg", ms.detect("photo.jpg", min_face=20))   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from meanshape.core import checks
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.prediction import Prediction
from meanshape.inference.options import Color
from meanshape.inference.regions import GROW, Region, regions

Mode = Literal["blur", "pixelate", "fill"]
BLOCKS, MOST_BLOCKS = 6, 8
"""Cells across a region, and how many at most: with more, people are recognised."""
FILL = (0, 0, 0)
FEATHER = 0.04
"""Width of a blur's soft edge, outside the region, in sides of it."""
COARSE, SOFT = 32, 8
"""Pixels of a block, and of a soft edge: wider ones are worked out on a smaller picture and enlarged, which
nobody sees, and a large face costs no minutes."""
STRIP = 256
"""Rows that are mixed at once."""


def blur(
    image: ImageLike,
    prediction: Prediction | Iterable[Face | Region],
    *,
    mode: Mode = "blur",
    region: Literal["outline", "box"] = "outline",
    grow: float = GROW,
    blocks: int = BLOCKS,
    color: Color = "rgb",
) -> Pixels:
    """Return a copy of the picture (H, W, 3) in which the faces cannot be recognised.

    Only faces that were found are hidden: `meanshape blur` looks harder for them than `detect` does.

    Parameters
    ----------
    image : a path, bytes, an open file, a PIL image or an array
    prediction : what was found in it, or its faces
    mode : "blur", "pixelate" or "fill" (black), the only one that keeps nothing
    region : "outline", the face with its forehead; or "box", all of the detector's box
    grow : how many times as large as the face what is hidden is, across
    blocks : cells across a region that a blur or pixels keep the mean of, 1 to 8
    color : the channel order of an array and of what is returned: "bgr" for OpenCV

    Raises
    ------
    ImageError : no picture
    ConfigError : a setting that is out of range
    """
    check(mode, blocks)
    faces = prediction.faces if isinstance(prediction, Prediction) else tuple(prediction)
    known = [one for one in faces if isinstance(one, Region)]
    found = regions([one for one in faces if isinstance(one, Face)], region, grow)
    hidden = hide(read_image(image, color), [*known, *found], mode, blocks)
    return hidden if color == "rgb" else np.ascontiguousarray(hidden[:, :, ::-1])


def check(mode: str, blocks: int) -> None:
    """Refuse a mode that there is not, and more blocks than hide a face."""
    if mode not in get_args(Mode):
        raise ConfigError(f"a mode is {', '.join(get_args(Mode))}, not {mode!r}")
    if checks.count(blocks, "blocks", ConfigError) > MOST_BLOCKS:
        raise ConfigError(
            f"blocks is at most {MOST_BLOCKS}, not {blocks}: with more a face may be recognised"
        )


def hide(pixels: Pixels, parts: Sequence[Region], mode: str = "blur", blocks: int = BLOCKS) -> Pixels:
    """Return a copy of pixels (H, W, 3) in which regions are hidden, one after the other."""
    canvas = pixels.copy()
    for part in parts:
        _hide_one(canvas, part, mode, blocks)
    return canvas


def _hide_one(canvas: Pixels, part: Region, mode: str, blocks: int) -> None:
    """Hide one region, in place; what lies outside the picture is left out."""
    import cv2

    height, width = canvas.shape[:2]
    box = part.box
    side = max(box.width, box.height)
    # A region of a file may be far larger than the picture; an edge that wide would only take time.
    soft = FEATHER * min(side, max(height, width)) if mode == "blur" else 0.0
    left, top = (max(0, int(np.floor(edge - 2 * soft))) for edge in (box.left, box.top))
    right = min(width, int(np.ceil(box.right + 2 * soft)) + 1)
    bottom = min(height, int(np.ceil(box.bottom + 2 * soft)) + 1)
    if left >= right or top >= bottom:
        return
    view = canvas[top:bottom, left:right]
    mask = np.zeros(view.shape[:2], np.uint8)
    # Outward to whole pixels: a corner of the face that shows by half a pixel shows.
    outline = np.rint((part.points - (left, top)) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, cv2.convexHull(outline), (255,), cv2.LINE_8, 4)
    mask = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
    if mode == "fill":
        view[mask > 0] = FILL
        return
    hidden = _coarse(view, side / blocks, smooth=mode == "blur")
    if soft < 1:
        view[mask > 0] = hidden[mask > 0]
        return
    share = _feathered(mask, soft)
    for start in range(0, len(view), STRIP):
        rows = slice(start, start + STRIP)
        part_share = share[rows, :, None].astype(np.float32) / 255
        view[rows] = np.rint(view[rows] + (hidden[rows].astype(np.float32) - view[rows]) * part_share)


def _coarse(view: Pixels, block: float, smooth: bool) -> Pixels:
    """Return pixels with nothing in them but the means of blocks of at least this side."""
    import cv2

    height, width = view.shape[:2]
    few = max(1, int(width / block)), max(1, int(height / block))
    means = cv2.resize(view, few, interpolation=cv2.INTER_AREA)
    if smooth and few != (1, 1):
        fold = max(1, int(block / COARSE))
        small = max(few[0], width // fold), max(few[1], height // fold)
        means = cv2.resize(means, small, interpolation=cv2.INTER_LINEAR)
        means = cv2.GaussianBlur(means, (0, 0), max(0.3, 0.35 * block / fold))
    how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    out = cv2.resize(means, (width, height), interpolation=how)
    return np.asarray(out, np.uint8).reshape(view.shape)


def _feathered(mask: NDArray[np.uint8], soft: float) -> NDArray[np.uint8]:
    """Return shares (H, W) of 255: all of it in the region, falling to 0 outside it, never inside."""
    import cv2

    height, width = mask.shape
    fold = max(1, int(soft / SOFT))
    size = max(1, width // fold), max(1, height // fold)
    there = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA)) > 0
    reach = max(1, round(soft / fold))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wider = cv2.dilate(np.where(there, 255, 0).astype(np.uint8), around)
    edge = cv2.GaussianBlur(wider, (0, 0), soft / fold / 2)
    wide = np.asarray(cv2.resize(edge, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.maximum(mask, wide)


__all__ = ["BLOCKS", "MOST_BLOCKS", "Mode", "blur", "check", "hide"]
