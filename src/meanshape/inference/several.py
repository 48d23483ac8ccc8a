"""Several pictures at once: which arguments are several, and each of them for itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from typing import Any

from meanshape.core import checks
from meanshape.core.errors import ImageError

CHANNELS = (1, 3, 4)


def is_several(image: Any) -> bool:
    """Tell a list or tuple of pictures, or an array (N, ., ., .), from one picture.

    A list of numbers or of lists of numbers is one picture, row by row.
    """
    if isinstance(image, (list, tuple)):
        return not image or not (
            isinstance(image[0], (Number, list, tuple)) or getattr(image[0], "ndim", 2) < 2
        )
    return not isinstance(image, (str, bytes, os.PathLike)) and getattr(image, "ndim", 0) == 4


def is_stream(image: Any) -> bool:
    """Tell a folder or an iterator of pictures from one picture; an open file iterates too, over lines."""
    if isinstance(image, (str, os.PathLike)):
        return os.path.isdir(image)  # noqa: PTH112 - a name too long is no folder, and no error either
    return isinstance(image, Iterator) and not hasattr(image, "read") and not hasattr(image, "__array__")


def apart(images: Any) -> Sequence[Any]:
    """Return the pictures one by one; of an array (N, H, W, C) or (N, C, H, W) each is (H, W, C)."""
    if getattr(images, "ndim", 0) != 4:
        return list(images)
    array = checks.array(images, ImageError, "an array (N, H, W, 3)")
    first, last = array.shape[1] in CHANNELS, array.shape[3] in CHANNELS
    if first == last:
        why = "either may be the channels" if first else "neither is channels: 1, 3 or 4"
        raise ImageError(
            f"several pictures in one array are (N, H, W, C) or (N, C, H, W); of {array.shape}, "
            f"{array.shape[1]} and {array.shape[3]}, {why}: give a list of arrays (H, W, 3)"
        )
    return list(array.transpose(0, 2, 3, 1) if first else array)


def one_by_one(source: Any) -> Iterable[Any]:
    """Return the pictures of a folder, a glob or a list file, or those that an iterable yields."""
    if isinstance(source, (str, os.PathLike)):
        from meanshape.inference.sources import photos

        return photos([os.fspath(source)])
    if getattr(source, "ndim", 0) == 4:
        return apart(source)
    if isinstance(source, bytes) or hasattr(source, "read") or not isinstance(source, Iterable):
        raise ImageError(
            "a stream is a folder, a glob, @LIST or anything that yields pictures, "
            f"not {type(source).__name__}"
        )
    return source


def name_of(image: Any) -> str | None:
    """Return what a prediction calls a picture: its path, if it has one."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
