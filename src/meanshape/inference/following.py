"""The frames of a video, a camera or a list, each with its faces, followed from frame to frame.

>>> for frame, prediction in follow("clip.mp4"):                      # doctest: +SKIP
...     print(prediction.source, [face.track for face in prediction.faces])
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np

from meanshape.core import checks
from meanshape.core.errors import ConfigError, ImageError
from meanshape.core.image import ImageLike, Pixels, check_color, read_image
from meanshape.core.prediction import LandmarkPrediction, keep_picture
from meanshape.inference import camera
from meanshape.inference.clip import Clip, Frame
from meanshape.inference.options import Color, FollowOptions
from meanshape.inference.tracking import Tracker

Followed = tuple[Pixels, LandmarkPrediction]


class Following:
    """Pairs of a frame (H, W, 3) and its prediction, for `for`, `async for` and `with`.

    The file or camera is opened with the first frame, and closed after the last one, by `close` and at the
    end of `with`.
    """

    def __init__(self, pairs: Generator[Followed, None, None]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Iterator[Followed]:
        return self._pairs

    def __next__(self) -> Followed:
        return next(self._pairs)

    async def __aiter__(self) -> AsyncIterator[Followed]:
        """Yield the pairs; the work is done in one other thread, and the loop stays free."""
        pool = ThreadPoolExecutor(1, "follow")
        try:
            while (pair := await asyncio.wrap_future(pool.submit(next, self._pairs, None))) is not None:
                yield pair
        finally:  # the one thread closes after the frame that it works on
            closed = pool.submit(self._pairs.close)
            pool.shutdown(wait=False)
            await asyncio.wrap_future(closed)

    def close(self) -> None:
        """Close the file or camera; there are no more frames."""
        self._pairs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def follow(
    source: str | Path | int | Iterable[ImageLike],
    *,
    rate: float = 25.0,
    color: Color = "rgb",
    **options: Unpack[FollowOptions],
) -> Following:
    """Yield (frame, prediction) for each frame of a video or camera; a face keeps its number as `track`.

    A frame is uint8 (H, W, 3), upright. A prediction's `source` is `PATH#t=SECONDS`. The whole clip is never
    in memory.

    Parameters
    ----------
    source : a video file, a camera's number, the address of a stream (`rtsp://…`), or frames: anything that
        yields pictures, one after another
    rate : how many of such frames are a second
    color : the channel order of all frames, those that are given as arrays and those that are yielded:
        "rgb", or "bgr" for OpenCV (`cv2.imshow`, `cv2.VideoWriter`)
    options : `every`, `threshold`, `memory` and `smoothing` of `Tracker`; the others are those of `Pipeline`

    Raises
    ------
    ImageError : the source is no video; and, when frames are asked for: there is no such file or camera, no
        frame can be decoded, or the camera gives no more pictures
    ConfigError : `rate` or an option is out of range
    """
    if checks.number(rate, "rate", ConfigError) <= 0:
        raise ConfigError(f"rate is frames a second, above 0, not {rate}")
    check_color(color, ConfigError)
    _check_source(source)
    tracker = Tracker(**options)
    return Following(_pairs(_frames(source, rate, color), tracker, color))


def _check_source(source: Any) -> None:
    """Refuse what is neither a file, a camera nor frames."""
    if isinstance(source, (str, os.PathLike)) or (
        isinstance(source, Integral) and not isinstance(source, bool)
    ):
        return
    if getattr(source, "ndim", 4) != 4 or isinstance(source, bytes) or not isinstance(source, Iterable):
        what = f"an array {source.shape}" if hasattr(source, "shape") else type(source).__name__
        raise ImageError(f"a video is a file, a camera's number or the frames themselves, not {what}")


def _frames(source: Any, rate: float, color: Color) -> Generator[tuple[Frame, str], None, None]:
    """Yield RGB frames, each with the name of what it is a frame of."""
    if isinstance(source, Integral) or (isinstance(source, str) and "://" in source):
        with closing(camera.frames(source if isinstance(source, str) else int(source))) as seen:
            yield from ((frame, str(source)) for frame in seen)
    elif isinstance(source, (str, os.PathLike)):
        with Clip(Path(source)) as clip:
            yield from ((frame, os.fspath(source)) for frame in clip.frames())
    else:
        for number, image in enumerate(source):
            name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
            yield Frame(number, number / rate, read_image(image, color)), name


def _pairs(
    frames: Generator[tuple[Frame, str], None, None], tracker: Tracker, color: Color
) -> Generator[Followed, None, None]:
    with closing(frames):
        for frame, name in frames:
            prediction = tracker(frame.pixels, frame.time, source=moment(name, frame.time))
            shown = frame.pixels if color == "rgb" else np.ascontiguousarray(frame.pixels[:, :, ::-1])
            yield shown, keep_picture(prediction, shown, color)


def moment(path: str | os.PathLike[str], time: float) -> str:
    """Return the name of a frame: the file and, as a media fragment, the time."""
    return f"{path}#t={time:.4f}"
