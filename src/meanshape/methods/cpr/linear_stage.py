"""A linear stage of a cascade (supervised descent: Xiong and De la Torre, 2013).

Descriptors at the points are reduced by PCA, point by point; one ridge regression predicts the update of
the shape from all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.core.image import Pixels
from meanshape.methods.cpr.descriptors import STEP, Float, Pattern, Rings, describe, orientation_maps
from meanshape.methods.cpr.local_ridge import Prior, fold_moments, total
from meanshape.methods.cpr.training_set import StageData, robust_weights

BATCH = 1000
BASIS_FACES = 4000
GROUPS = 16


@dataclass(frozen=True, slots=True)
class Linear:
    """Settings of a linear stage."""

    rings: Rings = ((0, 0.0, 1), (0, 2.0, 8), (1, 5.0, 8), (2, 10.0, 8))
    dimensions: int = 24  # principal components of a point's descriptor
    noise: float = 0.02  # share of the first variance that is added to all before whitening
    strength: tuple[float, ...] = (0.3,)  # of the ridge penalty; of several, the best on a held-out fold
    reach: float = 6.0  # standard deviation of the neighbourhood of low penalties, cells
    floor: float = 0.03  # weight of far points
    robust: bool = True  # down-weight faces with large errors

    def margin(self) -> int:
        """Return the margin needed around the frame, pixels."""
        return STEP * Pattern(self.rings).margin + 1


@dataclass(slots=True)
class LinearStage:
    """Arrays of half precision: centre (K, C), basis (K, C, d), weights (K d + 1, 2 K), in frame pixels."""

    pattern: Pattern
    centre: Float
    basis: Float
    weights: Float
    _transposed: Float | None = None

    @classmethod
    def fit(cls, data: StageData, settings: Linear, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage, and held-out shapes (N, K, 2): each fold is predicted from the others."""
        pattern = Pattern(settings.rings)
        found, snapped = _descriptors(data, pattern)
        centre, basis = _bases(found, settings, rng)
        features = _project(found, centre, basis)
        targets = (data.truth - snapped).reshape(len(features), -1).astype(np.float32)
        weights = (
            robust_weights(np.linalg.norm(data.truth - data.shapes, axis=-1).mean(1)).astype(np.float32)
            if settings.robust
            else np.ones(len(features), np.float32)
        )
        parts = fold_moments(features, targets, weights, data.folds)
        whole = total(parts)
        prior = Prior.of(data.mean, settings.reach * STEP / data.density, settings.floor, GROUPS)

        def error(strength: float) -> float:
            rows = data.folds == 0
            off = features[rows] @ whole.without(parts[0]).solve(strength, prior) - targets[rows]
            return float(np.hypot(off[:, ::2], off[:, 1::2]).mean())

        many = len(settings.strength) > 1 and len(parts) > 1
        strength = min(settings.strength, key=error) if many else settings.strength[0]
        solved = whole.solve(strength, prior).astype(np.float16).astype(np.float32)
        moved = np.empty_like(targets)
        for fold, part in enumerate(parts):
            rows = data.folds == fold
            own = solved if len(parts) == 1 else whole.without(part).solve(strength, prior)
            moved[rows] = features[rows] @ own
        return cls(pattern, centre, basis, solved), snapped + moved.reshape(snapped.shape)

    def prepare(self, frame: Pixels) -> Float:
        """Return the orientation maps of a frame with its margin."""
        return orientation_maps(frame, self.pattern.levels)

    def __call__(self, maps: Float, shape: Points) -> Points:
        """Return the points (K, 2), in frame pixels without the margin, after this stage."""
        cells, snapped = snap(shape, maps.shape[1], self.pattern.margin)
        found = describe(maps, cells, self.pattern) - self.centre
        features = (found[:, None] @ self.basis).ravel()
        if self._transposed is None:
            self._transposed = np.ascontiguousarray(self.weights[:-1].T)
        moved = self._transposed @ features + self.weights[-1]
        return np.asarray(snapped + moved.reshape(shape.shape))

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the arrays to store."""
        half = np.float16
        return {
            "centre": self.centre.astype(half),
            "basis": self.basis.astype(half),
            "weights": self.weights.astype(half),
        }

    @classmethod
    def read(cls, arrays: dict[str, NDArray[np.float16]], settings: Linear) -> Self:
        """Return the stage from its stored arrays."""
        single = np.float32
        return cls(
            Pattern(settings.rings),
            arrays["centre"].astype(single),
            arrays["basis"].astype(single),
            arrays["weights"].astype(single),
        )


def snap(shape: Points, cells: int, margin: int) -> tuple[NDArray[np.int64], Points]:
    """Return the cells (K, 2) nearest to the points, clipped to the frame, and their centres in frame pixels.

    Updates start from cell centres, so descriptors need no interpolation.
    """
    middle = (STEP - 1) / 2
    inner = np.rint((np.clip(shape, 0, STEP * (cells - 2 * margin) - 1) - middle) / STEP)
    return inner.astype(np.int64) + margin, inner * STEP + middle


def _descriptors(data: StageData, pattern: Pattern) -> tuple[NDArray[np.float16], Points]:
    """Return the descriptors (N, K, C) of all faces and their centres (N, K, 2), frame pixels."""
    count, points = data.shapes.shape[:2]
    found = np.empty((count, points, pattern.length), np.float16)
    snapped = np.empty_like(data.shapes)
    for n, (frame, shape) in enumerate(zip(data.frames, data.shapes, strict=True)):
        maps = orientation_maps(frame, pattern.levels)
        cells, snapped[n] = snap(shape, maps.shape[1], pattern.margin)
        found[n] = describe(maps, cells, pattern)
    return found, snapped


def _bases(found: NDArray[np.float16], settings: Linear, rng: np.random.Generator) -> tuple[Float, Float]:
    """Return each point's mean descriptor (K, C) and its whitened principal components (K, C, d)."""
    rows = np.sort(rng.choice(len(found), min(len(found), BASIS_FACES), replace=False))
    some = found[rows].astype(np.float32)
    centre = some.mean(0)
    some = np.ascontiguousarray((some - centre).transpose(1, 0, 2))
    values, vectors = np.linalg.eigh(some.transpose(0, 2, 1) @ some / len(rows))
    values = np.maximum(values[:, ::-1][:, : settings.dimensions], 0)
    scale = 1 / np.sqrt(values + settings.noise * values[:, :1] + 1e-9)
    basis = vectors[:, :, ::-1][:, :, : settings.dimensions] * scale[:, None]
    return centre.astype(np.float16).astype(np.float32), basis.astype(np.float16).astype(np.float32)


def _project(found: NDArray[np.float16], centre: Float, basis: Float) -> Float:
    """Return the features (N, K d + 1): the projected descriptors and a constant 1."""
    features = np.ones((len(found), basis.shape[0] * basis.shape[2] + 1), np.float32)
    for first in range(0, len(found), BATCH):
        part = (found[first : first + BATCH].astype(np.float32) - centre).transpose(1, 0, 2) @ basis
        features[first : first + BATCH, :-1] = part.transpose(1, 0, 2).reshape(part.shape[1], -1)
    return features
