"""Trees on shape-indexed pixel differences: complete, all walked at once, one level after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import MissingExtra
from meanshape.core.geometry import Points
from meanshape.methods.cpr.pixel_pool import Pool, principal
from meanshape.methods.cpr.table_stage import TableStage
from meanshape.methods.cpr.training_set import Lesson

NEARNESS = 0.1
"""Pairs are drawn with a chance that falls by e over this distance, face boxes."""


@dataclass(frozen=True, slots=True)
class Trees:
    """What is decided about a stage of boosted trees (Kazemi and Sullivan, CVPR 2014).

    The paper's values are 500, 5, 0.1, 400, 20 and, with distances in face boxes, 0.1.
    """

    count: int = 150
    depth: int = 4
    rate: float = 0.15
    pixels: int = 400
    tries: int = 20  # random splits that each node chooses from
    radius: int = 12  # of the discs that pixels are drawn from, frame pixels
    directions: int = 24  # that updates are stored in

    built_in: ClassVar[Mapping[str, Any]] = {"nearness": NEARNESS}

    def margin(self) -> int:
        """Return the frame pixels that are needed around the frame."""
        return self.radius + 1


def growing() -> Any:
    """Return the function that grows a tree, or say what is missing."""
    try:
        from meanshape.methods.cpr.tree_growth import grow
    except ImportError as error:
        raise MissingExtra.of("train", "Training trees") from error
    return grow


def walk(
    grey: NDArray[np.int16], pairs: NDArray[np.int64], thresholds: NDArray[np.int16]
) -> NDArray[np.int64]:
    """Return the leaf (T,) that each of some trees leads to: pairs (T, nodes, 2), thresholds (T, nodes)."""
    trees, nodes = thresholds.shape
    first, second, limit = pairs[..., 0].ravel(), pairs[..., 1].ravel(), thresholds.ravel()
    root = np.arange(trees) * nodes
    node = np.zeros(trees, np.int64)
    for _ in range(int(np.log2(nodes + 1))):
        at = root + node
        node = 2 * node + 1 + (grey.take(first.take(at)) - grey.take(second.take(at)) > limit.take(at))
    return np.asarray(node - nodes)


class TreeStage(TableStage):
    """Pairs (T, nodes, 2) and thresholds (T, nodes) of trees; their tables are leaves (T, 2^d, q)."""

    __slots__ = ()
    stored = "leaves"

    @classmethod
    def fit(cls, lesson: Lesson, settings: Trees, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage and what it says of each face that it learnt from."""
        grow = growing()
        pool = Pool.drawn(rng, lesson.shapes.shape[1], settings.pixels, settings.radius)
        grey = pool.table(lesson, settings.margin())
        wanted = (lesson.truth - lesson.shapes).reshape(len(grey), -1).astype(np.float32)
        basis, left = principal(wanted, settings.directions)
        moved, nodes = np.zeros_like(left), (1 << settings.depth) - 1
        chance = _pair_chances(pool, lesson)
        pairs = np.empty((settings.count, nodes, 2), np.int64)
        thresholds = np.empty((settings.count, nodes), np.int16)
        leaves = np.empty((settings.count, nodes + 1, left.shape[1]), np.float32)
        for n in range(settings.count):
            drawn = np.searchsorted(chance[:-1], rng.random((nodes, settings.tries)))
            candidates = np.stack(np.divmod(drawn, settings.pixels), -1)
            order = np.arange(len(left))
            chances = rng.random((nodes, settings.tries))
            pairs[n], thresholds[n], begins = grow(grey, left, order, candidates, chances, settings.depth)
            for leaf, (a, b) in enumerate(pairwise(begins)):
                mean = left[order[a:b]].mean(0) if b > a else np.zeros(left.shape[1])
                leaves[n, leaf] = (settings.rate * mean).astype(np.float16)
                moved[order[a:b]] += leaves[n, leaf]
                left[order[a:b]] -= leaves[n, leaf]
        stage = cls(pool, settings.margin(), pairs, thresholds, leaves, basis)
        return stage, lesson.shapes + (moved @ basis).reshape(lesson.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the leaf (T,) of each tree."""
        return walk(grey, self.pairs, self.thresholds)


def _pair_chances(pool: Pool, lesson: Lesson) -> NDArray[np.float64]:
    """Return the running sum, up to 1, of the chances of all pairs of pixels (P P)."""
    there = lesson.mean[pool.points] + pool.offsets / lesson.density
    distance = np.linalg.norm(there[:, None] - there[None], axis=-1)
    chance = np.exp(-distance / NEARNESS)
    np.fill_diagonal(chance, 0)
    return np.asarray(np.minimum(np.cumsum(chance) / chance.sum(), 1.0))
