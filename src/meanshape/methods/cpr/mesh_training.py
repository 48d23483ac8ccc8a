"""How the default cascade of `cpr` learns: one ridge regression a stage, on all views of all faces.

What a stage says of the faces that it learnt from is what it would say without them (see `ridge`): the
stages after it learn from errors as they are.
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
    BEYOND,
    MARGIN,
    SCALE,
    SOFT,
    WIDE,
    Float,
    Mesh,
    MeshCascade,
    Stage,
    complex_of,
    in_cells,
    pooled,
    read,
    relative,
    upright,
)
from meanshape.methods.cpr.training_set import Faces, nearer_count_more
from meanshape.methods.shared.piecewise import PiecewiseAffine
from meanshape.methods.shared.ridge import ridge

SHAPE = 10.0
"""How much cheaper the shape so far is, for the ridge, than what is read in the picture."""


class Shown:
    """Views of faces while stages are learnt: planes of both fineness, the shapes so far in numbers
    (N, Q + 1), and how upright frames lie on the frames: turn and shift (N,).
    """

    def __init__(self, faces: Faces, cascade: MeshCascade, shapes: Points) -> None:
        settings, count = cascade.settings, len(faces.views)
        matrix = frame_matrix(settings.side, SCALE)
        cut = matrix + np.array([[0, 0, MARGIN], [0, 0, MARGIN]])
        seen = [pooled(view.frame(cut, settings.side + 2 * MARGIN)) for view in faces.views]
        self.planes: tuple[Pixels, Pixels] = (
            np.stack([one[0] for one in seen]),
            np.stack([one[1] for one in seen]),
        )
        self.truth = complex_of(faces.truth.reshape(count, -1)) * matrix[0, 0] + matrix[0, 2] * (1 + 1j)
        self.turn, self.shift = np.full(count, matrix[0, 0] + 0j), np.full(count, matrix[0, 2] * (1 + 1j))
        self.numbers, self.cascade, self.density = (
            cascade.numbers(shapes.reshape(count, -1)),
            cascade,
            matrix[0, 0],
        )

    def off(self) -> NDArray[np.float64]:
        """Return how far points are off, the mean of each view (N,), in face boxes."""
        now = self.cascade.shapes(self.numbers) * self.turn[:, None] + self.shift[:, None]
        return np.asarray(np.abs(now - self.truth).mean(1) / self.density)

    def wanted(self) -> Float:
        """Return the numbers (N, Q + 1) of the true shapes, in the upright frames so far."""
        true = (self.truth - self.shift[:, None]) / self.turn[:, None]
        return self.cascade.numbers(true.view(np.float64))

    def read(self, places: Float, coarse: bool) -> Float:
        """Return what is read (N, 8 P) at places (P, K)."""
        there = (self.numbers @ self.cascade.grid(places).T).view(np.complex64)
        found = np.empty((len(there), CHANNELS * len(places)), np.float32)
        for n, (turn, shift) in enumerate(zip(self.turn.tolist(), self.shift.tolist(), strict=True)):
            maps = upright(relative(self.planes[coarse][n], SOFT), turn)
            factor, offset = in_cells(turn, shift, coarse)
            read(maps, there[n] * np.complex64(factor) + np.complex64(offset), found[n])
        return found

    def set_upright(self) -> None:
        """Set the frames upright by the shapes so far."""
        a, b = np.moveaxis(self.cascade.pose(self.numbers), -1, 0)
        now = (self.cascade.shapes(self.numbers) - b[:, None]) / a[:, None]
        self.numbers = self.cascade.numbers(now.view(np.float64))
        self.turn, self.shift = self.turn * a, self.turn * b + self.shift


def fit_mesh(faces: Faces, mean: Points, shapes: Points, settings: Mesh, progress: Progress) -> MeshCascade:
    """Return a cascade that takes shapes (N, K, 2) to the true ones, in unit frames."""
    cascade = MeshCascade(settings, mean, _basis(mean, faces.truth, settings.kept))
    shown, known = Shown(faces, cascade, shapes), bool(np.ptp(shapes, axis=0).max() > 1e-3)
    for number, stride in enumerate(settings.strides):
        beyond = BEYOND if number or known else WIDE
        mesh = PiecewiseAffine.over(mean, stride, beyond)
        if not len(mesh.weights):
            raise ShapeError("the mean shape is too small for a mesh")
        cascade.stages.append(_stage(shown, half(mesh.weights), number, faces.faces))
        if number < settings.turns:
            shown.set_upright()
        said = f"stage learnt: off by {100 * shown.off().mean():.2f} % of the box on average"
        progress(0.1 + 0.9 * (number + 1) / len(settings.strides), said)
    return cascade


def _stage(shown: Shown, places: Float, number: int, faces: NDArray[np.intp]) -> Stage:
    """Learn one stage, and move the shapes by what it says of each face without having learnt from it."""
    cascade, many = shown.cascade, CHANNELS * len(places)
    settings, points = cascade.settings, shown.truth.shape[1]
    now = shown.numbers[:, :-1]
    seen = np.empty((len(now), many + now.shape[1]), np.float32)
    seen[:, :many] = shown.read(places, number < settings.coarse)
    spread = now.var(0).sum() / (2 * points)
    raised = np.float32(np.sqrt(SHAPE * seen[:, :many].var(0).mean() / spread) if spread > 1e-9 else 0.0)
    seen[:, many:] = raised * now
    share = number / max(len(settings.strides) - 1, 1)
    many_moves = round(settings.first + share * (settings.directions - settings.first))
    moves = (shown.wanted()[:, :-1] - now)[:, :many_moves].astype(np.float64)
    groups = faces if np.ptp(faces) else None  # one face alone cannot be left out
    weights, bias, answers = ridge(seen, moves, settings.strength, groups, nearer_count_more(shown.off()))
    weights[many:] *= raised
    shown.numbers[:, : moves.shape[1]] += answers.astype(np.float32)
    both = np.column_stack([half(weights.T), bias.astype(np.float32)])
    return Stage(places, np.ascontiguousarray(both), cascade.grid(places))


def _basis(mean: Points, truth: Points, count: int) -> Float:
    """Return the directions (Q, 2 K) that shapes are kept in: the four that similarities move the mean in,
    then those in which upright shapes vary most.
    """
    centred = complex_of((mean - mean.mean(0)).ravel())
    one = np.ones(len(mean), np.complex128)
    moves = np.stack([one, 1j * one, centred, 1j * centred])
    similar = (moves / np.linalg.norm(moves, axis=1, keepdims=True)).view(np.float64)
    shapes = complex_of(truth.reshape(len(truth), -1))
    shapes = shapes - shapes.mean(1, keepdims=True)
    turn = shapes @ centred.conj() / np.vdot(centred, centred).real
    own = (shapes / np.where(np.abs(turn) > 1e-6, turn, 1.0)[:, None] - centred).view(np.float64)
    own = own - (own @ similar.T) @ similar
    _, vectors = np.linalg.eigh(own.T @ own)
    return half(np.concatenate([similar, vectors[:, ::-1].T])[: min(count, mean.size)])


def half(values: NDArray[Any]) -> Float:
    """Return values as they come back from a file of half precision."""
    return np.ascontiguousarray(values.astype(np.float16), np.float32)
