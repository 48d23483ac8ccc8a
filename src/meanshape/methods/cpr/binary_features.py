"""Learnt binary features (Ren, Cao, Wei, Sun, CVPR 2014): around each point a small forest learns to say
where the point lies from pixels near it alone; which leaves were reached is then the feature of one global
ridge regression of the whole shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.methods.cpr.pixel_pool import Float, Pool, principal
from meanshape.methods.cpr.table_stage import TableStage
from meanshape.methods.cpr.training_set import Lesson
from meanshape.methods.cpr.trees import growing, walk

RADIUS = 12
"""Of the discs that pixels are drawn from, frame pixels."""
STRENGTH = 1.0
"""Of the ridge, in units of the trees of all points."""


@dataclass(frozen=True, slots=True)
class Binary:
    """What is decided about a stage of local forests; the paper: 1,200 trees of depth 7 in all."""

    trees: int = 5  # around each point
    depth: int = 5
    pixels: int = 120  # around each point
    tries: int = 120  # random splits that each node chooses from
    directions: int = 40  # that updates are stored in

    built_in: ClassVar[Mapping[str, Any]] = {"radius": RADIUS, "strength": STRENGTH}

    def margin(self) -> int:
        """Return the frame pixels that are needed around the frame."""
        return RADIUS + 1


@dataclass(slots=True)
class BinaryStage(TableStage):
    """All points' trees, whose leaves were learnt together; they move the points from an offset (2 K)."""

    offset: Float

    stored: ClassVar[str] = "leaves"

    @classmethod
    def fit(cls, lesson: Lesson, settings: Binary, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage, and what it says of each face when the ridge learnt from the other folds only."""
        count = lesson.shapes.shape[1]
        pool = Pool.drawn(rng, 1, count * settings.pixels, RADIUS)
        pool = Pool(np.repeat(np.arange(count), settings.pixels), pool.offsets)
        wanted = (lesson.truth - lesson.shapes).astype(np.float32)
        pairs, thresholds, reached = _forests(pool, lesson, wanted, settings, rng)
        flat = wanted.reshape(len(wanted), -1)
        offset = flat.mean(0).astype(np.float16).astype(np.float32)
        basis, coordinates = principal(flat - offset, settings.directions)
        leaves, answers = _ridge(reached, coordinates, lesson.folds, settings)
        stage = cls(pool, settings.margin(), pairs, thresholds, leaves, basis, offset)
        return stage, lesson.shapes + (answers @ basis + offset).reshape(lesson.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the leaf (T,) of each tree."""
        return walk(grey, self.pairs, self.thresholds)

    def move(self, rows: NDArray[np.int64]) -> Float:
        """Return how far the leaves (T,) move the points (2 K,)."""
        return TableStage.move(self, rows) + self.offset

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is stored."""
        return TableStage.arrays(self) | {"offset": self.offset.astype(np.float16)}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], settings: Any) -> Self:
        """Return the stage that was stored."""
        tables, basis, offset = (arrays[name].astype(np.float32) for name in (cls.stored, "basis", "offset"))
        pairs = arrays["pairs"].astype(np.int64)
        return cls(Pool.read(arrays), settings.margin(), pairs, arrays["thresholds"], tables, basis, offset)


def _forests(
    pool: Pool, lesson: Lesson, wanted: Float, settings: Binary, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int64]]:
    """Grow each point's trees; return them and the leaf (N, T) that each face reaches in each."""
    grow, nodes = growing(), (1 << settings.depth) - 1
    total = wanted.shape[1] * settings.trees
    pairs, thresholds = np.empty((total, nodes, 2), np.int64), np.empty((total, nodes), np.int16)
    reached = np.empty((len(wanted), total), np.int64)
    for tree in range(total):
        point = tree // settings.trees
        if tree % settings.trees == 0:
            first = point * settings.pixels
            own = slice(first, first + settings.pixels)
            grey = Pool(pool.points[own], pool.offsets[own]).table(lesson, settings.margin())
            target = np.ascontiguousarray(wanted[:, point] - wanted[:, point].mean(0))
        candidates = rng.integers(0, settings.pixels, (nodes, settings.tries, 2))
        chances, order = rng.random((nodes, settings.tries)), np.arange(len(wanted))
        found, thresholds[tree], begins = grow(grey, target, order, candidates, chances, settings.depth)
        pairs[tree] = found.astype(np.int64) + first
        reached[order, tree] = np.repeat(np.arange(nodes + 1), np.diff(begins))
    return pairs, thresholds, reached


def _ridge(
    reached: NDArray[np.int64], wanted: Float, folds: NDArray[np.intp], settings: Binary
) -> tuple[Float, Float]:
    """Return what each leaf adds (T, 2^d, q), and answers (N, q) that each fold's faces had no part in.

    Faces are fewer than leaves: the ridge is solved for one number a face, from how many leaves each two
    faces share.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.sparse import csr_matrix

    count, trees = reached.shape
    size = 1 << settings.depth
    columns = (np.arange(trees) * size + reached).ravel()
    ones = np.ones(columns.size, np.float32)
    binary = csr_matrix((ones, columns, np.arange(count + 1) * trees), shape=(count, trees * size))
    shared = np.asarray((binary @ binary.T).todense())
    penalty = STRENGTH * trees

    def solve(rows: NDArray[np.bool_]) -> Float:
        part = shared[np.ix_(rows, rows)]
        part[np.diag_indices(len(part))] += penalty
        solved: Float = cho_solve(cho_factor(part, overwrite_a=True, check_finite=False), wanted[rows])
        return solved

    everyone = np.ones(count, bool)
    weights = np.asarray(binary.T @ solve(everyone)).reshape(trees, size, -1)
    answers = np.empty_like(wanted)
    for fold in range(int(folds.max()) + 1):
        rows = folds == fold
        if rows.all():
            answers[:] = shared @ solve(rows)
        else:
            answers[rows] = shared[np.ix_(rows, ~rows)] @ solve(~rows)
    return weights.astype(np.float16).astype(np.float32), answers
