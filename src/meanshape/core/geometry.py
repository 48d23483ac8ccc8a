"""Maps between point sets and between pictures.

A map is a (2, 3) matrix A: x' = A[:, :2] x + A[:, 2]. Pixel centres are whole numbers, so resizing by f
maps x to (x + 0.5) f - 0.5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ShapeError

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]


def similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Matrix:
    """Return the scale, rotation and shift that takes `source` nearest to `target`, in closed form.

    Parameters
    ----------
    source, target : (..., K, 2); a point that is NaN in either does not count
    weights : (K,) or (..., K), how much each point counts

    Returns
    -------
    (..., 2, 3); where all points of `source` fall together, a shift alone
    """
    a, b = np.broadcast_arrays(np.asarray(source, np.float64), np.asarray(target, np.float64))
    w = (
        np.ones(a.shape[:-1])
        if weights is None
        else np.broadcast_to(np.asarray(weights, float), a.shape[:-1])
    )
    known = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
    w = np.where(known, w, 0.0)[..., None]
    total = w.sum(-2)
    if not (total > 0).all():
        raise ShapeError("a similarity needs points that are annotated in both shapes")
    a, b = np.where(known[..., None], a, 0.0), np.where(known[..., None], b, 0.0)
    mean_a, mean_b = (w * a).sum(-2) / total, (w * b).sum(-2) / total
    a, b = a - mean_a[..., None, :], b - mean_b[..., None, :]
    spread = (w * a * a).sum((-2, -1))
    alone = spread <= 1e-24 * np.maximum(1.0, np.abs(mean_a).max(-1)) ** 2
    spread = np.where(alone, 1.0, spread)
    cos = np.where(alone, 1.0, (w * a * b).sum((-2, -1)) / spread)
    sin = np.where(alone, 0.0, (w[..., 0] * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])).sum(-1) / spread)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shift = mean_b - (linear @ mean_a[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], -1)


def affine(source: ArrayLike, target: ArrayLike) -> Matrix:
    """Return the affine map (2, 3) that takes `source` (K, 2) nearest to `target` (K, 2).

    Needs three points, not on a line, that are annotated in both.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    known = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
    a, b = a[known], b[known]
    if len(a) < 3:
        raise ShapeError(f"an affine map needs three points that are annotated in both, not {len(a)}")
    mean_a, mean_b = a.mean(0), b.mean(0)
    linear, _, rank, _ = np.linalg.lstsq(a - mean_a, b - mean_b, rcond=None)
    if rank < 2:
        raise ShapeError("an affine map needs three points that are not on a line")
    return np.column_stack([linear.T, mean_b - mean_a @ linear])


def apply(matrix: ArrayLike, points: ArrayLike) -> Points:
    """Return points (..., K, 2) mapped by (..., 2, 3)."""
    m = np.asarray(matrix, np.float64)
    linear: Points = np.asarray(points, np.float64) @ np.swapaxes(m[..., :2], -1, -2)
    return linear + m[..., None, :, 2]


def invert(matrix: ArrayLike) -> Matrix:
    """Return the inverse of a map (..., 2, 3)."""
    m = np.asarray(matrix, np.float64)
    if m.shape == (2, 3):  # a crop waits for this, and numbers are quicker than small arrays
        (a, b, x), (c, d, y) = m.tolist()
        size = a * d - b * c
        if math.isfinite(size) and size != 0:
            inverse: Matrix = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]]) / size
            return inverse
    a, b, c, d = m[..., 0, 0], m[..., 0, 1], m[..., 1, 0], m[..., 1, 1]
    determinant = a * d - b * c
    if not (np.isfinite(determinant) & (determinant != 0)).all():
        raise ShapeError("a map that takes a plane to a line has no inverse")
    x, y = m[..., 0, 2], m[..., 1, 2]
    result = np.empty(m.shape)  # filled entry by entry: a crop waits for this, and stacking takes longer
    result[..., 0, 0], result[..., 0, 1], result[..., 0, 2] = d, -b, b * y - d * x
    result[..., 1, 0], result[..., 1, 1], result[..., 1, 2] = -c, a, c * x - a * y
    return result / determinant[..., None, None]


