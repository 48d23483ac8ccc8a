"""The face that an appearance model imagines: a texture of grey levels, put onto a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import apply, similarity
from meanshape.methods.aam.texture import (
    Appearance,
    Sampling,
    TextureModel,
    TextureReader,
    shape_weights,
)
from meanshape.methods.shared.faces import FaceBank, mapped
from meanshape.methods.shared.oriented import sample, view
from meanshape.methods.shared.piecewise import PiecewiseAffine
from meanshape.methods.shared.shape_model import ShapeModel

Float = NDArray[np.float64]

FACE = 72.0
SAMPLING = Sampling("intensities", stride=1 / FACE, margin=0.12, pool=0.6)
MIDDLE, CONTRAST = 120.0, 50.0
"""Grey levels of a texture of mean 0 and variance 1."""
AROUND = 0.03
"""How far outside its triangle, in shares of it, a pixel still counts as covered."""


@dataclass(frozen=True)
class Portrait:
    """A combined model of shape and grey levels, that renders."""

    shapes: ShapeModel
    texture: TextureModel
    appearance: Appearance
    reader: TextureReader = field(init=False)

    def __post_init__(self) -> None:
        """Place the mean in the picture."""
        object.__setattr__(self, "reader", TextureReader(self.shapes.mean, FACE, SAMPLING))

    @classmethod
    def train(cls, shapes: ShapeModel, bank: FaceBank, modes: int, share: float, faces: int) -> Self:
        """Learn from at most so many of the faces."""
        chosen = np.unique(np.linspace(0, len(bank) - 1, faces).astype(int))
        reader = TextureReader(shapes.mean, FACE, SAMPLING)
        textures = true_textures(reader, bank, chosen)
        texture = TextureModel.train(textures, modes)
        weights = shape_weights(shapes, bank.points[chosen])
        return cls(shapes, texture, Appearance.train(weights, texture.project(textures), share))

    def describe(self, image: NDArray[np.uint8], points: Float) -> Float:
        """Return the appearance weights, in standard deviations, of a face whose points are known."""
        matrix = similarity(points, self.reader.warp.mean)
        picture = self.reader.prepare(view(image, matrix, self.reader.side))
        read = self.reader.read(picture, apply(matrix, points))
        b, _ = self.shapes.fit(points)
        c = self.appearance.join(b, self.texture.project(read))
        return np.asarray(c / np.sqrt(np.maximum(self.appearance.variances, 1e-30)))

    def render(self, weights: Float) -> tuple[NDArray[np.uint8], Float]:
        """Return the picture (S, S, 3) of a face of these weights, in deviations, and its points there."""
        count = len(weights)
        b, g = self.appearance.part(np.asarray(weights) * np.sqrt(self.appearance.variances[:count]))
        points = self.shapes.shape_from(b, self.shapes.place(self.reader.warp.mean))
        grey = MIDDLE + CONTRAST * self.texture.texture_from(g)
        picture = paint(self.reader.warp, np.clip(grey, 0, 255), points, self.reader.side)
        return np.repeat(np.rint(picture).astype(np.uint8)[..., None], 3, axis=2), points

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""
        own = {f"texture_{name}": array for name, array in self.texture.arrays().items()}
        return own | {f"appearance_{name}": array for name, array in self.appearance.arrays().items()}

    @classmethod
    def from_arrays(cls, shapes: ShapeModel, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the model that `arrays` describes."""
        parts = {
            part: {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}
            for part in ("texture_", "appearance_")
        }
        texture = TextureModel.from_arrays(parts["texture_"])
        return cls(shapes, texture, Appearance.from_arrays(parts["appearance_"]))


def true_textures(
    reader: TextureReader, bank: FaceBank, faces: NDArray[np.int64], slopes: bool = False
) -> NDArray[np.float32]:
    """Return the textures (N, D) under the true points, or their slopes (N, D, 2)."""
    what = reader.slopes if slopes else reader.read

    def read(face: int) -> NDArray[np.float32]:
        matrix = similarity(bank.points[face], reader.warp.mean)
        picture = reader.prepare(view(bank.image(face), matrix, reader.side))
        return what(picture, apply(matrix, bank.points[face]))

    return mapped(read, [(face,) for face in faces])


def paint(
    warp: PiecewiseAffine, texture: NDArray[Any], points: Float, side: int, ground: float = 255.0
) -> NDArray[np.float32]:
    """Return a picture (side, side) of a texture (P,), sampled at every pixel, warped onto points (K, 2)."""
    flat = np.full((side + 2, side + 2), np.nan, np.float32)
    x, y = np.rint(warp.pixels - warp.pixels.min(0)).astype(int).T
    flat[y + 1, x + 1] = texture
    flat = _grown(flat)
    here, there = ((warp.corners @ shape)[warp.triangles] for shape in (points, warp.mean))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    edges = (here[:, 1:] - here[:, :1]).transpose(0, 2, 1)
    ok = np.abs(np.linalg.det(edges)) > 1e-9
    inverse = np.linalg.inv(edges[ok])
    two = np.einsum("tij,ptj->pti", inverse, grid[:, None] - here[ok, 0])
    mixture = np.concatenate([1 - two.sum(-1, keepdims=True), two], -1)
    depth = mixture.min(-1)
    best = depth.argmax(1)
    rows = np.arange(len(grid))
    place = np.einsum("pi,pij->pj", mixture[rows, best], there[ok][best]) - warp.pixels.min(0) + 1
    found = sample(flat[..., None], place[:, :1], place[:, 1:]).ravel()
    found = np.where(depth[rows, best] > -AROUND, found, np.float32(ground))
    return np.asarray(found.reshape(side, side), np.float32)


def _grown(flat: NDArray[np.float32], rounds: int = 2) -> NDArray[np.float32]:
    """Return the picture with its unknown (NaN) border filled by the mean of known neighbours."""
    for _ in range(rounds):
        ring = np.stack([np.roll(flat, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
        known = np.isfinite(ring)
        mean = np.where(known, ring, 0).sum(0) / np.maximum(known.sum(0), 1)
        flat = np.where(np.isfinite(flat), flat, np.where(known.any(0), mean, np.nan)).astype(np.float32)
    return np.nan_to_num(flat, nan=MIDDLE)
