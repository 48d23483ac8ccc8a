"""A point-distribution model: a mean plus a few modes, placed by a similarity (Cootes et al. 1995).

x = T(mean + b P). The mean lies in a frame of its own, centred on 0 and of the size 1 (root mean square
distance of the points from the centre); T is a scale, a rotation and a shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.errors import ShapeError
from meanshape.core.geometry import apply, procrustes, similarity

Float = NDArray[np.float64]

FILLS = 8
"""How often missing points are filled in from the model made of the others."""
FLAT = 1e-9
"""A shape whose size is less than this share of its coordinates is a point."""


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Mean (K, 2), modes (M, 2K) with orthonormal rows (x0, y0, x1, …), and the variance of each.

    `noise` is the mean variance per coordinate that the kept modes leave unexplained.
    """

    mean: Float
    modes: Float
    variances: Float
    noise: float = 0.0

    @classmethod
    def train(cls, shapes: ArrayLike, variance: float = 0.98, modes: int | None = None) -> Self:
        """Align shapes (N, K, 2) and keep the first modes of their spread.

        Parameters
        ----------
        shapes : NaN points do not count; at least two shapes that differ in more than place and size
        variance : the share of the whole variance that is kept, unless `modes` says how many modes are
        modes : as many as N faces can give (N - 1), if fewer
        """
        if not 0 < variance <= 1 or (modes is not None and modes < 1):
            raise ShapeError(f"keep a share in 0..1 or at least one mode, not {variance} and {modes}")
        array = np.asarray(shapes, np.float64)
        usable = [i for i, shape in enumerate(array) if _size(shape) > 0]
        if len(usable) < 2:
            raise ShapeError(
                f"a shape model needs two shapes or more whose points span something, got {len(usable)}"
            )
        mean, aligned = procrustes(array[usable])
        scale = np.sqrt(len(mean))
        mean, aligned = mean * scale, _tangent(aligned * scale, mean * scale)
        spread, centre = _filled(aligned.reshape(len(usable), -1), mean.ravel(), variance, modes)
        values, vectors = _principal(spread - centre)
        kept = _kept(values, variance, modes)
        rest = float(values[kept:].sum() / centre.size)
        return cls(centre.reshape(-1, 2), vectors[:kept], values[:kept], rest)

    def __len__(self) -> int:
        """Return K, the number of points."""
        return len(self.mean)

    def shape_from(self, b: ArrayLike, matrix: ArrayLike | None = None, *, deviations: bool = False) -> Float:
        """Return the points (K, 2) of the first mode weights, the rest being 0.

        Parameters
        ----------
        b : the weights, or, with `deviations`, in standard deviations of each mode
        matrix : where to place the shape; none: in the model's frame
        """
        weights = np.asarray(b, np.float64)
        if weights.ndim != 1 or len(weights) > len(self.modes):
            raise ShapeError(f"a shape is made of up to {len(self.modes)} weights, not {weights.shape}")
        if deviations:
            weights = weights * np.sqrt(self.variances[: len(weights)])
        points: Float = self.mean + (weights @ self.modes[: len(weights)]).reshape(-1, 2)
        return points if matrix is None else apply(matrix, points)

    def limit(
        self, b: ArrayLike, max_deviation: float | None = 3.0, max_distance: float | None = None
    ) -> Float:
        """Return mode weights clipped to plausible shapes.

        Parameters
        ----------
        max_deviation : bound of each mode, standard deviations; None: none
        max_distance : bound of the root mean square over the modes, standard deviations (the Mahalanobis
            distance over √M); None: none
        """
        deviations = np.sqrt(self.variances)
        cut = np.asarray(b, np.float64)
        if max_deviation is not None:
            cut = np.clip(cut, -max_deviation * deviations, max_deviation * deviations)
        if max_distance is not None and len(deviations):
            distance = np.sqrt(np.mean(cut**2 / np.maximum(self.variances, 1e-30)))
            cut = cut * min(1.0, max_distance / max(distance, 1e-30))
        return np.asarray(cut)

    def place(self, points: ArrayLike, weights: ArrayLike | None = None) -> Float:
        """Return the similarity (2, 3) that takes the mean nearest to points (K, 2); NaN do not count."""
        return similarity(self.mean, points, weights)

    def fit(
        self,
        points: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        prior: float = 0.0,
        max_deviation: float | None = 3.0,
        max_distance: float | None = None,
        rounds: int = 3,
    ) -> tuple[Float, Float]:
        """Return the mode weights (M,) and the similarity (2, 3) of the model's shape nearest to points.

        Parameters
        ----------
        points : (K, 2); NaN do not count
        weights : (K,), how much each point counts, or (K, 2, 2), the precision of each (1 / pixels²)
        prior : how much the modes' own Gaussian counts; 1 is right where weights are precisions
        max_deviation, max_distance : as of `limit`
        rounds : pose and modes are found together, linearised about the last, so often
        """
        target = np.asarray(points, np.float64)
        known = np.asarray(np.isfinite(target).all(1))
        if known.sum() < 2:
            raise ShapeError(f"a shape is fitted to two points or more, not {int(known.sum())}")
        precision = _precisions(weights, known)
        trace = precision[:, 0, 0] + precision[:, 1, 1]
        if not trace.max() > 0:
            raise ShapeError("a shape cannot be fitted to points that all weigh nothing")
        b = np.zeros(len(self.modes))
        if _size(target) == 0:  # they fall together: place, no size
            return b, np.column_stack([np.zeros((2, 2)), target[known].mean(0)])
        matrix = similarity(self.mean, target, trace)
        target = np.where(known[:, None], target, 0.0)
        for _ in range(rounds):
            matrix, b = self._step(target, precision, matrix, b, prior)
            b = self.limit(b, max_deviation, max_distance)
        return b, matrix

    def directions(self, matrix: ArrayLike, b: ArrayLike | None = None) -> Float:
        """Return how the placed points move (4 + M, K, 2) with log scale, angle, x, y and each mode."""
        pose = np.asarray(matrix, np.float64)
        shape = self.shape_from(np.zeros(0) if b is None else b) @ pose[:, :2].T
        found = np.zeros((4 + len(self.modes), len(self), 2))
        found[0], found[1] = shape, shape @ [[0, 1], [-1, 0]]
        found[2, :, 0] = found[3, :, 1] = 1.0
        found[4:] = self.modes.reshape(-1, len(self), 2) @ pose[:, :2].T
        return found

    def _step(
        self, target: Float, precision: Float, matrix: Float, b: Float, prior: float
    ) -> tuple[Float, Float]:
        """One Gauss-Newton step in pose and modes together."""
        jacobian = self.directions(matrix, b)
        count = len(jacobian)
        weighed = (jacobian[:, :, None] @ precision)[:, :, 0].reshape(count, -1)
        left = weighed @ jacobian.reshape(count, -1).T
        right = weighed @ (target - self.shape_from(b, matrix)).ravel()
        pull = prior / np.maximum(self.variances, 1e-30)
        modes = np.arange(4, count)
        left[modes, modes] += pull
        right[4:] -= pull * b
        left[np.diag_indices(count)] += 1e-9 * np.diag(left) + 1e-12
        step = np.linalg.solve(left, right)
        turn = np.exp(min(max(step[0], -1.0), 1.0)) * _turn(step[1])
        return np.column_stack([turn @ matrix[:, :2], matrix[:, 2] + step[2:4]]), b + step[4:]

    def complete(self, shapes: Float) -> Float:
        """Return shapes (N, K, 2) with their NaN points where the model has them."""
        filled = shapes.copy()
        for shape in filled:
            holes = np.isnan(shape).any(1)
            if holes.any():
                shape[holes] = self.shape_from(*self.fit(shape, prior=self.noise))[holes]
        return filled

    def first(self, modes: int) -> Self:
        """Return the model with its first modes alone."""
        lost = float(self.variances[modes:].sum()) / self.mean.size
        return type(self)(self.mean, self.modes[:modes], self.variances[:modes], self.noise + lost)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what a file keeps."""
        kept = {"mean": self.mean, "modes": self.modes, "variances": self.variances, "noise": self.noise}
        return {name: np.asarray(value, np.float32) for name, value in kept.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Self:
        """Return the model that `arrays` describes."""
        mean, modes, variances = (np.asarray(arrays[n], np.float64) for n in ("mean", "modes", "variances"))
        if mean.ndim != 2 or modes.shape != (len(variances), mean.size):
            raise ShapeError(
                f"a mean {mean.shape}, modes {modes.shape} and {len(variances)} variances differ"
            )
        return cls(mean, modes, variances, float(arrays["noise"]))


def _turn(angle: float) -> Float:
    """Return the rotation by an angle, x toward y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _size(shape: Float) -> float:
    """Return how far the known points lie from their centre (0 where they fall together or are too few)."""
    known = shape[np.isfinite(shape).all(1)]
    if len(known) < 2:
        return 0.0
    size = float(np.sqrt(((known - known.mean(0)) ** 2).sum()))
    return size if size > FLAT * (1.0 + float(np.abs(known).max())) else 0.0


