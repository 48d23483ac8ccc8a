"""A linear stage of a cascade on the gradients of the whole face: they are read where a mesh over the points
says, and one ridge regression moves all points in the directions that updates have.

A coarse mesh (a place every 4 to 6 pixels) says less about each point than descriptors at the points do, and
errs less on new faces. What a stage says of the faces that it learnt from is what it would say without them,
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ShapeError
from meanshape.core.geometry import Points
from meanshape.core.image import Pixels
from meanshape.methods.parts.descriptors import CHANNELS, lighter_each_way
from meanshape.methods.parts.piecewise import PiecewiseAffine
from meanshape.methods.parts.pixel_pool import Float, principal
from meanshape.methods.parts.ridge import ridge
from meanshape.methods.parts.training_set import Lesson, nearer_count_more

STEP = 4
"""Frame pixels per cell of the maps."""
SHAPE = 10.0
"""How much cheaper the shape so far is, for the ridge, than what is read in the picture."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What is decided about a stage that reads a mesh."""

    stride: float = 3.0  # distance of the places on the mean shape, frame pixels,
    spread: float = 0.03  # and beside them face boxes: finer frames are not read as finely as they could be
    beyond: float = 0.12  # how far the mesh reaches beyond the points, as a share of their distance
    wide: float = 0.7  # the same where nothing is known of the shape yet, in the first stage
    soft: float = 16.0  # grey levels: gradients much weaker than that stay small when made relative
    strength: float = 0.4  # of the ridge
    directions: int = 48  # that updates are stored in

    def margin(self) -> int:
        """Return the frame pixels that are needed around the frame."""
        return 1


@dataclass(slots=True)
class MeshStage:
    """Places as mixtures of the points (P, K), weights (q, 8 P) of what is read there and (q, 2 K) of the
    shape so far, in face boxes, bias (q,), and what the answer's numbers mean (2 K, q).
    """

    places: Float
    weights: Float
    shaped: Float
    bias: Float
    basis: Float
    soft: np.float32
    side: float  # of a face box, frame pixels

    @classmethod
    def fit(cls, lesson: Lesson, settings: Mesh, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage, and what it says of each face as if it had not learnt from it."""
        places = _places(lesson, settings)
        soft, count = np.float32(settings.soft), len(lesson.shapes)
        read = np.empty((count, CHANNELS * len(places) + lesson.mean.size), np.float32)
        for n, (frame, shape) in enumerate(zip(lesson.frames, lesson.shapes, strict=True)):
            read[n, : CHANNELS * len(places)] = _read(gradients(frame), places, shape, soft)
        shapes = lesson.shapes.reshape(count, -1) / lesson.density
        spread, seen = shapes.var(0).mean(), read[:, : CHANNELS * len(places)].var(0).mean()
        raised = np.sqrt(SHAPE * seen / spread) if spread > 1e-9 else 0.0
        read[:, CHANNELS * len(places) :] = raised * shapes
        wanted = (lesson.truth - lesson.shapes).reshape(count, -1).astype(np.float32)
        basis, targets = principal(wanted, settings.directions)
        groups = lesson.faces if np.ptp(lesson.faces) else None  # one face alone cannot be left out
        weights, bias, answers = ridge(
            read, targets.astype(np.float64), settings.strength, groups, nearer_count_more(lesson)
        )
        first, rest = np.split(weights.T, [CHANNELS * len(places)], axis=1)
        numbers = np.float32(soft), float(np.float32(lesson.density))
        stage = cls(
            places, _half(first), _half(raised * rest), bias.astype(np.float32), _half(basis.T), *numbers
        )
        moved = answers.astype(np.float32) @ basis
        return stage, lesson.shapes + moved.reshape(lesson.shapes.shape)

    def see(self, frame: Pixels) -> Float:
        """Return what the stage looks at, in a frame with its margin: its gradients."""
        return gradients(frame)

    def __call__(self, maps: Float, shape: Points) -> Points:
        """Return the points (K, 2), in frame pixels without the margin, after this stage."""
        answer = self.weights @ _read(maps, self.places, shape, self.soft)
        answer += self.shaped @ (shape.ravel() / self.side).astype(np.float32) + self.bias
        return np.asarray(shape + (self.basis @ answer).reshape(shape.shape))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is stored, in half precision."""
        names = ("places", "weights", "shaped", "basis")
        numbers = np.array([self.soft, self.side], np.float32)
        halves = {name: getattr(self, name).astype(np.float16) for name in names}
        return {**halves, "bias": self.bias, "numbers": numbers}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], settings: Mesh) -> Self:
        """Return the stage that was stored."""
        places, weights, shaped, basis = (
            np.ascontiguousarray(arrays[name], np.float32)
            for name in ("places", "weights", "shaped", "basis")
        )
        soft, side = arrays["numbers"]
        return cls(places, weights, shaped, arrays["bias"], basis, np.float32(soft), float(side))


def gradients(frame: Pixels) -> Float:
    """Return the maps (n / 4, n / 4, 8) of a frame (n + 2, n + 2): how much lighter it gets each way."""
    import cv2

    planes = lighter_each_way(frame)
    side = planes.shape[1]
    cells = side // STEP
    small: Any = planes.reshape(-1, side)
    for part in (2, STEP):  # halving twice is faster than once by four; smooth, as places are interpolated
        small = cv2.resize(small, (side // part, CHANNELS * side // part), interpolation=cv2.INTER_AREA)
    maps: Any = cv2.merge(list(np.asarray(small).reshape(CHANNELS, cells, cells)))
    return np.asarray(maps, np.float32)


def _read(maps: Float, places: Float, shape: Points, soft: np.float32) -> Float:
    """Return the gradients (8 P,) at places (P, K) of a shape (K, 2), relative to all of each place."""
    import cv2

    there = places @ (shape * (1 / STEP) - (STEP - 1) / 2 / STEP).astype(np.float32)
    empty = np.empty(0, np.float32)  # both coordinates are in the first map
    found = cv2.remap(maps, there[:, None], empty, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    read: Float = np.asarray(found, np.float32).reshape(-1, CHANNELS)
    norm = np.sqrt(np.einsum("ij,ij->i", read, read)) + soft
    read /= norm[:, None]
    return read.ravel()


def _places(lesson: Lesson, settings: Mesh) -> Float:
    """Return the places (P, K) of the mesh over the mean, each a mixture of the points."""
    unknown = np.ptp(lesson.shapes, axis=0).max() < 1e-3 * lesson.density
    beyond = settings.wide if unknown else settings.beyond
    stride = settings.stride / lesson.density + settings.spread
    mesh = PiecewiseAffine.over(lesson.mean, stride, beyond)
    if not len(mesh.weights):
        raise ShapeError("the mean shape is too small for a mesh")
    return _half(mesh.weights)


def _half(values: NDArray[Any]) -> Float:
    """Return values as they come back from a file of half precision."""
    return np.ascontiguousarray(values.astype(np.float16), np.float32)
