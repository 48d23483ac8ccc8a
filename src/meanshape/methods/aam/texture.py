"""Textures: what a face looks like in the frame of the mean shape, where every pixel means the same spot.

`TextureReader` carries a picture's values there by the piecewise affine warp; `TextureModel` has their mean
and modes (PCA); `Appearance` joins shape and texture into one set of modes (Cootes, Edwards, Taylor 1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.methods.shared.oriented import CHANNELS, orientations, sample
from meanshape.methods.shared.piecewise import PiecewiseAffine
from meanshape.methods.shared.shape_model import ShapeModel
from meanshape.methods.shared.start import placed

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

KINDS = ("orientations", "intensities")
FRAME = 1.6
"""Side of a frame in faces."""
AROUND = 8.0
"""Gradients are relative to their mean over it, pixels of the frame."""
NEAR = 0.75
"""Pixels to either side over which slopes are taken."""


@dataclass(frozen=True)
class Sampling:
    """How a texture is read; deviations of Gaussians in pixels of the level's frame."""

    kind: str = "orientations"  # or intensities, the paper's: mean 0 and variance 1 over the face
    stride: float = 0.05  # of the sampled pixels, in faces
    margin: float = (
        0.15  # how far the mesh reaches beyond the points, as a share of the distance from the centre
    )
    pool: float = 1.8  # smooths the orientations (or the intensities)

    built_in: ClassVar[Mapping[str, Any]] = {"around": AROUND}


@dataclass(frozen=True, eq=False)
class TextureReader:
    """Reads textures (P * C,) in one resolution: `face` pixels of √(w h)."""

    mean: Float
    face: float
    sampling: Sampling

    @property
    def side(self) -> int:
        """Side of the frame, pixels."""
        return round(self.face * FRAME)

    @property
    def channels(self) -> int:
        """C."""
        return CHANNELS if self.sampling.kind == "orientations" else 1

    @cached_property
    def warp(self) -> PiecewiseAffine:
        """The mesh over the mean shape in the middle of the frame."""
        reference = placed(self.mean, self.face, self.side)
        return PiecewiseAffine.over(reference, self.sampling.stride * self.face, self.sampling.margin)

    def prepare(self, light: NDArray[np.uint8]) -> Float32:
        """Return the picture of the frame that textures are read from (H, W, C)."""
        import cv2

        if self.sampling.kind == "orientations":
            return orientations(light, self.sampling.pool, AROUND)
        smooth = cv2.GaussianBlur(light.astype(np.float32), (0, 0), self.sampling.pool)
        return np.asarray(smooth, np.float32)[..., None]

    def read(self, picture: Float32, points: Float) -> Float32:
        """Return the texture under points (K, 2) of the frame."""
        place = self.warp.places(points)
        found = sample(picture, place[:, :1], place[:, 1:]).ravel()
        if self.sampling.kind == "intensities":
            found = found - found.mean()
            found /= max(float(found.std()), 1e-3)
        return found

    def slopes(self, picture: Float32, points: Float) -> Float32:
        """Return how the texture changes along x and y of the frame (P * C, 2), per pixel."""
        place, found = self.warp.places(points), []
        for axis in (0, 1):
            ends = [place + NEAR * way * np.eye(2)[axis] for way in (1, -1)]
            ahead, behind = (sample(picture, end[:, :1], end[:, 1:]).ravel() for end in ends)
            found.append((ahead - behind) / (2 * NEAR))
        slopes = np.stack(found, -1)
        if self.sampling.kind == "intensities":
            slopes /= max(float(sample(picture, place[:, :1], place[:, 1:]).std()), 1e-3)
        return np.asarray(slopes, np.float32)


