"""Gradient-orientation descriptors that are gathered, not computed: eight channel maps of a frame, at three
degrees of smoothness, made once; a point's descriptor is then what lies at fixed places around it.

The eight maps hold the positive parts of the differences along eight directions (DAISY: Tola, Lepetit, Fua,
2010; histograms of gradients with soft bins). In bytes a difference of two shifted pictures that
saturates at 0 *is* the positive part.
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
"""Kernel and deviation, in cells, of what makes each level from the one before."""
STEP = 2
"""Frame pixels per cell of the maps."""
SOFT = 1.0
"""Added to a cell's norm, grey levels: where there is no contrast, a descriptor fades."""


def lighter_each_way(frame: Pixels) -> Pixels:
    """Return how much lighter a grey frame (n + 2, n + 2) gets in each direction: bytes (8, n, n).

    In bytes a difference of two shifted pictures that saturates at 0 is the positive part.
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

    planes = lighter_each_way(frame)
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
    """Where around a point its descriptor looks: rings of (level of smoothness, radius in cells, count)."""

    rings: Rings

    @property
    def levels(self) -> int:
        """How many levels of smoothness are needed."""
        return 1 + max(level for level, _, _ in self.rings)

    @property
    def length(self) -> int:
        """How many numbers describe a point."""
        return CHANNELS * sum(count for _, _, count in self.rings)

    @property
    def margin(self) -> int:
        """Cells that maps need beyond the frame on each side."""
        return 1 + round(max(radius for _, radius, _ in self.rings))

    def offsets(self, cells: int) -> NDArray[np.int64]:
        """Return the places relative to a point's in maps of `cells` a side, flattened over levels."""
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

    The eight channels of each place are divided by their norm, so that light and contrast do not count.
    """
    side = maps.shape[1]
    places = (cells[:, 1] * side + cells[:, 0])[:, None] + pattern.offsets(side)
    found = maps.reshape(-1, CHANNELS).take(places.ravel(), 0)
    norm = np.sqrt(np.einsum("ij,ij->i", found, found)) + np.float32(SOFT)
    found *= (np.float32(1) / norm)[:, None]
    return np.asarray(found.reshape(len(cells), -1))
