"""DAISY descriptors (Tola, Lepetit, Fua, 2010): eight gradient-orientation maps per frame, sampled on rings.

The maps hold the positive parts of the derivatives along eight directions, smoothed to up to three levels.
They are computed once per frame; a descriptor gathers their values at fixed offsets from its point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meanshape.core.image import Pixels

Float = NDArray[np.float32]
Rings = tuple[tuple[int, float, int], ...]

DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
CHANNELS = len(DIRECTIONS)
BLURS = ((5, 1.1), (7, 1.7))
"""Kernel size and standard deviation, in cells, of the blur from each level to the next."""
STEP = 2
"""Frame pixels per cell of the maps."""
NORM_EPSILON = 1.0
"""Added to a cell's norm, grey levels: descriptors fade where there is no contrast."""


def directional_gradients(frame: Pixels) -> Pixels:
    """Return directional derivatives, uint8 (8, n, n), of a grey frame (n + 2, n + 2).

    Subtraction of bytes saturates at 0, which leaves the positive part of each.
    """
    import cv2

    side = frame.shape[0] - 2
    planes = np.empty((CHANNELS, side, side), np.uint8)
    for plane, (x, y) in zip(planes, DIRECTIONS, strict=True):
        ahead = frame[1 + y : 1 + y + side, 1 + x : 1 + x + side]
        behind = frame[1 - y : 1 - y + side, 1 - x : 1 - x + side]
        cv2.subtract(ahead, behind, dst=plane)
    return planes


def orientation_maps(frame: Pixels, levels: int) -> Float:
    """Return the maps (levels, n, n, 8) of a frame (2 n + 2, 2 n + 2)."""
    import cv2

    planes = directional_gradients(frame)
    side = planes.shape[1]
    cells = side // STEP
    small = cv2.resize(planes.reshape(-1, side), (cells, CHANNELS * cells), interpolation=cv2.INTER_AREA)
    maps = np.empty((levels, cells, cells, CHANNELS), np.float32)
    maps[0] = cv2.merge(list(np.asarray(small).reshape(CHANNELS, cells, cells)))
    for level in range(1, levels):
        kernel, deviation = BLURS[level - 1]
        cv2.GaussianBlur(maps[level - 1], (kernel, kernel), deviation, dst=maps[level])
    return maps


@dataclass(frozen=True, slots=True)
class Pattern:
    """Sampling pattern of a descriptor: rings of (smoothing level, radius in cells, number of samples)."""

    rings: Rings

    @property
    def levels(self) -> int:
        """The number of smoothing levels."""
        return 1 + max(level for level, _, _ in self.rings)

    @property
    def length(self) -> int:
        """The length of a descriptor."""
        return CHANNELS * sum(count for _, _, count in self.rings)

    @property
    def margin(self) -> int:
        """Margin of the maps around the frame, cells."""
        return 1 + round(max(radius for _, radius, _ in self.rings))

    def offsets(self, cells: int) -> NDArray[np.int64]:
        """Return the samples' flat offsets from the point in maps (levels, cells, cells)."""
        return _offsets(self.rings, cells)


@lru_cache(maxsize=64)
def _offsets(rings: Rings, cells: int) -> NDArray[np.int64]:
    places = []
    for level, radius, count in rings:
        angles = 2 * np.pi * np.arange(count) / count
        x, y = np.rint(radius * np.cos(angles)), np.rint(radius * np.sin(angles))
        places.append(level * cells * cells + y * cells + x)
    return np.concatenate(places).astype(np.int64)


def describe(maps: Float, cells: NDArray[np.int64], pattern: Pattern) -> Float:
    """Return the descriptors (K, pattern.length) of points at cells (K, 2), x and y, of the maps.

    The eight channels of each sample are divided by their norm, for invariance to lighting and contrast.
    """
    side = maps.shape[1]
    places = (cells[:, 1] * side + cells[:, 0])[:, None] + pattern.offsets(side)
    found = maps.reshape(-1, CHANNELS).take(places.ravel(), 0)
    norm = np.sqrt(np.einsum("ij,ij->i", found, found)) + np.float32(NORM_EPSILON)
    found *= (np.float32(1) / norm)[:, None]
    return np.asarray(found.reshape(len(cells), -1))
