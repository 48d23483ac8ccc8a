"""A clip's predictions, frame after frame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

from meanshape.core import checks
from meanshape.core.errors import ConfigError, ImageError
from meanshape.core.image import ImageLike
from meanshape.core.prediction import Prediction
from meanshape.inference import camera
from meanshape.inference.clip import Clip
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.tracking import Tracker

TRACKING = ("every", "threshold", "memory", "smoothing")


def video(
    source: str | Path | int | Iterable[ImageLike], *, rate: float = 25.0, **options: Any
) -> Iterator[Prediction]:
    """Yield the faces in each frame of a video, followed from frame to frame.

    A prediction's `source` is `PATH#t=SECONDS`, each face's `track` its number, the same in every frame. The
    whole clip is never in memory.

    Parameters
    ----------
    source : a video file, a camera's number, or frames: anything that yields pictures, one after another
    rate : how many of such frames are a second
    options : `every`, `threshold`, `memory` and `smoothing` of `Tracker`; the others are those of `Pipeline`

    Raises
    ------
    ImageError : the source is no video; and, when frames are asked for: there is no such file or camera, no
        frame can be decoded, or the camera gives no more pictures
    ConfigError : `rate` or an option is out of range
    """
    if checks.number(rate, "rate", ConfigError) <= 0:
        raise ConfigError(f"rate is frames a second, above 0, not {rate}")
    if isinstance(source, str | os.PathLike):
        return _of_file(source, make_tracker(**options | {"color": "rgb"}))
    if isinstance(source, Integral) and not isinstance(source, bool):
        return _of_camera(int(source), make_tracker(**options | {"color": "rgb"}))
    if getattr(source, "ndim", 4) != 4 or isinstance(source, bytes) or not isinstance(source, Iterable):
        what = f"an array {source.shape}" if hasattr(source, "shape") else type(source).__name__
        raise ImageError(f"a video is a file, a camera's number or the frames themselves, not {what}")
    return _of_frames(source, rate, make_tracker(**options))


def _of_file(path: str | Path, tracker: Tracker) -> Iterator[Prediction]:
    with Clip(path) as clip:
        for frame in clip.frames():
            yield tracker(frame.pixels, frame.time, source=moment(path, frame.time))


def _of_camera(number: int, tracker: Tracker) -> Iterator[Prediction]:
    for frame in camera.frames(number):
        yield tracker(frame.pixels, frame.time, source=moment(str(number), frame.time))


def _of_frames(frames: Iterable[ImageLike], rate: float, tracker: Tracker) -> Iterator[Prediction]:
    for number, image in enumerate(frames):
        path = image if isinstance(image, str | os.PathLike) else ""
        yield tracker(image, number / rate, source=moment(path, number / rate))


def make_tracker(**options: Any) -> Tracker:
    """Return a tracker, with a pipeline of the options that are not its own."""
    own = {name: options.pop(name) for name in TRACKING if name in options}
    return Tracker(Pipeline(**options), **own)


def moment(path: str | os.PathLike[str], time: float) -> str:
    """Return the name of a frame: the file and, as a media fragment, the time."""
    return f"{path}#t={time:.4f}"
