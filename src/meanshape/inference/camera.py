"""Cameras and streams, read through OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from meanshape.core.errors import ImageError
from meanshape.core.image import read_image
from meanshape.formats.text import whole
from meanshape.inference.clip import Clip, Frame


def frames(camera: int | str) -> Generator[Frame, None, None]:
    """Yield what a camera sees; times count from the first request, those of a file from its beginning.

    Parameters
    ----------
    camera : its number, a device file, the address of a stream, or a video file that stands for one

    Raises
    ------
    ImageError : it cannot be opened, or no more pictures come from it; a file just ends
    """
    if isinstance(camera, str) and Path(camera).is_file():  # OpenCV would follow a playlist to other files
        with Clip(camera) as clip:
            yield from clip.frames()
        return
    # Of FFmpeg in OpenCV, which reads it once; what it would print is said below, in one sentence.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    source: Any = _number(camera) if isinstance(camera, str) and camera.isdecimal() else camera
    opened = cv2.VideoCapture(source)
    log.setLogLevel(before)
    if not opened.isOpened():
        raise ImageError(f"camera {camera} cannot be opened; is it there, and not in use elsewhere?")
    ends = opened.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    start, number = time.perf_counter(), 0
    try:
        while True:
            there, picture = opened.read()
            seconds = time.perf_counter() - start
            if there:
                yield Frame(number, seconds, read_image(picture, "bgr"))
                number += 1
            elif ends and number:
                return
            else:
                raise ImageError(
                    f"camera {camera}: no picture came after {number} frames and {seconds:.1f} s; "
                    "is it still connected, and not in use elsewhere?"
                )
    finally:
        opened.release()


def _number(text: str) -> int:
    """Return a camera's number; one that no camera has is an error now."""
    number = whole(text)
    if number < 0:
        raise ImageError(f"camera {text} cannot be opened; a camera's number has nine digits at most")
    return number
