"""Square crops of one photo at any scale, from its halvings."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[Any]  # uint8
Floats = NDArray[np.float64]

GREY = 127
SHORT = 2**15 - 1
"""OpenCV's `remap` takes pictures with shorter sides only."""


class Crops:
    """Square crops of one photo, each taken from the halving that is nearest to its scale."""

    def __init__(self, image: Bytes) -> None:
        self.levels = [image]

    def __call__(self, squares: Floats, size: int) -> Bytes:
        """Return the crops (N, size, size, 3) of squares (N, 4); grey lies outside the photo."""
        out = np.empty((len(squares), size, size, 3), np.uint8)
        step = np.maximum(squares[:, 2:3] - squares[:, :1], 1e-3) / size
        along = step * np.arange(0.5, size) + 0.5
        xs, ys = squares[:, :1] + along, squares[:, 1:2] + along  # pixel centres, from the photo's corner
        wanted = np.maximum(np.floor(np.log2(step[:, 0]) + 0.5), 0).astype(int)
        for number in set(wanted.tolist()):  # all crops of one halving at once
            level, fx, fy = self._level(number)
            rows = (wanted == number).nonzero()[0]
            across, down = np.empty((2, len(rows), size, size), np.float32)
            across[:] = (xs[rows] / fx - 0.5)[:, None]
            down[:] = (ys[rows] / fy - 0.5)[:, :, None]
            if max(level.shape[:2]) < SHORT:
                out[rows] = _remap(level, across, down)
                continue
            for row, x, y in zip(rows, across, down, strict=True):
                left, right = _reach(x, level.shape[1])
                top, bottom = _reach(y, level.shape[0])
                out[row] = _remap(level[top:bottom, left:right], x[None] - left, y[None] - top)[0]
        return out

    def at_least(self, width: int, height: int) -> Bytes:
        """Return the smallest halving of the photo that is not smaller than this."""
        number = 0
        while True:
            smaller = self._level(number + 1)[0]
            if len(self.levels) <= number + 1 or smaller.shape[1] < width or smaller.shape[0] < height:
                return self.levels[number]
            number += 1

    def _level(self, wanted: int) -> tuple[Bytes, float, float]:
        while len(self.levels) <= wanted and min(self.levels[-1].shape[:2]) > 1:
            height, width = self.levels[-1].shape[:2]
            half = (max(1, width // 2), max(1, height // 2))
            self.levels.append(cv2.resize(self.levels[-1], half, interpolation=cv2.INTER_AREA))
        image = self.levels[min(wanted, len(self.levels) - 1)]
        return image, self.levels[0].shape[1] / image.shape[1], self.levels[0].shape[0] / image.shape[0]


def _reach(places: NDArray[np.float32], length: int) -> tuple[int, int]:
    """Return from where to where a crop needs a picture's rows or columns, at least one."""
    first = int(np.clip(places.min() - 1, 0, length - 1))
    return first, int(np.clip(places.max() + 3, first + 1, length))


def _remap(image: Bytes, across: NDArray[np.float32], down: NDArray[np.float32]) -> Bytes:
    """Return what lies at places (N, S, S) of a picture as (N, S, S, 3); grey lies outside."""
    size = across.shape[2]
    cut = cv2.remap(
        image, across.reshape(-1, size), down.reshape(-1, size), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY, GREY, GREY),
    )  # fmt: skip
    return np.asarray(cut, np.uint8).reshape(-1, size, size, 3)