def compose(first: ArrayLike, second: ArrayLike) -> Matrix:
    """Return the map that does `first` and then `second`: apply(second, apply(first, x))."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim == b.ndim == 2:  # crops wait for this
        both: Matrix = b[:, :2] @ a
        both[:, 2] += b[:, 2]
        return both
    linear = b[..., :2] @ a[..., :2]
    return np.concatenate([linear, b[..., :2] @ a[..., 2:] + b[..., 2:]], -1)


def procrustes(
    shapes: ArrayLike, iterations: int = 50, tolerance: float = 1e-10
) -> tuple[Points, NDArray[np.float64]]:
    """Align shapes to their mean by similarities (generalised Procrustes).

    Parameters
    ----------
    shapes : (N, K, 2); NaN points do not count

    Returns
    -------
    mean : (K, 2), centred on 0, of norm 1, as upright as the shapes are on average
    aligned : (N, K, 2), each shape brought nearest to the mean
    """
    array = np.asarray(shapes, np.float64)
    if array.ndim != 3 or array.shape[-1] != 2 or not len(array):
        raise ShapeError(f"shapes must be (N, K, 2) with N at least 1, not {array.shape}")
    if np.isnan(array).all((0, 2)).any():
        raise ShapeError("a mean shape needs every point annotated at least once")
    upright = _unit(_mean(np.stack([_unit(shape) for shape in array])))
    mean = upright
    for _ in range(iterations):
        aligned = apply(similarity(array, mean), array)
        last, mean = mean, _unit(_mean(aligned))
        mean = _unit(apply(similarity(mean, upright), mean))
        if np.abs(mean - last).max() < tolerance:
            break
    return mean, apply(similarity(array, mean), array)


def crop_matrix(box: Box, size: int | tuple[int, int]) -> Matrix:
    """Return the map from picture to crop that takes the box's edges to -0.5 and size - 0.5.

    `size` is the crop's (width, height), or one number for both.
    """
    width, height = (size, size) if isinstance(size, int) else size
    x, y = width / box.width, height / box.height
    return np.array([[x, 0.0, -box.left * x - 0.5], [0.0, y, -box.top * y - 0.5]])


def square_matrix(box: Box, scale: float, size: float) -> Matrix:
    """Return the map from picture to crop: `scale` box sizes about the box's centre fill its square."""
    factor, (x, y), middle = size / (scale * box.size), box.center, (size - 1) / 2
    return np.array([[factor, 0.0, middle - factor * x], [0.0, factor, middle - factor * y]])


def unit_matrix(box: Box) -> Matrix:
    """Return the map from a box's unit frame (its centre is 0, its size 1) to the picture."""
    (x, y), size = box.center, box.size
    return np.array([[size, 0.0, x], [0.0, size, y]])


def frame_matrix(side: float, scale: float) -> Matrix:
    """Return the map from the unit frame to a frame of `scale` boxes on `side` pixels."""
    factor, middle = side / scale, (side - 1) / 2
    return np.array([[factor, 0.0, middle], [0.0, factor, middle]])


def resize_points(points: ArrayLike, factor: float | tuple[float, float]) -> Points:
    """Return pixels (..., 2) in the picture resized by `factor`, or by one factor for x and one for y."""
    return (np.asarray(points, np.float64) + 0.5) * factor - 0.5


def _mean(shapes: NDArray[np.float64]) -> Points:
    """Return the mean over shapes (N, K, 2) of the points that are annotated."""
    known = np.isfinite(shapes)
    return np.asarray(np.where(known, shapes, 0.0).sum(0) / known.sum(0))


def _unit(shape: Points) -> Points:
    """Return the shape centred on 0 and of norm 1; NaN stays."""
    centred = shape - np.nanmean(shape, 0)
    norm = np.sqrt(np.nansum(centred**2))
    if not norm > 0:
        raise ShapeError("a shape whose points all fall together has no size")
    return np.asarray(centred / norm)
