"""Pictures mapped by OpenCV; beyond their borders their reflection goes on, at no cost far away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ImageError
from meanshape.core.geometry import Matrix, invert

FAR = 64
"""So many lengths of a picture beyond it, OpenCV need not reflect."""


def looked_up(image: NDArray[Any], backward: Matrix, size: tuple[int, int]) -> NDArray[Any]:
    """Return a picture of `size` (width, height) by the map (2, 3) from it to another, bilinear; that one's
    reflection goes on.
    """
    import cv2

    if _is_far(backward.tolist(), image, size):
        return _far_away(image, backward, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, backward, size, flags=flags, borderMode=cv2.BORDER_REFLECT)


def stored_warp(image: NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> NDArray[Any]:
    """Return a picture that was cut out to learn from, mapped by `matrix` (2, 3), of `size` (width, height).

    Bilinear, without smoothing; its reflection goes on, which does not repeat the pixels of the edge.
    """
    import cv2

    backward = invert(matrix)
    if _is_far(backward.tolist(), image, size):
        return _far_away(image, backward, size, repeated=False)
    return cv2.warpAffine(
        image, np.asarray(matrix), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def _is_far(rows: list[list[float]], part: NDArray[Any], size: tuple[int, int]) -> bool:
    """Tell whether a warp looks further beyond a picture than `FAR` of its lengths."""
    across, down = size
    for (a, b, shift), length in zip(rows, (part.shape[1], part.shape[0]), strict=True):
        reach = abs(a) * across + abs(b) * down + abs(shift)
        if not reach <= FAR * length:
            return True
    return False


def _far_away(part: NDArray[Any], rows: Matrix, size: tuple[int, int], repeated: bool = True) -> NDArray[Any]:
    """Return what a map sees far beyond a picture, whose reflection repeats its edge or does not.

    OpenCV would reflect each place there once for each length in between, which takes for ever.
    """
    import cv2

    if not np.isfinite(rows).all():
        raise ImageError("a face box so far from its picture cannot be computed with")
    grid = np.stack([*np.meshgrid(np.arange(size[0]), np.arange(size[1])), np.ones(size[::-1])], -1)
    edge = 0.5 if repeated else 0.0
    lengths = np.maximum(np.array(part.shape[1::-1], np.float64) - 1 + 2 * edge, 0.5)
    within = np.mod(grid @ rows.T + edge, 2 * lengths)
    x, y = np.moveaxis(np.minimum(within, 2 * lengths - within) - edge, -1, 0).astype(np.float32)
    return cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


__all__ = ["looked_up", "stored_warp"]
