"""Initialise a search: the mean shape in the box, corrected by linear regression on the box's gradients.

Round one regresses scale, rotation and shift on the gradient orientations of the whole box; round two
regresses pose and shape modes in the frame aligned by round one. An earlier shape, or five points, replace
round one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.geometry import Matrix, apply, compose, invert, similarity, square_matrix
from meanshape.core.markup import MarkUp
from meanshape.core.shape import Shape
from meanshape.methods.shared.faces import FaceBank, mapped
from meanshape.methods.shared.oriented import orientations, view
from meanshape.methods.shared.ridge import ridge
from meanshape.methods.shared.shape_model import ShapeModel

Float = NDArray[np.float64]
POSE = 4
"""Parameters of a similarity, the first coordinates of a shape in a frame."""
SIZE = 64
"""Side of the frame, pixels."""
SCALE = 1.3
"""Side of the frame, face boxes."""
STRIDE = 6
"""Grid step of the sampled orientations, pixels."""
POOL, AROUND = 2.5, 8.0
"""Standard deviations of the orientations' smoothing and of their normalisation, pixels."""
ROUNDS = 2
RIDGE = 0.2


@dataclass(frozen=True, slots=True)
class Jitter:
    """Standard deviations of a training box's shift (boxes), log scale and rotation (degrees)."""

    shift: float = 0.05
    scale: float = 0.08
    rotation: float = 8.0

    def matrix(self, rng: np.random.Generator, face: float, size: int) -> Matrix:
        """Draw a similarity (2, 3) about the middle of a frame, for faces of `face` pixels."""
        angle, scale = np.deg2rad(rng.normal(0, self.rotation)), np.exp(rng.normal(0, self.scale))
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        turn, middle = np.array([[c, -s], [s, c]]), np.full(2, (size - 1) / 2)
        return np.column_stack([turn, middle - turn @ middle + rng.normal(0, self.shift, 2) * face])


def placed(mean: Float, face: float, side: float) -> Float:
    """Return a mean shape (K, 2) in the middle of a frame, its box's √(w h) being `face` pixels."""
    low, high = mean.min(0), mean.max(0)
    size = np.sqrt(max(float(np.prod(high - low)), 1e-12 * float(((high - low) ** 2).sum())))
    middle: Float = (mean - (low + high) / 2) * (face / size) + (side - 1) / 2
    return middle


def toward(given: Shape, mean: Float, markup: MarkUp) -> Matrix | None:
    """Return the map from image to frame that lays an earlier shape or five points on a mean shape (K, 2)
    in the frame, or None where too few points are known.
    """
    mean = mean if given.markup == markup else markup.convert(mean, given.markup)
    known = np.isfinite(given.points).all(1) & np.isfinite(mean).all(1)
    if known.sum() < 2 or np.ptp(given.points[known], axis=0).max() < 1e-6:
        return None
    return similarity(given.points, mean)


@dataclass
class Start:
    """The start of one model: its mean shape in the frame, and the regressors, if it has learnt any."""

    model: ShapeModel
    rounds: list[tuple[NDArray[np.float32], Float]] = field(default_factory=list)
    reference: Float = field(init=False)
    basis: Float = field(init=False)

    def __post_init__(self) -> None:
        """Place the mean."""
        self.reference = placed(self.model.mean, SIZE / SCALE, SIZE)
        self.basis = self.model.directions(self.model.place(self.reference))

    @classmethod
    def train(
        cls, model: ShapeModel, bank: FaceBank, jitter: Jitter, copies: int, seed: int
    ) -> tuple[Self, NDArray[np.int64], Float]:
        """Fit the rounds, each on held-out predictions of the one before.

        Returns the start, and for later training the faces (N,) and their held-out points (N, K, 2) in the
        crops.
        """
        start = cls(model)
        faces = np.tile(np.arange(len(bank)), copies)
        box = bank.box_matrix(SCALE, SIZE)
        draws = [np.random.default_rng((seed, 1, n)) for n in range(len(faces))]
        views = [compose(box, jitter.matrix(rng, SIZE / SCALE, SIZE)) for rng in draws]
        inverse = np.linalg.pinv(start.basis.reshape(len(start.basis), -1))
        for n in range(ROUNDS):
            pictures = [(bank.image(face), view) for face, view in zip(faces, views, strict=True)]
            seen = mapped(_features, pictures)
            true = np.stack([apply(v, bank.points[f]) for v, f in zip(views, faces, strict=True)])
            wanted = (true - start.reference).reshape(len(faces), -1) @ inverse
            wanted = wanted[:, :POSE] if n + 1 < ROUNDS else wanted
            weights, bias, guess = ridge(seen, wanted, RIDGE, bank.groups[faces])
            start.rounds.append((weights, bias))
            shapes = start.reference + np.tensordot(guess, start.basis[: guess.shape[1]], 1)
            if n + 1 < ROUNDS:
                views = list(compose(views, similarity(shapes, start.reference)))
        return start, faces, apply(invert(views), shapes)

    def __call__(
        self, image: NDArray[np.uint8], box: Box, given: Shape | None, markup: MarkUp
    ) -> tuple[Float, list[Float]]:
        """Return the initial shape (K, 2) in the image, and the shapes of the rounds before."""
        matrix, skip = square_matrix(box, SCALE, SIZE), 0
        if given is not None and (found := toward(given, self.reference, markup)) is not None:
            if given.markup == markup:
                return self.model.shape_from(*self.model.fit(given.points)), []
            matrix, skip = found, 1
        trail = [apply(invert(matrix), self.reference)]
        for weights, bias in self.rounds[skip:]:
            found = _features(image, matrix) @ weights + bias
            shape = self.reference + np.tensordot(found, self.basis[: len(found)], 1)
            trail.append(apply(invert(matrix), shape))
            matrix = compose(matrix, similarity(shape, self.reference))
        return trail[-1], trail[:-1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""
        kept: dict[str, NDArray[Any]] = {}
        for n, (weights, bias) in enumerate(self.rounds):
            scale = np.abs(weights).max(0) + 1e-30
            kept |= {
                f"weights{n}": (weights / scale).astype(np.float16),
                f"scale{n}": scale,
                f"bias{n}": bias,
            }
        return kept

    @classmethod
    def from_arrays(cls, model: ShapeModel, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the start that `arrays` describes."""
        count = sum(name.startswith("bias") for name in arrays)
        rounds = [
            (arrays[f"weights{n}"].astype(np.float32) * arrays[f"scale{n}"], arrays[f"bias{n}"])
            for n in range(count)
        ]
        return cls(model, rounds)


def _features(image: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.float32]:
    """Return the orientations of the frame on a grid, as one row."""
    channels = orientations(view(image, matrix, SIZE), POOL, AROUND)
    return channels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].ravel()
