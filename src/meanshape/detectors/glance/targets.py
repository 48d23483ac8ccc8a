"""Which cells must answer for which face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanshape.detectors.glance.grid import STRIDES, Floats, grid

RANGES = ((0.0, 40.0), (28.0, 100.0), (70.0, np.inf))
"""Sizes of the faces that each stride answers for; where two overlap, both do."""
SOFT = 1.7
"""Times its range at which a stride may answer, but need not."""
NEAR, WIDE, LEAST = 1.0, 0.33, 0.55
"""How far from a face's centre cells answer: at most so many strides, so many faces, at least so many
strides.
"""
RING = 0.25
"""Faces from the centre within which other cells may answer."""
NONE, IGNORED = -1, -2


def assign(boxes: Floats, ignored: Floats, side: int) -> NDArray[np.int64]:
    """Return for each cell of a square picture the face it answers for, -1: none, -2: whatever it likes."""
    cells = grid(side, side)
    owner = np.full(len(cells.centers), NONE)
    x = cells.centers[:, None]
    if len(ignored):
        inside = (x >= ignored[:, :2] - 2) & (x <= ignored[:, 2:] + 2)
        owner[np.any(np.all(inside, axis=2), axis=1)] = IGNORED
    if not len(boxes):
        return owner
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    away = np.abs(x - (boxes[:, :2] + boxes[:, 2:]) / 2).max(2)
    stride = cells.strides[:, None]
    reach = np.minimum(NEAR * stride, np.maximum(LEAST * stride, WIDE * size))
    low, high = (np.array([RANGES[STRIDES.index(int(s))][i] for s in cells.strides])[:, None] for i in (0, 1))
    may = (size >= low / SOFT) & (size <= high * SOFT) & (away <= np.maximum(reach, RING * size))
    owner[may.any(1)] = IGNORED
    must = (size >= low) & (size <= high) & (away <= reach)
    for step, (least, most) in zip(STRIDES, RANGES, strict=True):
        level = np.flatnonzero(cells.strides == step)
        faces = np.flatnonzero((size >= least) & (size <= most))
        must[level[away[np.ix_(level, faces)].argmin(0)], faces] = True  # the nearest cell always does
    answers = must.any(1)
    owner[answers] = np.where(must[answers], size, np.inf).argmin(1)
    return owner
