"""Log odds of a point against its surroundings, linear in a descriptor (Fisher's discriminant).

With one covariance for the descriptors at the point and around it, half the difference of the squared
Mahalanobis distances is a filter and a bias. All K points are trained and scored at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]


class Filters(Protocol):
    """Answers linear filters at the places around each point."""

    def filtered(self, values: Float32, filters: Float32) -> Float32:
        """Return the responses (K, S) of filters (K, D)."""


@dataclass(frozen=True)
class Moments:
    """Running moments of descriptors at the points and around them."""

    count: list[int]
    sums: list[Float]
    squares: list[Float]

    @classmethod
    def of(cls, points: int, size: int) -> Self:
        """Return empty moments."""
        return cls(
            [0, 0],
            [np.zeros((points, size)) for _ in range(2)],
            [np.zeros((points, size, size)) for _ in range(2)],
        )

    def add(self, kind: int, descriptors: Float32) -> None:
        """Add descriptors (K, N, D) at the points (kind 0) or around them (1)."""
        self.count[kind] += descriptors.shape[1]
        self.sums[kind] += descriptors.sum(1, dtype=np.float64)
        self.squares[kind] += descriptors.transpose(0, 2, 1) @ descriptors

    def mean(self, kind: int) -> Float:
        """Return the mean (K, D)."""
        return self.sums[kind] / max(self.count[kind], 1)

    def covariance(self, kind: int, ridge: float) -> Float:
        """Return the covariance (K, D, D), regularised by `ridge` times the mean variance."""
        mean, size = self.mean(kind), self.sums[0].shape[1]
        found = self.squares[kind] / max(self.count[kind], 1) - mean[:, :, None] * mean[:, None]
        level = np.maximum(np.trace(found, axis1=1, axis2=2) / size, 1e-9)
        return np.asarray(found + ridge * level[:, None, None] * np.eye(size))


@dataclass(frozen=True)
class Contrast:
    """Linear log odds of point against surroundings: half the difference of squared Mahalanobis distances."""

    filters: Float32  # (K, D)
    bias: Float32  # (K,)

    @classmethod
    def train(cls, moments: Moments, ridge: float) -> Self:
        """Fit to descriptors at and around the points, with the mean of both covariances."""
        here, around = moments.mean(0), moments.mean(1)
        shared = (moments.covariance(0, ridge) + moments.covariance(1, ridge)) / 2
        filters = np.linalg.solve(shared, (here - around)[..., None])[..., 0]
        bias = -((here + around) * filters).sum(1) / 2
        return cls(filters.astype(np.float32), bias.astype(np.float32))

    def score(self, reader: Filters, values: Float32) -> Float:
        """Return the log odds (K, S) of each place."""
        return np.asarray(reader.filtered(values, self.filters) + self.bias[:, None], np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""
        return {"filters": self.filters, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what `arrays` describes."""
        return cls(arrays["filters"], arrays["bias"])
