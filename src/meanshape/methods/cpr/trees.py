"""Complete regression trees on shape-indexed pixel differences; all trees are traversed level by level."""

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
from meanshape.methods.cpr.training_set import StageData

PAIR_DISTANCE = 0.1
"""Decay length of the probability of a pixel pair with the distance of its pixels, face boxes."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Settings of a stage of boosted trees (Kazemi and Sullivan, CVPR 2014).

    The paper's values are 500, 5, 0.1, 400, 20 and a decay length of 0.1.
    """

    count: int = 150
    depth: int = 4
    rate: float = 0.15  # learning rate (shrinkage)
    pixels: int = 400
    tries: int = 20  # random splits that each node chooses from
    radius: int = 12  # of the discs that pixels are drawn from, frame pixels
    directions: int = 24  # principal components that updates are stored in

    built_in: ClassVar[Mapping[str, Any]] = {"nearness": PAIR_DISTANCE}

    def margin(self) -> int:
        """Return the margin needed around the frame, pixels."""
        return self.radius + 1


def import_grow() -> Any:
    """Return `tree_growth.grow`; raise `MissingExtra` without numba."""
    try:
        from meanshape.methods.cpr.tree_growth import grow
    except ImportError as error:
        raise MissingExtra.of("train", "Training trees") from error
    return grow


def leaf_indices(
    grey: NDArray[np.int16], pairs: NDArray[np.int64], thresholds: NDArray[np.int16]
) -> NDArray[np.int64]:
    """Return the leaf (T,) reached in each tree of pairs (T, nodes, 2) and thresholds (T, nodes)."""
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
    def fit(cls, data: StageData, settings: Trees, rng: np.random.Generator) -> tuple[Self, Points]:
        """Return the stage and its shapes (N, K, 2) of the training faces."""
        grow = import_grow()
        pool = Pool.drawn(rng, data.shapes.shape[1], settings.pixels, settings.radius)
        grey = pool.table(data, settings.margin())
        targets = (data.truth - data.shapes).reshape(len(grey), -1).astype(np.float32)
        basis, residual = principal(targets, settings.directions)
        moved, nodes = np.zeros_like(residual), (1 << settings.depth) - 1
        cumulative = _pair_distribution(pool, data)
        pairs = np.empty((settings.count, nodes, 2), np.int64)
        thresholds = np.empty((settings.count, nodes), np.int16)
        leaves = np.empty((settings.count, nodes + 1, residual.shape[1]), np.float32)
        for n in range(settings.count):
            drawn = np.searchsorted(cumulative[:-1], rng.random((nodes, settings.tries)))
            candidates = np.stack(np.divmod(drawn, settings.pixels), -1)
            order = np.arange(len(residual))
            uniforms = rng.random((nodes, settings.tries))
            pairs[n], thresholds[n], begins = grow(
                grey, residual, order, candidates, uniforms, settings.depth
            )
            for leaf, (a, b) in enumerate(pairwise(begins)):
                mean = residual[order[a:b]].mean(0) if b > a else np.zeros(residual.shape[1])
                leaves[n, leaf] = (settings.rate * mean).astype(np.float16)
                moved[order[a:b]] += leaves[n, leaf]
                residual[order[a:b]] -= leaves[n, leaf]
        stage = cls(pool, settings.margin(), pairs, thresholds, leaves, basis)
        return stage, data.shapes + (moved @ basis).reshape(data.shapes.shape)

    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the leaf (T,) of each tree."""
        return leaf_indices(grey, self.pairs, self.thresholds)


def _pair_distribution(pool: Pool, data: StageData) -> NDArray[np.float64]:
    """Return the cumulative distribution (P P,) over all pixel pairs."""
    places = data.mean[pool.points] + pool.offsets / data.density
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    probability = np.exp(-distance / PAIR_DISTANCE)
    np.fill_diagonal(probability, 0)
    return np.asarray(np.minimum(np.cumsum(probability) / probability.sum(), 1.0))