def _precisions(weights: ArrayLike | None, known: NDArray[np.bool_]) -> Float:
    """Return weights as precisions (K, 2, 2), 0 for what is not known."""
    count = len(known)
    given = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if given.shape not in ((count,), (count, 2, 2)):
        raise ShapeError(f"weights are ({count},) or ({count}, 2, 2), not {given.shape}")
    full = given[:, None, None] * np.eye(2) if given.ndim == 1 else given
    return np.where(known[:, None, None], full, 0.0)


def _tangent(aligned: Float, mean: Float) -> Float:
    """Scale each aligned shape so that its projection on the mean is the mean (the tangent space)."""
    known = np.isfinite(aligned)
    along = np.where(known, aligned * mean, 0.0).sum((1, 2)) / np.where(known, mean**2, 0.0).sum((1, 2))
    return np.asarray(aligned / np.maximum(along, 0.1)[:, None, None])


def _principal(centred: Float) -> tuple[Float, Float]:
    """Return variances, largest first, and principal directions as rows."""
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)])
    return singular**2 / max(len(centred) - 1, 1), vectors * np.where(signs == 0, 1.0, signs)[:, None]


def _kept(values: Float, variance: float, modes: int | None) -> int:
    """Return how many modes to keep; none of variance 0."""
    real = int((values > 1e-12 * max(values[0], 1e-30)).sum()) if values[0] > 1e-18 else 0
    if modes is not None:
        return min(modes, real)
    share = np.cumsum(values[:real]) / max(values[:real].sum(), 1e-30)
    return min(int(np.searchsorted(share, variance - 1e-12)) + 1, real) if real else 0


def _filled(rows: Float, mean: Float, variance: float, modes: int | None) -> tuple[Float, Float]:
    """Return the rows with their holes filled as the model of all rows has it, and their mean."""
    holes = ~np.isfinite(rows)
    filled = np.where(holes, mean, rows)
    centre = filled.mean(0)
    if not holes.any():
        return filled, centre
    for _ in range(FILLS):
        values, vectors = _principal(filled - centre)
        kept = vectors[: max(_kept(values, variance, modes) // 2, 1)]
        guess = centre + (filled - centre) @ kept.T @ kept
        filled = np.where(holes, guess, rows)
        centre = filled.mean(0)
    return filled, centre