@dataclass(frozen=True, eq=False)
class TextureModel:
    """Mean (D,), modes (M, D) with orthonormal rows, and the variance of each."""

    mean: Float32
    modes: Float32
    variances: Float

    @classmethod
    def train(cls, textures: Float32, modes: int) -> Self:
        """Return the model of textures (N, D); at most N - 1 modes."""
        mean = textures.mean(0)
        centred = textures - mean
        values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        order = np.argsort(values)[::-1][: min(modes, len(textures) - 1)]
        order = order[values[order] > 1e-6 * max(values[order[0]], 1e-30)]
        found = (vectors[:, order].T @ centred) / np.sqrt(values[order])[:, None]
        sign = np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])[:, None]
        return cls(mean, (found * sign).astype(np.float32), values[order] / max(len(textures) - 1, 1))

    def project(self, texture: Float32) -> Float:
        """Return the mode weights (..., M) of textures (..., D)."""
        return np.asarray((texture - self.mean) @ self.modes.T, np.float64)

    def texture_from(self, weights: Any) -> Float32:
        """Return the texture of mode weights."""
        return np.asarray(self.mean + np.asarray(weights, np.float32) @ self.modes[: np.shape(weights)[-1]])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps: modes in half precision, by their standard deviation."""
        return {
            "mean": self.mean.astype(np.float16),
            "modes": (self.modes * np.sqrt(len(self.mean))).astype(np.float16),
            "variances": self.variances,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the model that `arrays` describes."""
        modes = arrays["modes"].astype(np.float32) / np.float32(np.sqrt(len(arrays["mean"])))
        return cls(arrays["mean"].astype(np.float32), modes, np.asarray(arrays["variances"], np.float64))


@dataclass(frozen=True, eq=False)
class Appearance:
    """Modes of shape and texture together: b_s = c shapes / balance, b_g = c textures.

    Attributes
    ----------
    shapes : (A, M), how each mode changes the shape's modes, times `balance`
    textures : (A, N), and the texture's
    variances : (A,)
    balance : makes shapes weigh as much as textures: the root of the ratio of their whole variances
    """

    shapes: Float
    textures: Float
    variances: Float
    balance: float

    @classmethod
    def train(cls, shapes: Float, textures: Float, share: float) -> Self:
        """Return the modes that hold `share` of the variance of shape and texture weights, N rows each."""
        balance = float(np.sqrt(textures.var(0).sum() / max(shapes.var(0).sum(), 1e-30)))
        joined = np.concatenate([shapes * balance, textures], 1)
        values, vectors = np.linalg.eigh(joined.T @ joined / max(len(joined) - 1, 1))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1].T
        kept = int(np.searchsorted(np.cumsum(values) / max(values.sum(), 1e-30), share - 1e-12)) + 1
        kept = min(kept, len(joined) - 1, len(values))
        sign = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)])[:, None]
        vectors, count = (vectors * sign)[:kept], shapes.shape[1]
        return cls(vectors[:, :count], vectors[:, count:], values[:kept], balance)

    def join(self, shape: Float, texture: Float) -> Float:
        """Return c of shape weights (M,) and texture weights."""
        joined: Float = self.shapes @ (shape * self.balance) + self.textures @ texture
        return joined

    def part(self, c: Float) -> tuple[Float, Float]:
        """Return the shape weights (M,) and texture weights of c (its first modes)."""
        return c @ self.shapes[: len(c)] / self.balance, c @ self.textures[: len(c)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""
        kept = {"shapes": self.shapes, "textures": self.textures, "variances": self.variances}
        return {name: np.asarray(array, np.float32) for name, array in kept.items()} | {
            "balance": np.array(self.balance)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the model that `arrays` describes."""
        shapes, textures, variances = (
            np.asarray(arrays[name], np.float64) for name in ("shapes", "textures", "variances")
        )
        return cls(shapes, textures, variances, float(arrays["balance"]))


def shape_weights(model: ShapeModel, points: Float) -> Float:
    """Return the mode weights (N, M) of shapes (N, K, 2)."""
    return np.stack([model.fit(shape, max_deviation=None)[0] for shape in points])
