"""The grid cells of the detector's heads, and the decoding of their outputs into boxes and points.

A cell of stride 8, 16 or 32 predicts fifteen numbers: the logit of a face; its box's centre relative to the
cell's, and the logarithm of its sides; five points relative to the cell's centre. The unit is the stride's
typical face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRIDES = (8, 16, 32)
UNITS = (20.0, 56.0, 130.0)
"""Typical face of each stride, pixels."""
NUMBERS = 15
LARGEST = 230.0
"""Largest face that the network was trained on, pixels."""
MULTIPLE = 32


@dataclass(frozen=True)
class Grid:
    """All cells of a picture: centres (A, 2), the stride and the unit of each (A,)."""

    centers: Floats
    strides: Floats
    units: Floats

    def boxes(self, answer: NDArray[np.float32], cells: NDArray[np.intp]) -> Floats:
        """Decode the boxes (N, 4) of some cells from the outputs (15, A)."""
        said, unit = answer[1:5, cells].T.astype(np.float64), self.units[cells, None]
        middle = self.centers[cells] + said[:, :2] * unit
        half = np.exp(np.clip(said[:, 2:], -5, 5)) * unit / 2
        return np.concatenate([middle - half, middle + half], axis=1)

    def points(self, answer: NDArray[np.float32], cells: NDArray[np.intp]) -> Floats:
        """Decode the five points (N, 5, 2) of some cells from the outputs (15, A)."""
        said = answer[5:, cells].T.reshape(-1, 5, 2).astype(np.float64)
        return self.centers[cells, None] + said * self.units[cells, None, None]


@lru_cache(maxsize=64)
def grid(width: int, height: int) -> Grid:
    """Return the cells of a picture whose sides are multiples of 32, in the network's order."""
    centers, strides, units = [], [], []
    for stride, unit in zip(STRIDES, UNITS, strict=True):
        x, y = ((np.arange(side // stride) + 0.5) * stride - 0.5 for side in (width, height))
        across, down = np.meshgrid(x, y)
        centers.append(np.stack([across.ravel(), down.ravel()], axis=1))
        strides.append(np.full(across.size, float(stride)))
        units.append(np.full(across.size, unit))
    return Grid(np.concatenate(centers), np.concatenate(strides), np.concatenate(units))
