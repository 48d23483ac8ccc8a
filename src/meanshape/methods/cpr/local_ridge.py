"""Ridge regression of all points on the features of all points, with a penalty that grows with distance.

With a few thousand faces, a regression of each point on all descriptors overfits. The penalty on a feature
is 1 / (floor + exp(-d² / 2 reach²)), where d is the distance on the mean shape between the point it
describes and the point it moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prior:
    """Distance-dependent penalties over a `mean` (K, 2); the points of a group share their penalties."""

    mean: NDArray[np.float64]
    reach: float
    floor: float
    groups: Sequence[NDArray[np.intp]]

    @classmethod
    def of(cls, mean: NDArray[np.float64], reach: float, floor: float, count: int) -> Prior:
        """Return a prior with at most `count` groups of neighbouring points (farthest-point sampling)."""
        centres = [int(np.argmin(((mean - mean.mean(0)) ** 2).sum(1)))]
        distance = ((mean - mean[centres[0]]) ** 2).sum(1)
        while len(centres) < min(count, len(mean)) and distance.max() > 0:
            centres.append(int(np.argmax(distance)))
            distance = np.minimum(distance, ((mean - mean[centres[-1]]) ** 2).sum(1))
        nearest = ((mean[:, None] - mean[centres]) ** 2).sum(-1).argmin(1)
        return cls(mean, reach, floor, [np.flatnonzero(nearest == n) for n in range(len(centres))])

    def penalties(self, group: NDArray[np.intp], each: int) -> NDArray[np.float64]:
        """Return the penalties of all features, `each` per point, in the regression of one group."""
        squared = ((self.mean - self.mean[group].mean(0)) ** 2).sum(1)
        return np.repeat(1.0 / (self.floor + np.exp(-squared / (2 * self.reach**2))), each)


@dataclass(slots=True)
class Moments:
    """Sufficient statistics of a ridge regression: `gram` X'WX (D, D) and `cross` X'WY (D, Q)."""

    gram: Float
    cross: Float

    @classmethod
    def of(cls, features: Float, targets: Float, weights: Float) -> Moments:
        """Return the moments of features (N, D), the last of which is 1, targets (N, Q) and weights (N,)."""
        weighted = np.asarray(features * weights[:, None], np.float32)
        return cls(np.asarray(weighted.T @ features), np.asarray(weighted.T @ targets))

    def without(self, other: Moments) -> Moments:
        """Return the moments without the samples of `other`."""
        return Moments(self.gram - other.gram, self.cross - other.cross)

    def solve(self, strength: float, prior: Prior) -> Float:
        """Return the weights (D, 2 K) that minimise the penalised squared error."""
        from scipy.linalg import cho_factor, cho_solve

        size, columns = self.cross.shape
        scale = strength * float(np.trace(self.gram)) / size
        diagonal = np.arange(size)
        weights = np.empty((size, columns), np.float32)
        for group in prior.groups:
            matrix = self.gram.copy()
            penalties = prior.penalties(group, (size - 1) // len(prior.mean))
            matrix[diagonal, diagonal] += np.append(scale * penalties, 1e-6 * scale).astype(np.float32)
            mine = np.sort(np.concatenate([2 * group, 2 * group + 1]))
            factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
            weights[:, mine] = cho_solve(factor, self.cross[:, mine], check_finite=False)
        return weights


def fold_moments(features: Float, targets: Float, weights: Float, folds: NDArray[np.intp]) -> list[Moments]:
    """Return the moments of each fold."""
    return [
        Moments.of(features[folds == n], targets[folds == n], weights[folds == n])
        for n in range(int(folds.max()) + 1)
    ]


def total(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all folds together."""
    gram, cross = parts[0].gram.copy(), parts[0].cross.copy()
    for part in parts[1:]:
        gram += part.gram
        cross += part.cross
    return Moments(gram, cross)
