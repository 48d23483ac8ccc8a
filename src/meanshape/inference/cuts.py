"""Is this still the same shot, and the same face? Two small pictures are compared, whatever their brightness.

A cut is told by both: the frame is another (`thumbnail`), and so is what lies in the box of the face that is
followed (`look`). A pan changes the frame and not the face; a hand before the face changes little of the
frame; a flash changes brightness, and where it burns out the picture nothing can be told.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box, Points
from meanshape.core.geometry import apply, invert
from meanshape.core.image import Pixels, warp

Grey = NDArray[np.float32]

CHANGED = 0.95
"""Correlation of a frame with the one before below which something large has changed."""
OTHER = 0.5
"""Correlation below which nothing of the frame before is left."""
SHIFT, OTHERS = 0.5, 0.3
"""Spreads by which cells of two looks differ, and the share of such cells from which the faces are two."""
LIGHT = 1.5
"""How much brighter a look must be for another light to be assumed, whose tones are not only scaled."""
AROUND = 1.5
"""Side of a look, in face boxes."""
SIDE, FACE = 24, 0.85
"""Cells of a look across, and the half axes of the ellipse that surely is face, in halves of the face box."""
CELLS = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2).astype(float)
CORNERS = CELLS[[0, SIDE - 1, -SIDE, -1]]
DARK, BURNT = 5, 250
"""Grey levels at which a cell tells nothing more."""
FEWEST, NOISE = 0.4, 3.0
"""Share of a face's cells that must tell something; grey levels that tell nothing (standard deviation)."""


def thumbnail(pixels: Pixels) -> Grey:
    """Return RGB pixels (H, W, 3) as a small grey picture, 24 cells high."""
    import cv2

    step = max(1, min(pixels.shape[:2]) // 72)
    few = np.ascontiguousarray(pixels[::step, ::step, 1])
    width = min(max(1, round(24 * few.shape[1] / few.shape[0])), 240)
    return cv2.resize(few, (width, 24), interpolation=cv2.INTER_AREA).astype(np.float32)


def look(pixels: Pixels, box: Box, roll: float = 0.0) -> Grey:
    """Return a face in RGB pixels (H, W, 3) and what is around it, upright, small and grey (24, 24).

    What lies beyond the picture is black. `roll` is the face's, in degrees, as in `Pose`.
    """
    step = max(1, round(AROUND * box.size / 72))
    width, height = AROUND * box.width / step, AROUND * box.height / step
    cos, sin = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = np.array([[cos, -sin], [sin, cos]]) * np.array([[SIDE / width], [SIDE / height]])
    matrix = np.column_stack([turn, (SIDE - 1) / 2 - turn @ box.center / step])
    seen: Grey = warp(pixels[::step, ::step, 1], matrix, (SIDE, SIDE)).astype(np.float32)
    if _beyond(apply(invert(matrix), CORNERS) * step, pixels).any():
        seen[_beyond(apply(invert(matrix), CELLS) * step, pixels).reshape(SIDE, SIDE)] = 0
    return seen


def _beyond(places: Points, pixels: Pixels) -> NDArray[np.bool_]:
    """Return which places (N, 2) lie beyond a picture."""
    last = np.array([pixels.shape[1] - 1, pixels.shape[0] - 1])
    return np.asarray(((places < 0) | (places > last)).any(axis=1))


def tells(seen: Grey) -> bool:
    """Say whether a look shows enough: not where most is dark, burnt out or beyond the picture."""
    return bool(np.count_nonzero(_told(seen, seen) & _ellipse()) >= FEWEST * np.count_nonzero(_ellipse()))


def burnt(seen: Grey) -> bool:
    """Say whether most of a look is burnt out, as by a flash."""
    return bool(np.count_nonzero(seen >= BURNT) > seen.size / 2)


def frames_alike(first: Grey, second: Grey) -> float:
    """Return how alike two thumbnails are, -1..1; 0 if they differ in shape."""
    if first.shape != second.shape:
        return 0.0
    a, b = first.ravel() - first.mean(), second.ravel() - second.mean()
    return (float(a @ b) / len(a) + NOISE**2) / math.hypot(_spread(a), NOISE) / math.hypot(_spread(b), NOISE)


def difference(first: Grey, second: Grey) -> float | None:
    """Return the share of cells in which two looks differ: of the face, or of all, whichever is less.

    None where that cannot be told.
    """
    told = _told(first, second)
    face = told & _ellipse()
    if np.count_nonzero(face) < FEWEST * np.count_nonzero(_ellipse()):
        return None
    return min(_shifted(first[cells], second[cells]) for cells in (face, told))


def _shifted(first: Grey, second: Grey) -> float:
    """Return the share of cells that differ, brightness and contrast aside."""
    if not 1 / LIGHT < float(second.mean() / first.mean()) < LIGHT:
        toned = np.empty_like(first)
        toned[np.argsort(first)] = np.sort(second)  # the same order of tones
        first = toned
    apart = np.abs(_even(first) - _even(second)) > SHIFT
    return np.count_nonzero(apart) / len(first)


def _even(cells: Grey) -> Grey:
    """Return cells in spreads from their mean, flat ones near 0."""
    centered: Grey = cells - cells.mean()
    centered /= np.float32(_spread(centered) + NOISE)
    return centered


def _spread(centered: Grey) -> float:
    """Return the standard deviation of cells whose mean is 0."""
    return math.sqrt(float(centered @ centered) / len(centered))


def _told(first: Grey, second: Grey) -> NDArray[np.bool_]:
    """Return the cells in which none of two looks is dark or burnt out."""
    return (np.minimum(first, second) > DARK) & (np.maximum(first, second) < BURNT)


@cache
def _ellipse() -> NDArray[np.bool_]:
    """Return the cells of a look that surely show the face."""
    y, x = AROUND * ((np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE * 2 - 1)
    return np.asarray(x**2 + y**2 <= FACE**2)
