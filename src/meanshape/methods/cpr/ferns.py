"""Boosted ferns on shape-indexed pixel differences (explicit shape regression: Cao et al., CVPR 2012).

Within a stage the pixels are indexed by the shape at the start of the stage. Each fern selects `depth` pixel
differences, each the one most correlated with the residual projected on a random direction, and adds the
mean residual of the bin reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.methods.cpr.pixel_pool import Float, Pool, principal
from meanshape.methods.cpr.table_stage import TableStage
from meanshape.methods.cpr.training_set import StageData


@dataclass(frozen=True, slots=True)
class Ferns:
    """Settings of a stage of ferns; the paper's values are 500, 5, 400 pixels and a shrinkage of 1000."""

    count: int = 150
    depth: int = 5
    pixels: int = 300
    radius: int = 12  # of the discs around points that pixels are drawn from, frame pixels
    shrinkage: float = 250.0  # added to each bin's count when the mean is taken
    directions: int = 32  # principal components that updates are stored in

    def margin(self) -> int:
        """Return the margin needed around the frame, pixels."""
        return self.radius + 1


class FernStage(TableStage):
    """Pairs of pixels (F, d, 2) and thresholds (F, d) of ferns; their tables are bins (F, 2^d, q)."""

    __slots__ = ()
    stored = "bins"

    @classmethod
    def fit(cls, data: StageData, settings: Ferns, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage and its shapes (N, K, 2) of the training faces."""
        pool = Pool.drawn(rng, data.shapes.shape[1], settings.pixels, settings.radius)
        grey = pool.table(data, settings.margin())
        targets = (data.truth - data.shapes).reshape(len(grey), -1).astype(np.float32)
        basis, residual = principal(targets, settings.directions)
        moved = np.zeros_like(residual)
        select = _PairSelector(grey)
        pairs = np.empty((settings.count, settings.depth, 2), np.int64)
        thresholds = np.empty((settings.count, settings.depth), np.int16)
        bins = np.empty((settings.count, 1 << settings.depth, residual.shape[1]), np.float32)
        for n in range(settings.count):
            pairs[n] = select(
                residual, rng.standard_normal((residual.shape[1], settings.depth)).astype(np.float32)
            )
            difference = grey[:, pairs[n, :, 0]].astype(np.int16) - grey[:, pairs[n, :, 1]]
            reach = 0.2 * np.abs(difference).max(0)
            thresholds[n] = np.rint(rng.uniform(-1, 1, settings.depth) * reach)
            bins[n] = _bin_means(_bin_index(difference, thresholds[n]), residual, settings)
            step = bins[n][_bin_index(difference, thresholds[n])]
            residual -= step
            moved += step
        stage = cls(pool, settings.margin(), pairs, thresholds, bins, basis)
        return stage, data.shapes + (moved @ basis).reshape(data.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the bin (F,) of each fern."""
        return _bin_index(grey[self.pairs[..., 0]] - grey[self.pairs[..., 1]], self.thresholds)


class _PairSelector:
    """Correlation-based feature selection: finds the pixel pairs that best predict projected residuals."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self.centred = grey.astype(np.float32)
        self.centred -= self.centred.mean(0)
        covariance = self.centred.T @ self.centred / len(grey)
        variance = np.diag(covariance)
        spread = variance[:, None] + variance[None] - 2 * covariance
        self.scale = 1 / np.sqrt(np.maximum(spread, 1.0))

    def __call__(self, residual: Float, directions: Float) -> NDArray[np.int64]:
        """Return the best pair (d, 2) for each direction (q, d)."""
        with_pixels = (residual @ directions).T @ self.centred
        pairs = []
        for row in with_pixels:
            best = int(np.argmax((row[:, None] - row[None]) * self.scale))
            pairs.append(divmod(best, len(row)))
        return np.array(pairs, np.int64)


def _bin_index(difference: NDArray[Any], thresholds: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the bin index (...) of differences (..., d)."""
    bits = 1 << np.arange(difference.shape[-1])
    return np.asarray((difference > thresholds) @ bits)


def _bin_means(index: NDArray[np.int64], residual: Float, settings: Ferns) -> Float:
    """Return the shrunken mean residual (2^d, q) of each bin, in half precision."""
    size = 1 << settings.depth
    inside = np.zeros((size, len(index)), np.float32)
    inside[index, np.arange(len(index))] = 1
    sums = (inside @ residual) / (inside.sum(1) + settings.shrinkage)[:, None]
    return np.asarray(sums.astype(np.float16).astype(np.float32))
