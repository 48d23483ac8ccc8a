"""A clip's predictions, frame after frame, and the clip drawn again with the points in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meanshape.core.types import Prediction
from meanshape.inference.clip import Clip
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.tracking import Tracker

TRACKING = ("every", "threshold", "memory", "smoothing")


def video(path: str | Path, **options: Any) -> Iterator[Prediction]:
    """Yield the faces in each frame of a video, followed from frame to frame.

    A prediction's `source` is `PATH#t=SECONDS`, each face's `track` its number, the same in every frame. The
    whole clip is never in memory.

    Parameters
    ----------
    path : a video file
    options : `every`, `threshold`, `memory` and `smoothing` of `Tracker`; the others are those of `Pipeline`

    Raises
    ------
    ImageError : the file is no video, or no frame can be decoded
    """
    tracker = make_tracker(**options)
    with Clip(path) as clip:
        for frame in clip.frames():
            yield tracker(frame.pixels, frame.time, source=moment(path, frame.time))


def make_tracker(**options: Any) -> Tracker:
    """Return a tracker, with a pipeline of the options that are not its own."""
    own = {name: options.pop(name) for name in TRACKING if name in options}
    return Tracker(Pipeline(**options), **own)


def moment(path: str | Path, time: float) -> str:
    """Return the name of a frame: the file and, as a media fragment, the time."""
    return f"{path}#t={time:.4f}"
