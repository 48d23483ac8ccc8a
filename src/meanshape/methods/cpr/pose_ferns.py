"""Cascaded pose regression of 2010: position, scale and in-plane rotation of a face, by random ferns.

A pose is (x, y, angle, log2 scale); residuals are relative poses (composition, not subtraction). Each stage
is one fern on pose-indexed pixel differences and corrects one of the four parameters, the one whose error it
reduces most. The cascade runs from several starts; the result is the mode of the final poses (Parzen
window), not their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Matrix, Points
from meanshape.core.image import Pixels
from meanshape.methods.cpr.training_set import Faces
from meanshape.methods.shared.frames import View, upright

Poses = NDArray[np.float64]
"""(..., 4): x, y in face boxes, angle in radians, log2 of the scale."""

PARAMETERS = 4
DENSITY = 64.0
"""Largest number of pixels per face box in the views that ferns sample."""
BATCH = 256
"""Views aligned at once, so that intermediate arrays fit the processor's cache."""
WEIGHTS = np.array([17.0, 17.0, 11.0, 9.0])
"""Factors of a pose's four parameters: about one over the standard deviation of human annotations."""
RADIUS = 0.83
"""Radius of the disc that pixels are drawn from, face boxes."""
WINDOW = 1.0
"""Width of the Parzen window, standard deviations of human annotations."""


@dataclass(frozen=True, slots=True)
class PoseFerns:
    """Settings of the pose cascade; the paper's values are 512, 64, 32, 5, 16 and 4000."""

    stages: int = 0  # 0: no alignment before the cascade
    features: int = 64  # pixel pairs drawn at each stage
    ferns: int = 32  # of which each stage keeps the best
    depth: int = 5
    restarts: int = 16
    examples: int = 4000

    built_in: ClassVar[Mapping[str, Any]] = {"radius": RADIUS, "window": WINDOW}


