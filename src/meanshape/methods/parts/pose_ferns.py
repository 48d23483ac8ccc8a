"""The cascaded pose regression of 2010: where a face is, how large and how turned, from random ferns.

A pose is (x, y, angle, log2 scale), relative to another by composition, never by subtraction. Each stage
is one fern on differences of pixels indexed by the pose so far, and corrects one of the four numbers, the
one it corrects best. Many restarts are run; the answer is the one where they crowd (a Parzen window), not
their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Matrix, Points
from meanshape.core.image import Pixels
from meanshape.methods.parts.frames import View, upright
from meanshape.methods.parts.training_set import Faces

Poses = NDArray[np.float64]
"""(..., 4): x, y in face boxes, angle in radians, log2 of the scale."""

NUMBERS = 4
WEIGHTS = np.array([17.0, 17.0, 11.0, 9.0])
"""Of squared differences: about one over how much people's own labels differ (squared)."""


@dataclass(frozen=True, slots=True)
class PoseFerns:
    """What is decided about it; the paper's values are 512, 64, 32, 5, 16 and starts for 4,000 examples."""

    stages: int = 0  # 0: no alignment before the cascade
    features: int = 64  # pixel pairs drawn at each stage
    ferns: int = 32  # of which each stage keeps the best
    depth: int = 5
    radius: float = 0.83  # of the disc that pixels are drawn from, face boxes
    restarts: int = 16
    examples: int = 4000
    window: float = 1.0  # width of the Parzen window, in deviations


