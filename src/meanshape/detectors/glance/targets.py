"""Label assignment: which cells are positive for which face, negative, or ignored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanshape.detectors.glance.grid import STRIDES, Floats, grid

RANGES = ((0.0, 40.0), (28.0, 100.0), (70.0, np.inf))
"""Face sizes that each stride is responsible for, pixels; in overlaps both strides are."""
RANGE_MARGIN = 1.7
"""Factor around its range within which a stride's cells are ignored instead of negative."""
MAX_STRIDES = 1.0
"""Radius of positive cells around a face's centre, at most, strides."""
FACE_RADIUS = 0.33
"""Radius of positive cells around a face's centre, faces."""
MIN_STRIDES = 0.55
"""Radius of positive cells around a face's centre, at least, strides."""
IGNORED_RADIUS = 0.25
"""Radius around a face's centre within which other cells are ignored, faces."""
NONE, IGNORED = -1, -2


def assign(boxes: Floats, ignored: Floats, side: int) -> NDArray[np.int64]:
    """Return for each cell (A,) of a square image its face; -1: negative, -2: ignored in the loss."""
    cells = grid(side, side)
    owner = np.full(len(cells.centers), NONE)
    x = cells.centers[:, None]
    if len(ignored):
        inside = (x >= ignored[:, :2] - 2) & (x <= ignored[:, 2:] + 2)
        owner[np.any(np.all(inside, axis=2), axis=1)] = IGNORED
    if not len(boxes):
        return owner
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    distance = np.abs(x - (boxes[:, :2] + boxes[:, 2:]) / 2).max(2)
    stride = cells.strides[:, None]
    radius = np.minimum(MAX_STRIDES * stride, np.maximum(MIN_STRIDES * stride, FACE_RADIUS * size))
    low, high = (np.array([RANGES[STRIDES.index(int(s))][i] for s in cells.strides])[:, None] for i in (0, 1))
    ignored_radius = np.maximum(radius, IGNORED_RADIUS * size)
    near_range = (size >= low / RANGE_MARGIN) & (size <= high * RANGE_MARGIN)
    owner[(near_range & (distance <= ignored_radius)).any(1)] = IGNORED
    positive = (size >= low) & (size <= high) & (distance <= radius)
    for step, (least, most) in zip(STRIDES, RANGES, strict=True):
        level = np.flatnonzero(cells.strides == step)
        faces = np.flatnonzero((size >= least) & (size <= most))
        positive[level[distance[np.ix_(level, faces)].argmin(0)], faces] = True  # the nearest cell always is
    cells_with_face = positive.any(1)
    owner[cells_with_face] = np.where(positive[cells_with_face], size, np.inf).argmin(1)
    return owner
