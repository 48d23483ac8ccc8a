"""What a shape most likely is, given a noisy one: the posterior mean under a Gaussian of all shapes seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points, invert
from meanshape.methods.shared.frames import upright


@dataclass(frozen=True, slots=True)
class ShapePrior:
    """The mean (2 K,) of shapes brought upright, and the matrix (2 K, 2 K) that takes a noisy shape's
    difference from it to the likely one.

    In the directions of the shapes' covariance the matrix is var / (var + noise²): what shapes do much is
    kept, what they never do is taken for noise.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    @classmethod
    def of(cls, shapes: Points, mirror: list[int], mean: Points, noise: float) -> Self:
        """Return the prior of whole shapes (N, K, 2) and their mirror images, brought upright as `mean` is.

        `noise` is the deviation of a coordinate's error, in the units of `mean`.
        """
        both = np.concatenate([shapes, shapes[:, mirror] * (-1, 1)])
        flat = np.stack([_laid(shape, mean).ravel() for shape in both])
        centre = flat.mean(0)
        values, vectors = np.linalg.eigh(np.cov(flat - centre, rowvar=False, bias=True))
        gains = np.maximum(values, 0) / (np.maximum(values, 0) + noise**2)
        return cls(_stored(centre), _stored((vectors * gains) @ vectors.T))

    def __call__(self, shape: Points, mean: Points) -> Points:
        """Return the likely shape (K, 2) for a noisy one."""
        matrix = upright(shape, mean)
        laid = (shape @ matrix[:, :2].T + matrix[:, 2]).ravel() - self.mean
        likely = (self.mean + self.matrix @ laid).reshape(shape.shape)
        back = invert(matrix)
        return np.asarray(likely @ back[:, :2].T + back[:, 2])

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return what is stored."""
        return {"mean": self.mean.astype(np.float16), "matrix": self.matrix.astype(np.float16)}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[np.float16]]) -> Self:
        """Return the prior that was stored."""
        return cls(arrays["mean"].astype(np.float32), arrays["matrix"].astype(np.float32))


def _laid(shape: Points, mean: Points) -> Points:
    matrix = upright(shape, mean)
    return np.asarray(shape @ matrix[:, :2].T + matrix[:, 2])


def _stored(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values as they come back from a file of half precision."""
    return values.astype(np.float16).astype(np.float32)
