"""Pictures that lie in no file of their own: decoded when they are asked for, not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ImageError
from meanshape.core.regular import open_regular

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Lazy:
    """A picture that is read by a function of plain arguments, each time that somebody wants its pixels."""

    read: Callable[..., Pixels]
    arguments: tuple[Any, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the pixels (H, W) or (H, W, 3)."""
        return np.asarray(self.read(*self.arguments), dtype=dtype)


def lazy(read: Callable[..., Pixels], *arguments: Any) -> NDArray[Any]:
    """Return a picture for a `Sample` that is read by `read(*arguments)`."""
    return cast("NDArray[Any]", Lazy(read, arguments))


def frame(video: Path, number: int) -> Pixels:
    """Return frame `number` (from 0) of a video as RGB (H, W, 3); fast when frames are asked for in order."""
    import cv2

    capture = _capture(str(video))
    if int(capture.get(cv2.CAP_PROP_POS_FRAMES)) != number:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
    there, pixels = capture.read()
    if not there:
        raise ImageError(f"{video}: there is no frame {number}")
    return np.ascontiguousarray(pixels[..., ::-1])


def frames(video: Path) -> int:
    """Return how many frames an AVI file says it has; 0 where it cannot be read."""
    import cv2

    try:
        return max(int(_open(str(video)).get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    except ImageError:
        return 0


@lru_cache(maxsize=2)
def _capture(video: str) -> Any:
    return _open(video)


def _open(video: str) -> Any:
    """Open an AVI file; OpenCV alone would follow a playlist of that name to other files."""
    import cv2

    try:
        with open_regular(video) as file:
            begins = file.read(4)
    except OSError as error:
        raise ImageError(f"{video}: cannot be read ({error.strerror or error})") from error
    if begins != b"RIFF":
        raise ImageError(f"{video}: not an AVI file")
    return cv2.VideoCapture(video)
