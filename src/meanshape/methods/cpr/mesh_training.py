"""Training of the default cascade of `cpr`: one ridge regression per stage, on all views of all faces.

A stage's predictions of its own training faces are leave-one-face-out predictions (see `ridge`), so later
stages learn from errors of realistic size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ShapeError
from meanshape.core.geometry import Points, frame_matrix
from meanshape.core.image import Pixels
from meanshape.methods.base import Progress
from meanshape.methods.cpr.descriptors import CHANNELS
from meanshape.methods.cpr.mesh_cascade import (
    EXTENSION,
    FIRST_EXTENSION,
    MARGIN,
    NORM_EPSILON,
    SCALE,
    Float,
    Mesh,
    MeshCascade,
    Stage,
    complex_of,
    normalised,
    pooled_gradients,
    sample_maps,
    steer,
    to_cells,
)
from meanshape.methods.cpr.training_set import Faces, robust_weights
from meanshape.methods.shared.piecewise import PiecewiseAffine
from meanshape.methods.shared.ridge import ridge

SHAPE = 10.0
"""Scale of the variance of the shape's coefficients relative to that of the sampled maps: less penalty."""


class MeshTrainingState:
    """The training faces between stages.

    It holds fine and coarse gradient planes, the current shapes as coefficients (N, Q + 1), and `linear` and
    `shift` (N,), which map the aligned frames to the frames.
    """

    def __init__(self, faces: Faces, cascade: MeshCascade, shapes: Points) -> None:
        settings, count = cascade.settings, len(faces.views)
        matrix = frame_matrix(settings.side, SCALE)
        cut = matrix + np.array([[0, 0, MARGIN], [0, 0, MARGIN]])
        seen = [pooled_gradients(view.frame(cut, settings.side + 2 * MARGIN)) for view in faces.views]
        self.planes: tuple[Pixels, Pixels] = (
            np.stack([one[0] for one in seen]),
            np.stack([one[1] for one in seen]),
        )
        self.truth = complex_of(faces.truth.reshape(count, -1)) * matrix[0, 0] + matrix[0, 2] * (1 + 1j)
        self.linear = np.full(count, matrix[0, 0] + 0j)
        self.shift = np.full(count, matrix[0, 2] * (1 + 1j))
        self.coefficients = cascade.coefficients(shapes.reshape(count, -1))
        self.cascade = cascade
        self.density = matrix[0, 0]

    def errors(self) -> NDArray[np.float64]:
        """Return the mean point error of each view (N,), face boxes."""
        now = self.cascade.shapes(self.coefficients) * self.linear[:, None] + self.shift[:, None]
        return np.asarray(np.abs(now - self.truth).mean(1) / self.density)

    def targets(self) -> Float:
        """Return the coefficients (N, Q + 1) of the true shapes in the current aligned frames."""
        true = (self.truth - self.shift[:, None]) / self.linear[:, None]
        return self.cascade.coefficients(true.view(np.float64))

    def features_at(self, places: Float, coarse: bool) -> Float:
        """Return the steered maps (N, 8 P) sampled at places (P, K)."""
        positions = (self.coefficients @ self.cascade.grid(places).T).view(np.complex64)
        found = np.empty((len(positions), CHANNELS * len(places)), np.float32)
        for n, (linear, shift) in enumerate(zip(self.linear.tolist(), self.shift.tolist(), strict=True)):
            maps = steer(normalised(self.planes[coarse][n], NORM_EPSILON), linear)
            factor, offset = to_cells(linear, shift, coarse)
            sample_maps(maps, positions[n] * np.complex64(factor) + np.complex64(offset), found[n])
        return found

    def realign(self) -> None:
        """Align the frames with the current shapes."""
        a, b = np.moveaxis(self.cascade.pose(self.coefficients), -1, 0)
        now = (self.cascade.shapes(self.coefficients) - b[:, None]) / a[:, None]
        self.coefficients = self.cascade.coefficients(now.view(np.float64))
        self.linear, self.shift = self.linear * a, self.linear * b + self.shift


