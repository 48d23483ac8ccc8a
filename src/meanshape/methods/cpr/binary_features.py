"""Local binary features (Ren, Cao, Wei, Sun, CVPR 2014).

A small random forest per point is trained on nearby pixels to predict that point's update. The indices of
the leaves reached are binary features of one global ridge regression of the whole shape.
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
from meanshape.methods.cpr.training_set import StageData
from meanshape.methods.cpr.trees import import_grow, leaf_indices

RADIUS = 12
"""Radius of the discs that pixels are drawn from, frame pixels."""
STRENGTH = 1.0
"""Penalty of the ridge regression, per tree."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Settings of a stage of local forests; the paper uses 1,200 trees of depth 7 in all."""

    trees: int = 5  # around each point
    depth: int = 5
    pixels: int = 120  # around each point
    tries: int = 120  # random splits that each node chooses from
    directions: int = 40  # that updates are stored in

    built_in: ClassVar[Mapping[str, Any]] = {"radius": RADIUS, "strength": STRENGTH}

    def margin(self) -> int:
        """Return the margin needed around the frame, pixels."""
        return RADIUS + 1


@dataclass(slots=True)
class BinaryStage(TableStage):
    """The trees of all points, with jointly regressed leaves and a constant `offset` (2 K,)."""

    offset: Float

    stored: ClassVar[str] = "leaves"

    @classmethod
    def fit(cls, data: StageData, settings: Binary, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage, and the held-out shapes (N, K, 2): the ridge of each fold ignores that fold."""
        count = data.shapes.shape[1]
        pool = Pool.drawn(rng, 1, count * settings.pixels, RADIUS)
        pool = Pool(np.repeat(np.arange(count), settings.pixels), pool.offsets)
        targets = (data.truth - data.shapes).astype(np.float32)
        pairs, thresholds, leaf_of = _forests(pool, data, targets, settings, rng)
        flat = targets.reshape(len(targets), -1)
        offset = flat.mean(0).astype(np.float16).astype(np.float32)
        basis, coordinates = principal(flat - offset, settings.directions)
        leaves, held_out = _ridge(leaf_of, coordinates, data.folds, settings)
        stage = cls(pool, settings.margin(), pairs, thresholds, leaves, basis, offset)
        return stage, data.shapes + (held_out @ basis + offset).reshape(data.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the leaf (T,) of each tree."""
        return leaf_indices(grey, self.pairs, self.thresholds)

    def move(self, rows: NDArray[np.int64]) -> Float:
        """Return the update of the points (2 K,) for leaves (T,)."""
        return TableStage.move(self, rows) + self.offset

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return TableStage.arrays(self) | {"offset": self.offset.astype(np.float16)}

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], settings: Any) -> Self:
        """Return the stage from its stored arrays."""
        tables, basis, offset = (arrays[name].astype(np.float32) for name in (cls.stored, "basis", "offset"))
        pairs = arrays["pairs"].astype(np.int64)
        return cls(Pool.read(arrays), settings.margin(), pairs, arrays["thresholds"], tables, basis, offset)


def _forests(
    pool: Pool, data: StageData, targets: Float, settings: Binary, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int64]]:
    """Grow each point's trees; return them and the leaf (N, T) that each face reaches in each."""
    grow, nodes = import_grow(), (1 << settings.depth) - 1
    total = targets.shape[1] * settings.trees
    pairs, thresholds = np.empty((total, nodes, 2), np.int64), np.empty((total, nodes), np.int16)
    leaf_of = np.empty((len(targets), total), np.int64)
    for tree in range(total):
        point = tree // settings.trees
        if tree % settings.trees == 0:
            first = point * settings.pixels
            own = slice(first, first + settings.pixels)
            grey = Pool(pool.points[own], pool.offsets[own]).table(data, settings.margin())
            target = np.ascontiguousarray(targets[:, point] - targets[:, point].mean(0))
        candidates = rng.integers(0, settings.pixels, (nodes, settings.tries, 2))
        uniforms, order = rng.random((nodes, settings.tries)), np.arange(len(targets))
        found, thresholds[tree], begins = grow(grey, target, order, candidates, uniforms, settings.depth)
        pairs[tree] = found.astype(np.int64) + first
        leaf_of[order, tree] = np.repeat(np.arange(nodes + 1), np.diff(begins))
    return pairs, thresholds, leaf_of


def _ridge(
    leaf_of: NDArray[np.int64], targets: Float, folds: NDArray[np.intp], settings: Binary
) -> tuple[Float, Float]:
    """Return the leaves' weights (T, 2^d, q) and held-out predictions (N, q).

    There are fewer faces than leaves, so the dual problem is solved: its kernel counts the leaves that two
    faces share.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.sparse import csr_matrix

    count, trees = leaf_of.shape
    size = 1 << settings.depth
    columns = (np.arange(trees) * size + leaf_of).ravel()
    ones = np.ones(columns.size, np.float32)
    binary = csr_matrix((ones, columns, np.arange(count + 1) * trees), shape=(count, trees * size))
    shared = np.asarray((binary @ binary.T).todense())
    penalty = STRENGTH * trees

    def solve(rows: NDArray[np.bool_]) -> Float:
        part = shared[np.ix_(rows, rows)]
        part[np.diag_indices(len(part))] += penalty
        solved: Float = cho_solve(cho_factor(part, overwrite_a=True, check_finite=False), targets[rows])
        return solved

    everyone = np.ones(count, bool)
    weights = np.asarray(binary.T @ solve(everyone)).reshape(trees, size, -1)
    held_out = np.empty_like(targets)
    for fold in range(int(folds.max()) + 1):
        rows = folds == fold
        if rows.all():
            held_out[:] = shared @ solve(rows)
        else:
            held_out[rows] = shared[np.ix_(rows, ~rows)] @ solve(~rows)
    return weights.astype(np.float16).astype(np.float32), held_out
