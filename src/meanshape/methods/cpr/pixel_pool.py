"""Shape-indexed pixels at fixed offsets from the points in an aligned frame, and PCA of update targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.core.image import Pixels
from meanshape.methods.cpr.training_set import StageData

Float = NDArray[np.float32]
Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Pool:
    """Reference point (P,) of each pixel and its offset (P, 2), x and y, whole frame pixels."""

    points: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def drawn(cls, rng: np.random.Generator, points: int, size: int, radius: int) -> Pool:
        """Return `size` pixels drawn uniformly from discs around uniformly drawn points."""
        length = radius * np.sqrt(rng.uniform(0, 1, size))
        angle = rng.uniform(0, 2 * np.pi, size)
        offsets = np.rint(np.stack([length * np.cos(angle), length * np.sin(angle)], 1))
        return cls(rng.integers(0, points, size), offsets.astype(np.int64))

    def places(self, shapes: Points, side: int, margin: int) -> NDArray[np.int64]:
        """Return flat pixel indices (..., P) for shapes (..., K, 2) in frames of `side`, margins included."""
        corner = np.clip(np.rint(shapes), 0, side - 2 * margin - 1).astype(np.int64) + margin
        there = corner[..., self.points, :] + self.offsets
        places: NDArray[np.int64] = there[..., 1] * side + there[..., 0]
        return places

    def values(self, frame: Pixels, shape: Points, margin: int) -> NDArray[np.int16]:
        """Return the grey levels (P,) of the pool in one frame."""
        return frame.ravel().take(self.places(shape, frame.shape[0], margin)).astype(np.int16)

    def table(self, data: StageData, margin: int) -> NDArray[np.uint8]:
        """Return the grey levels (N, P) in all frames of a stage's data."""
        places = self.places(data.shapes, data.frames.shape[1], margin)
        return np.take_along_axis(data.frames.reshape(len(places), -1), places, axis=1)

    def arrays(self) -> dict[str, NDArray[np.int16]]:
        """Return the arrays to store."""
        return {"points": self.points.astype(np.int16), "offsets": self.offsets.astype(np.int16)}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[np.int16]]) -> Pool:
        """Return the pool from its stored arrays."""
        return cls(arrays["points"].astype(np.int64), arrays["offsets"].astype(np.int64))


def principal(targets: Float, count: int) -> tuple[Float, Float]:
    """Return the principal directions (q, Q) of updates (N, Q), and the coordinates (N, q) along them.

    Leaves that hold these coordinates are several times smaller than leaves that hold whole updates.
    """
    _, vectors = np.linalg.eigh(targets.T @ targets)
    basis = vectors[:, ::-1][:, :count].T.astype(np.float16).astype(np.float32)
    return basis, targets @ basis.T