def fit_mesh(faces: Faces, mean: Points, shapes: Points, settings: Mesh, progress: Progress) -> MeshCascade:
    """Return a cascade from initial shapes (N, K, 2) to the true ones, in unit frames."""
    cascade = MeshCascade(settings, mean, _basis(mean, faces.truth, settings.kept))
    state = MeshTrainingState(faces, cascade, shapes)
    varied = bool(np.ptp(shapes, axis=0).max() > 1e-3)  # starts from other faces, not from the mean alone
    for number, stride in enumerate(settings.strides):
        extension = EXTENSION if number or varied else FIRST_EXTENSION
        mesh = PiecewiseAffine.over(mean, stride, extension)
        if not len(mesh.weights):
            raise ShapeError("the mean shape is too small for a mesh")
        cascade.stages.append(_stage(state, half(mesh.weights), number, faces.faces))
        if number < settings.turns:
            state.realign()
        message = f"stage learnt: mean error {100 * state.errors().mean():.2f} % of the box"
        progress(0.1 + 0.9 * (number + 1) / len(settings.strides), message)
    return cascade


def _stage(state: MeshTrainingState, places: Float, number: int, faces: NDArray[np.intp]) -> Stage:
    """Learn one stage, and update the shapes by its leave-one-face-out predictions."""
    cascade = state.cascade
    settings, points = cascade.settings, state.truth.shape[1]
    sampled = CHANNELS * len(places)
    current = state.coefficients[:, :-1]
    features = np.empty((len(current), sampled + current.shape[1]), np.float32)
    features[:, :sampled] = state.features_at(places, number < settings.coarse)
    variance = current.var(0).sum() / (2 * points)
    scale = SHAPE * features[:, :sampled].var(0).mean() / variance if variance > 1e-9 else 0.0
    shape_scale = np.float32(np.sqrt(scale))
    features[:, sampled:] = shape_scale * current
    fraction = number / max(len(settings.strides) - 1, 1)
    directions = round(settings.first + fraction * (settings.directions - settings.first))
    updates = (state.targets()[:, :-1] - current)[:, :directions].astype(np.float64)
    groups = faces if np.ptp(faces) else None  # a single face cannot be left out
    sample_weights = robust_weights(state.errors())
    weights, bias, held_out = ridge(features, updates, settings.strength, groups, sample_weights)
    weights[sampled:] *= shape_scale
    state.coefficients[:, : updates.shape[1]] += held_out.astype(np.float32)
    both = np.column_stack([half(weights.T), bias.astype(np.float32)])
    return Stage(places, np.ascontiguousarray(both), cascade.grid(places))


def _basis(mean: Points, truth: Points, count: int) -> Float:
    """Return the shape basis (Q, 2 K): four similarity directions, then principal directions of shapes."""
    centred = complex_of((mean - mean.mean(0)).ravel())
    one = np.ones(len(mean), np.complex128)
    moves = np.stack([one, 1j * one, centred, 1j * centred])
    similar = (moves / np.linalg.norm(moves, axis=1, keepdims=True)).view(np.float64)
    shapes = complex_of(truth.reshape(len(truth), -1))
    shapes = shapes - shapes.mean(1, keepdims=True)
    linear = shapes @ centred.conj() / np.vdot(centred, centred).real
    own = (shapes / np.where(np.abs(linear) > 1e-6, linear, 1.0)[:, None] - centred).view(np.float64)
    own = own - (own @ similar.T) @ similar
    _, vectors = np.linalg.eigh(own.T @ own)
    return half(np.concatenate([similar, vectors[:, ::-1].T])[: min(count, mean.size)])


def half(values: NDArray[Any]) -> Float:
    """Return values rounded to half precision, as they are stored."""
    return np.ascontiguousarray(values.astype(np.float16), np.float32)
