"""Local detectors' view: gradient histograms of several sizes, on a lattice of places around a point.

A histogram has 4 x 4 cells of 8 directions; cells lie `apart` steps from each other. All sizes are cut from
one lattice of samples, so that a place costs a few slices, not a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from meanshape.methods.shared.oriented import CHANNELS, orientations, sample

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

CELLS = 4
STEP = 1.5
"""Between places, pixels."""
POOL, AROUND = 1.5, 8.0
"""Standard deviations of the orientations' smoothing and of their normalisation, pixels of the frame."""


@dataclass(frozen=True)
class Histograms:
    """Reads histograms at places x places positions around each of N points."""

    places: int
    apart: tuple[int, ...]

    @property
    def size(self) -> int:
        """D, the length of a descriptor."""
        return len(self.apart) * CELLS**2 * CHANNELS

    @property
    def width(self) -> int:
        """The number of steps that all descriptors of a point span."""
        return self.places + max(self.apart) * (CELLS - 1)

    @property
    def offsets(self) -> Float:
        """The places (S, 2) relative to the point, row by row."""
        line = (np.arange(self.places) - (self.places - 1) / 2) * STEP
        return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)

    def prepare(self, light: NDArray[np.uint8]) -> Float32:
        """Return the orientations of a grey frame."""
        return orientations(light, POOL, AROUND)

    def read(self, picture: Float32, points: Float) -> Float32:
        """Return the orientations on a lattice about each point (N, 2), as (N, W, W, 8)."""
        line = (np.arange(self.width) - (self.width - 1) / 2) * STEP
        x = np.broadcast_to(points[:, 0, None, None] + line, (len(points), self.width, self.width))
        y = np.broadcast_to((points[:, 1, None] + line)[..., None], x.shape)
        rows = (len(points) * self.width, self.width)
        return sample(picture, x.reshape(rows), y.reshape(rows)).reshape(*x.shape, CHANNELS)

    def windows(self, values: Float32) -> Float32:
        """Return the descriptors (N, S, D) at all places, of one size after the other."""
        found = [self._cut(values, apart).reshape(len(values), self.places**2, -1) for apart in self.apart]
        return np.concatenate(found, -1)

    def filtered(self, values: Float32, filters: Float32) -> Float32:
        """Return the responses (K, S) of filters (K, D): each at its own point, or all at the only one."""
        if len(values) == 1:
            return np.ascontiguousarray((self.windows(values)[0] @ filters.T).T)
        count, n = len(values), self.places
        total = np.zeros((count, n, n), np.float32)
        by_size = filters.reshape(count, len(self.apart), CELLS**2, CHANNELS).transpose(1, 0, 3, 2)
        for apart, cells in zip(self.apart, by_size, strict=True):
            inner = self._inner(values, apart)
            width = inner.shape[1]
            answers = np.reshape(inner, (count, width * width, CHANNELS)) @ cells
            answers = answers.reshape(count, width, width, -1)
            for cell in range(CELLS**2):
                y, x = (apart * i for i in divmod(cell, CELLS))
                total += answers[:, y : y + n, x : x + n, cell]
        return total.reshape(count, -1)

    def _inner(self, values: Float32, apart: int) -> Float32:
        """Return the middle of a lattice, which histograms of one size span."""
        edge = (max(self.apart) - apart) * (CELLS - 1) // 2
        return values[:, edge : values.shape[1] - edge, edge : values.shape[2] - edge]

    def _cut(self, values: Float32, apart: int) -> Float32:
        """Return the cells (N, P, P, 4, 4, 8) of one size at P x P places, without a copy."""
        inner, n = self._inner(values, apart), self.places
        a, b, c, d = inner.strides
        shape = (len(inner), n, n, CELLS, CELLS, CHANNELS)
        return as_strided(inner, shape, (a, b, c, b * apart, c * apart, d), writeable=False)
