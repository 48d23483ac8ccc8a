"""How far points are from where they should be: plain functions over arrays.

Everything here is a share (0.04), never percent. Errors are (N, K) pixels, NaN where a point is not
annotated; values are one number per image (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ShapeError
from meanshape.core.markup import MarkUp, markup

Array = NDArray[np.float64]
Normaliser = Literal["inter_ocular", "inter_pupil", "box_diagonal", "box_size", "box_width"]
NORMALISERS: tuple[Normaliser, ...] = ("inter_ocular", "inter_pupil", "box_diagonal", "box_size", "box_width")


def point_errors(predicted: ArrayLike, truth: ArrayLike) -> Array:
    """Return the distances (N, K) in pixels between points (N, K, 2)."""
    a, b = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if a.shape != b.shape or a.shape[-1:] != (2,):
        raise ShapeError(f"predicted and true points must both be (N, K, 2), not {a.shape} and {b.shape}")
    return np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1])


def normalisers(
    truth: ArrayLike, kind: MarkUp | str, boxes: Sequence[Box] | None = None
) -> dict[Normaliser, Array]:
    """Return the lengths (N,) in pixels that errors can be divided by.

    Parameters
    ----------
    truth : the true points (N, K, 2)
    boxes : the truth boxes (N); none: the tight boxes of the points

    Returns
    -------
    by name: `inter_ocular` (outer eye corners) and `inter_pupil` (eye centres) where the mark-up has
    them, and `box_diagonal`, `box_size` (square root of the area), `box_width`; NaN where not annotated
    """
    kind = markup(kind)
    points = kind.check(truth)
    lengths: dict[Normaliser, Array] = {}
    if kind.inter_ocular is not None:
        lengths["inter_ocular"] = np.linalg.norm(
            points[:, kind.inter_ocular[0]] - points[:, kind.inter_ocular[1]], axis=-1
        )
    if kind.left_eye and kind.right_eye:
        left, right = kind.eye_centers(points)
        lengths["inter_pupil"] = np.linalg.norm(left - right, axis=-1)
    if boxes is None:
        boxes = [Box.around(face) for face in points]
    lengths["box_diagonal"] = np.array([box.diagonal for box in boxes])
    lengths["box_size"] = np.array([box.size for box in boxes])
    lengths["box_width"] = np.array([box.width for box in boxes])
    return lengths


def nme(errors: ArrayLike, lengths: ArrayLike) -> Array:
    """Return the normalised mean error (N,) of each image: the mean over its points, by its length."""
    array = np.asarray(errors, np.float64)
    known = np.isfinite(array)
    count = known.sum(-1)
    total = np.where(known, array, 0.0).sum(-1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    length = np.broadcast_to(np.asarray(lengths, np.float64), mean.shape)
    return np.asarray(np.divide(mean, length, out=np.full(mean.shape, np.nan), where=length > 0))


def ced(values: ArrayLike, thresholds: ArrayLike) -> Array:
    """Return the share of images whose error is at most each threshold (cumulative error distribution)."""
    ordered = np.sort(_known(values))
    return np.searchsorted(ordered, np.asarray(thresholds, np.float64), side="right") / len(ordered)


def auc(values: ArrayLike, threshold: float) -> float:
    """Return the area under the CED up to `threshold`, divided by it: mean(max(0, 1 - e / t))."""
    return float(np.maximum(0.0, 1.0 - _known(values) / threshold).mean())


def failure_rate(values: ArrayLike, threshold: float) -> float:
    """Return the share of images whose error is above `threshold`."""
    return float((_known(values) > threshold).mean())


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over images."""
    array = _known(values)
    rng = np.random.default_rng(seed)
    means = np.array([array[rng.integers(len(array), size=len(array))].mean() for _ in range(rounds)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _known(values: ArrayLike) -> Array:
    """Return the values that are numbers; there must be one."""
    array = np.asarray(values, np.float64).ravel()
    array = array[~np.isnan(array)]
    if not len(array):
        raise ShapeError("there is no error to take a mean of: no image has annotated points")
    return array
