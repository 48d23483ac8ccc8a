"""Boosted ferns on shape-indexed pixel differences (explicit shape regression: Cao et al., CVPR 2012).

Within a stage the pixels stay where the stage's first shape put them. Each fern takes `depth` differences,
each the one best correlated with the residual seen along a random direction, and adds what its bin says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.methods.cpr.pixel_pool import Float, Pool, principal
from meanshape.methods.cpr.table_stage import TableStage
from meanshape.methods.cpr.training_set import Lesson


@dataclass(frozen=True, slots=True)
class Ferns:
    """What is decided about a stage of ferns; the paper's values are 500, 5, 400 and 1000."""

    count: int = 150
    depth: int = 5
    pixels: int = 300
    radius: int = 12  # of the discs that pixels are drawn from, frame pixels
    shrinkage: float = 250.0  # faces' worth of nothing in each bin
    directions: int = 32  # that updates are stored in

    def margin(self) -> int:
        """Return the frame pixels that are needed around the frame."""
        return self.radius + 1


class FernStage(TableStage):
    """Pairs of pixels (F, d, 2) and thresholds (F, d) of ferns; their tables are bins (F, 2^d, q)."""

    __slots__ = ()
    stored = "bins"

    @classmethod
    def fit(cls, lesson: Lesson, settings: Ferns, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage and what it says of each face that it learnt from."""
        pool = Pool.drawn(rng, lesson.shapes.shape[1], settings.pixels, settings.radius)
        grey = pool.table(lesson, settings.margin())
        wanted = (lesson.truth - lesson.shapes).reshape(len(grey), -1).astype(np.float32)
        basis, left = principal(wanted, settings.directions)
        moved = np.zeros_like(left)
        choose = _Chooser(grey)
        pairs = np.empty((settings.count, settings.depth, 2), np.int64)
        thresholds = np.empty((settings.count, settings.depth), np.int16)
        bins = np.empty((settings.count, 1 << settings.depth, left.shape[1]), np.float32)
        for n in range(settings.count):
            pairs[n] = choose(left, rng.standard_normal((left.shape[1], settings.depth)).astype(np.float32))
            difference = grey[:, pairs[n, :, 0]].astype(np.int16) - grey[:, pairs[n, :, 1]]
            reach = 0.2 * np.abs(difference).max(0)
            thresholds[n] = np.rint(rng.uniform(-1, 1, settings.depth) * reach)
            bins[n] = _means(_number(difference, thresholds[n]), left, settings)
            step = bins[n][_number(difference, thresholds[n])]
            left -= step
            moved += step
        stage = cls(pool, settings.margin(), pairs, thresholds, bins, basis)
        return stage, lesson.shapes + (moved @ basis).reshape(lesson.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the bin (F,) of each fern."""
        return _number(grey[self.pairs[..., 0]] - grey[self.pairs[..., 1]], self.thresholds)


class _Chooser:
    """Finds the pixel difference best correlated with each of some projections of the residual."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self.centred = grey.astype(np.float32)
        self.centred -= self.centred.mean(0)
        covariance = self.centred.T @ self.centred / len(grey)
        variance = np.diag(covariance)
        spread = variance[:, None] + variance[None] - 2 * covariance
        self.scale = 1 / np.sqrt(np.maximum(spread, 1.0))

    def __call__(self, left: Float, directions: Float) -> NDArray[np.int64]:
        """Return the best pair (d, 2) for each direction (q, d)."""
        with_pixels = (left @ directions).T @ self.centred
        pairs = []
        for row in with_pixels:
            best = int(np.argmax((row[:, None] - row[None]) * self.scale))
            pairs.append(divmod(best, len(row)))
        return np.array(pairs, np.int64)


def _number(difference: NDArray[Any], thresholds: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return which bin differences (..., d) fall into."""
    bits = 1 << np.arange(difference.shape[-1])
    return np.asarray((difference > thresholds) @ bits)


def _means(number: NDArray[np.int64], left: Float, settings: Ferns) -> Float:
    """Return the shrunken mean residual (2^d, q) of each bin, in half precision."""
    size = 1 << settings.depth
    inside = np.zeros((size, len(number)), np.float32)
    inside[number, np.arange(len(number))] = 1
    sums = (inside @ left) / (inside.sum(1) + settings.shrinkage)[:, None]
    return np.asarray(sums.astype(np.float16).astype(np.float32))
