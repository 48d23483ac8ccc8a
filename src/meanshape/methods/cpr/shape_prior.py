"""Denoise a shape: the posterior mean under a Gaussian prior of the training shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points, invert
from meanshape.methods.shared.frames import upright


@dataclass(frozen=True, slots=True)
class ShapePrior:
    """The mean (2 K,) of aligned shapes, and the Wiener filter (2 K, 2 K) of deviations from it.

    Along each principal component of the shapes the filter's gain is var / (var + noise²).
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    @classmethod
    def of(cls, shapes: Points, mirror: list[int], mean: Points, noise: float) -> Self:
        """Return the prior of complete shapes (N, K, 2) and their mirror images, aligned with `mean`.

        `noise` is the standard deviation of a coordinate's error, in the units of `mean`.
        """
        both = np.concatenate([shapes, shapes[:, mirror] * (-1, 1)])
        flat = np.stack([_laid(shape, mean).ravel() for shape in both])
        centre = flat.mean(0)
        values, vectors = np.linalg.eigh(np.cov(flat - centre, rowvar=False, bias=True))
        gains = np.maximum(values, 0) / (np.maximum(values, 0) + noise**2)
        return cls(_stored(centre), _stored((vectors * gains) @ vectors.T))

    def __call__(self, shape: Points, mean: Points) -> Points:
        """Return the posterior mean (K, 2) given a noisy shape."""
        matrix = upright(shape, mean)
        laid = (shape @ matrix[:, :2].T + matrix[:, 2]).ravel() - self.mean
        likely = (self.mean + self.matrix @ laid).reshape(shape.shape)
        back = invert(matrix)
        return np.asarray(likely @ back[:, :2].T + back[:, 2])

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the arrays to store."""
        return {"mean": self.mean.astype(np.float16), "matrix": self.matrix.astype(np.float16)}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[np.float16]]) -> Self:
        """Return the prior from its stored arrays."""
        return cls(arrays["mean"].astype(np.float32), arrays["matrix"].astype(np.float32))


def _laid(shape: Points, mean: Points) -> Points:
    matrix = upright(shape, mean)
    return np.asarray(shape @ matrix[:, :2].T + matrix[:, 2])


def _stored(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values rounded to half precision, as they are stored."""
    return values.astype(np.float16).astype(np.float32)