@dataclass(frozen=True, slots=True)
class PackedViews:
    """Views reduced to `DENSITY` and packed into one array.

    Attributes
    ----------
    pixels : all views' grey levels, flat
    begins : (N,), index of each view's first pixel
    sides : (N, 2), width and height of each
    matrices : (N, 2, 3), from the unit frames to the views
    """

    pixels: Pixels
    begins: NDArray[np.int64]
    sides: NDArray[np.int64]
    matrices: Matrix

    @classmethod
    def of(cls, views: Sequence[View]) -> Self:
        """Reduce and pack views; views of the same pixels share them."""
        small: dict[int, Pixels] = {}
        matrices = np.empty((len(views), 2, 3))
        for n, view in enumerate(views):
            if id(view.pixels) not in small:
                small[id(view.pixels)] = _reduced(view)
            factor = np.divide(small[id(view.pixels)].shape[::-1], view.pixels.shape[::-1])
            matrices[n] = view.matrix * factor[:, None]
            matrices[n, :, 2] += (factor - 1) / 2
        places = dict(zip(small, np.cumsum([0, *(part.size for part in small.values())]), strict=False))
        begins = np.array([places[id(view.pixels)] for view in views])
        sides = np.array([small[id(view.pixels)].shape[::-1] for view in views])
        return cls(np.concatenate([part.ravel() for part in small.values()]), begins, sides, matrices)

    def differences(self, which: NDArray[Any], poses: Poses, pairs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the pixel differences (F, N) in views (N,) at pairs (F, 2, 2) indexed by poses (N, 4).

        Pairs are in face boxes, grey levels in 0..1 of the nearest pixel; borders are replicated.
        """
        ours, matrices = matrices_of(poses), self.matrices[which]
        linear = np.ascontiguousarray((matrices[:, :, :2] @ ours[:, :, :2]).transpose(1, 0, 2), np.float32)
        shift = (matrices[:, :, :2] @ ours[:, :, 2:])[..., 0] + matrices[:, :, 2]
        places = np.asarray(pairs, np.float32).reshape(-1, 2).T
        index = self.begins[which][:, None]
        for axis, step in ((0, 1), (1, self.sides[which, :1])):
            found = linear[axis] @ places
            found += shift[:, axis : axis + 1].astype(np.float32)
            np.clip(np.rint(found, out=found), 0, self.sides[which, axis, None] - 1, out=found)
            index = index + found.astype(np.int64) * step
        grey = self.pixels[index].T.reshape(-1, 2, len(which)).astype(np.float32)
        return np.asarray((grey[:, 0] - grey[:, 1]) / np.float32(255), np.float32)


@dataclass(slots=True)
class PoseCascade:
    """A cascade of T ferns of depth d.

    Attributes
    ----------
    pixels : (T, d, 2, 2), pairs of pixels, face boxes
    thresholds : (T, d)
    numbers : (T,), the parameter that each fern corrects
    bins : (T, 2^d), the corrections
    starts : (R, 4), the initial poses
    """

    pixels: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    numbers: NDArray[np.int16]
    bins: NDArray[np.float32]
    starts: NDArray[np.float32]

    @classmethod
    def fit(cls, faces: Faces, mean: Points, settings: PoseFerns, rng: np.random.Generator) -> Self:
        """Learn the poses that take the mean shape to the true shapes, starting from other faces' poses."""
        wanted = poses_of(np.stack([inverse_upright(shape, mean) for shape in faces.truth]))
        views = np.arange(len(wanted)).repeat(-(-settings.examples // len(wanted)))
        poses, true, stages = wanted[rng.integers(0, len(wanted), len(views))], wanted[views], []
        packed = PackedViews.of(faces.views)
        for _ in range(settings.stages):
            stage, poses = _stage(packed, views, poses, true, settings, rng)
            stages.append(stage)
        pixels, thresholds, numbers, bins = (np.stack(part) for part in zip(*stages, strict=True))
        starts = wanted[rng.choice(len(wanted), settings.restarts)].astype(np.float32)
        starts[0] = 0
        return cls(pixels, thresholds, numbers.astype(np.int16), bins, starts)

    def __call__(self, views: Sequence[View]) -> Matrix:
        """Return the similarities (N, 2, 3) that take the mean shape to each face, both in the unit frame."""
        return np.concatenate([self._run(views[n : n + BATCH]) for n in range(0, len(views), BATCH)])

    def _run(self, views: Sequence[View]) -> Matrix:
        packed, runs = PackedViews.of(views), len(self.starts)
        poses = np.tile(self.starts.astype(np.float64), (len(views), 1))
        which = np.arange(len(views)).repeat(runs)
        stages = zip(self.pixels, self.thresholds, self.numbers, self.bins, strict=True)
        for pixels, threshold, number, bins in stages:
            difference = packed.differences(which, poses, pixels)
            poses = _corrected(poses, int(number), bins[_bin_index(difference > threshold[:, None])])
        found = poses.reshape(len(views), runs, PARAMETERS)
        return matrices_of(np.stack([runs[densest(runs)] for runs in found]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        names = ("pixels", "thresholds", "numbers", "bins", "starts")
        return {name: getattr(self, name) for name in names}


def densest(poses: Poses) -> int:
    """Return the index of the pose at the mode of poses (R, 4), by a Parzen window."""
    off = poses[:, None] - poses[None]
    squared = (off**2 * WEIGHTS**2).sum(-1)
    return int(np.argmax(np.exp(-squared / (2 * WINDOW**2)).sum(1)))


def matrices_of(poses: Poses) -> Matrix:
    """Return the similarities (..., 2, 3) of poses."""
    size = 2.0 ** poses[..., 3]
    c, s = size * np.cos(poses[..., 2]), size * np.sin(poses[..., 2])
    rows = np.stack([c, -s, poses[..., 0], s, c, poses[..., 1]], -1)
    return rows.reshape(*poses.shape[:-1], 2, 3)


def poses_of(matrices: Matrix) -> Poses:
    """Return the poses (..., 4) of similarities."""
    c, s = matrices[..., 0, 0], matrices[..., 1, 0]
    return np.stack([matrices[..., 0, 2], matrices[..., 1, 2], np.arctan2(s, c), np.log2(np.hypot(c, s))], -1)


def relative(poses: Poses, true: Poses) -> Poses:
    """Return the poses of `true` relative to `poses`: the inverse of the latter composed with the former."""
    ours, theirs = matrices_of(poses), matrices_of(true)
    linear = np.linalg.inv(ours[..., :2])
    both = np.concatenate([linear @ theirs[..., :2], linear @ (theirs[..., 2:] - ours[..., 2:])], -1)
    return poses_of(both)


def inverse_upright(shape: Points, mean: Points) -> Matrix:
    """Return the similarity that best fits a centred mean to a shape."""
    centre = shape.mean(0)
    matrix = upright(mean, shape - centre)
    matrix[:, 2] += centre
    return matrix


def _corrected(poses: Poses, number: int, by: NDArray[np.floating[Any]]) -> Poses:
    """Return poses (N, 4) with one parameter corrected by (N,), in each pose's own frame."""
    poses = poses.copy()
    if number >= 2:
        poses[:, number] += by
        return poses
    linear = matrices_of(poses)[..., :2]
    poses[:, :2] += linear[..., number] * by[:, None]
    return poses


def _reduced(view: View) -> Pixels:
    """Return a view's pixels, reduced to about `DENSITY` per face box."""
    import cv2

    factor = DENSITY / float(np.hypot(*view.matrix[:, 0]))
    if factor >= 1:
        return view.pixels
    height, width = (max(1, round(side * factor)) for side in view.pixels.shape)
    return np.asarray(cv2.resize(view.pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _bin_index(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the bin indices (N,) of bits (d, N)."""
    found: NDArray[np.int64] = bits[0].astype(np.int64)
    for n, row in enumerate(bits[1:], 1):
        found |= row.astype(np.int64) << n
    return found


def _stage(
    packed: PackedViews,
    views: NDArray[Any],
    poses: Poses,
    true: Poses,
    settings: PoseFerns,
    rng: np.random.Generator,
) -> tuple[tuple[Any, ...], Poses]:
    """Return the best of some random ferns (pixels, thresholds, parameter, bins) and the poses after it."""
    residual = relative(poses, true)
    length = RADIUS * np.sqrt(rng.uniform(0, 1, (settings.features, 2)))
    angle = rng.uniform(0, 2 * np.pi, (settings.features, 2))
    pairs = np.stack([length * np.cos(angle), length * np.sin(angle)], -1)
    difference = packed.differences(views, poses, pairs)
    size, best = 1 << settings.depth, None
    for _ in range(settings.ferns):
        chosen = rng.integers(0, settings.features, settings.depth)
        limits = rng.uniform(-0.2, 0.2, settings.depth)
        number = _bin_index(difference[chosen] > limits[:, None])
        count = np.bincount(number, minlength=size) + 0.01 * len(number) / size
        sums = np.stack([np.bincount(number, residual[:, k], size) for k in range(PARAMETERS)])
        gains = (WEIGHTS**2) * (sums**2 / count).sum(1)
        k = int(np.argmax(gains))
        if best is None or gains[k] > best[0]:
            best = (gains[k], chosen, limits, k, sums[k] / count, number)
    assert best is not None
    _, chosen, limits, k, bins, number = best
    stage = (pairs[chosen].astype(np.float32), limits.astype(np.float32), k, bins.astype(np.float32))
    return stage, _corrected(poses, k, bins[number])
