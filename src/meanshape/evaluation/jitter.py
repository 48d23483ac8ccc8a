"""How points behave in time: jitter on a still face, lag and error on a moving one.

The tracker follows the unsmoothed points, whatever is shown: so a clip is followed once, and every smoothing
is tried on the same points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ResultError
from meanshape.inference.clip import Clip
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.smoothing import smoother
from meanshape.inference.tracking import Tracker

Points = NDArray[np.float64]
WARM = 8
"""Frames at the start that do not count: a filter needs some to settle."""
TRUTH = "ibug68"
"""The mark-up of the true points."""
LAGS = np.arange(0, 8.01, 0.05)
"""Delays that are tried, frames."""


@dataclass(frozen=True, slots=True)
class Path68:
    """The points of one face over a clip: `points` (T, K, 2) pixels, `times` (T,) seconds, `size` (T,) of the
    face, and the true points where somebody knows them.
    """

    points: Points
    times: NDArray[np.float64]
    size: NDArray[np.float64]
    truth: Points | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One smoothing on one clip, in percent of the face's size and in frames.

    Attributes
    ----------
    jitter : how far points stray from the path of their neighbours in time, root mean square
    lag : the delay that explains the smoothed path best
    error : mean distance from the true points; None where nobody knows them
    """

    smoothing: str
    jitter: float
    lag: float
    error: float | None


def follow(
    frames: Iterable[tuple[float, NDArray[np.uint8], Points | None]], pipeline: Pipeline | None = None
) -> Path68:
    """Follow the first face of a clip without smoothing.

    `frames` are time, pixels and true points or None. Frames without that face are left out.
    """
    tracker = Tracker(pipeline, smoothing="none")
    rows: list[tuple[float, Points, float, Points | None]] = []
    number: int | None = None
    for time, pixels, true in frames:
        for face in tracker(pixels, time).faces:
            number = face.track if number is None else number
            if face.track == number and face.shape is not None:
                shape = face.shape.to(TRUTH) if face.shape.markup.gives(TRUTH) else face.shape
                rows.append((time, shape.points, face.box.size, true))
                break
    if len(rows) < WARM + 8:
        raise ResultError(f"only {len(rows)} frames with a face that is followed; wanted at least {WARM + 8}")
    times, points, sizes, truth = zip(*rows, strict=True)
    known = [true for true in truth if true is not None]
    exact = np.stack(known) if len(known) == len(rows) else None
    return Path68(np.stack(points), np.array(times), np.array(sizes), exact)


def measure(path: Path68, smoothing: str) -> Measured:
    """Return what a smoothing does to a path."""
    filtered = smoother(smoothing)
    smooth = np.stack(
        [filtered(p, float(t), float(s)) for p, t, s in zip(path.points, path.times, path.size, strict=True)]
    )
    size = float(path.size.mean())
    error = None
    if path.truth is not None:
        error = 100 * float(np.hypot(*np.moveaxis((smooth - path.truth)[WARM:], -1, 0)).mean()) / size
    reference = path.points if path.truth is None else path.truth
    return Measured(smoothing, 100 * _noise(smooth[WARM:]) / size, _lag(smooth, reference), error)


def rendered(kind: str, frames: int = 60) -> Iterator[tuple[float, NDArray[np.uint8], Points | None]]:
    """Yield a rendered clip, "still" or "moving", as `follow` takes it."""
    from meanshape.datasets.synthetic.clips import clip

    for frame in clip(kind, frames):
        yield frame.time, frame.pixels, frame.shape.points


def filmed(path: str | Path) -> Iterator[tuple[float, NDArray[np.uint8], Points | None]]:
    """Yield a video file as `follow` takes it."""
    with Clip(path) as opened:
        for frame in opened.frames():
            yield frame.time, frame.pixels, None


def compare(path: Path68, smoothings: Sequence[str]) -> list[Measured]:
    """Return what each smoothing does to a path."""
    return [measure(path, name) for name in smoothings]


def _noise(points: Points) -> float:
    """Return the noise of points (T, K, 2): second differences, which steady motion hardly has."""
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(np.sqrt((bend**2).sum(-1).mean() / 6))


def _lag(smooth: Points, reference: Points) -> float:
    """Return by how many frames a path must be moved back to lie on the reference; 0 for one that rests."""
    first, second = smooth.mean(1), reference.mean(1)
    first, second = first - first.mean(0), second - second.mean(0)
    if second.std(0).max() < 3 * _noise(reference):
        return 0.0
    frames = np.arange(len(first), dtype=np.float64)
    inside = slice(WARM + int(LAGS[-1]), None)

    def gap(lag: float) -> float:
        late = np.stack([np.interp(frames - lag, frames, second[:, axis]) for axis in (0, 1)], 1)
        apart = (first - late)[inside]
        return float(((apart - apart.mean(0)) ** 2).sum())

    return float(min(LAGS, key=gap))