@dataclass(slots=True)
class PoseCascade:
    """Pixels (T, d, 2, 2) in face boxes, thresholds (T, d), which number (T,) and its bins (T, 2^d), and the
    poses (R, 4) that restarts begin at.
    """

    pixels: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    numbers: NDArray[np.int16]
    bins: NDArray[np.float32]
    starts: NDArray[np.float32]

    @classmethod
    def fit(cls, faces: Faces, mean: Points, settings: PoseFerns, rng: np.random.Generator) -> Self:
        """Learn the poses that take the mean shape to the true shapes."""
        wanted = poses_of(np.stack([inverse_upright(shape, mean) for shape in faces.truth]))
        views = np.arange(len(faces.views)).repeat(-(-settings.examples // len(faces.views)))
        views = views[: max(settings.examples, len(faces.views))]
        poses = wanted[rng.integers(0, len(wanted), len(views))]
        poses[: len(faces.views)] = 0
        true, stages = wanted[views], []
        for _ in range(settings.stages):
            stage, poses = _stage(faces, views, poses, true, settings, rng)
            stages.append(stage)
        pixels, thresholds, numbers, bins = (np.stack(part) for part in zip(*stages, strict=True))
        starts = wanted[rng.choice(len(wanted), settings.restarts)].astype(np.float32)
        starts[0] = 0
        return cls(pixels, thresholds, numbers.astype(np.int16), bins, starts)

    def __call__(self, view: View, window: float) -> Matrix:
        """Return the similarity (2, 3), unit frame to unit frame, that the face's mean shape lies under."""
        poses = self.starts.astype(np.float64)
        for pixels, threshold, number, bins in zip(
            self.pixels, self.thresholds, self.numbers, self.bins, strict=True
        ):
            difference = _differences([view], np.zeros(len(poses), int), poses, pixels)
            poses = _corrected(poses, int(number), bins[_bin(difference > threshold)])
        return matrices_of(poses[crowded(poses, window)])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is stored."""
        names = ("pixels", "thresholds", "numbers", "bins", "starts")
        return {name: getattr(self, name) for name in names}


def crowded(poses: Poses, window: float) -> int:
    """Return which of some poses (R, 4) lies where they are densest: their mode, not their mean."""
    off = poses[:, None] - poses[None]
    squared = (off**2 * WEIGHTS**2).sum(-1)
    return int(np.argmax(np.exp(-squared / (2 * window**2)).sum(1)))


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
    """Return the pose of `true` as `poses` see it: the inverse of the one, then the other."""
    ours, theirs = matrices_of(poses), matrices_of(true)
    linear = np.linalg.inv(ours[..., :2])
    both = np.concatenate([linear @ theirs[..., :2], linear @ (theirs[..., 2:] - ours[..., 2:])], -1)
    return poses_of(both)


def inverse_upright(shape: Points, mean: Points) -> Matrix:
    """Return the similarity that takes a centred mean nearest to a shape."""
    centre = shape.mean(0)
    matrix = upright(mean, shape - centre)
    matrix[:, 2] += centre
    return matrix


def _corrected(poses: Poses, number: int, by: NDArray[np.floating[Any]]) -> Poses:
    """Return poses (N, 4) with one number corrected by (N,), as each pose itself sees it."""
    poses = poses.copy()
    if number >= 2:
        poses[:, number] += by
        return poses
    linear = matrices_of(poses)[..., :2]
    poses[:, :2] += linear[..., number] * by[:, None]
    return poses


def _differences(views: list[View], which: NDArray[Any], poses: Poses, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return differences (N, F) of the pixels at pairs (F, 2, 2), indexed by poses, in 0..1."""
    there = np.einsum("nij,fpj->nfpi", matrices_of(poses)[..., :2], pixels) + poses[:, None, None, :2]
    grey = np.empty(there.shape[:3], np.float32)
    order = np.argsort(which, kind="stable")
    edges = np.flatnonzero(np.diff(which[order], prepend=-1))
    for rows in np.split(order, edges[1:]):
        view = views[int(which[rows[0]])]
        grey[rows] = _pick(view, there[rows])
    return (grey[..., 0] - grey[..., 1]) / 255


def _pick(view: View, places: NDArray[Any]) -> Pixels:
    """Return the grey levels at places (..., 2) of the unit frame, the nearest pixel's; borders repeat."""
    found = np.rint(places @ view.matrix[:, :2].T + view.matrix[:, 2]).astype(np.int64)
    height, width = view.pixels.shape
    x, y = np.clip(found[..., 0], 0, width - 1), np.clip(found[..., 1], 0, height - 1)
    return view.pixels[y, x]


def _bin(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(bits @ (1 << np.arange(bits.shape[-1])))


def _stage(
    faces: Faces,
    views: NDArray[Any],
    poses: Poses,
    true: Poses,
    settings: PoseFerns,
    rng: np.random.Generator,
) -> tuple[tuple[Any, ...], Poses]:
    """Return one stage (pixels, thresholds, number, bins) and the poses after it."""
    left = relative(poses, true)
    length = settings.radius * np.sqrt(rng.uniform(0, 1, (settings.features, 2)))
    angle = rng.uniform(0, 2 * np.pi, (settings.features, 2))
    pairs = np.stack([length * np.cos(angle), length * np.sin(angle)], -1)
    difference = _differences(faces.views, views, poses, pairs)
    size, best = 1 << settings.depth, None
    for _ in range(settings.ferns):
        chosen = rng.integers(0, settings.features, settings.depth)
        limits = rng.uniform(-0.2, 0.2, settings.depth)
        number = _bin(difference[:, chosen] > limits)
        count = np.bincount(number, minlength=size) + 0.01 * len(number) / size
        sums = np.stack([np.bincount(number, left[:, k], size) for k in range(NUMBERS)])
        gains = (WEIGHTS**2) * (sums**2 / count).sum(1)
        k = int(np.argmax(gains))
        if best is None or gains[k] > best[0]:
            best = (gains[k], chosen, limits, k, sums[k] / count, number)
    assert best is not None
    _, chosen, limits, k, bins, number = best
    stage = (pairs[chosen].astype(np.float32), limits.astype(np.float32), k, bins.astype(np.float32))
    return stage, _corrected(poses, k, bins[number])
