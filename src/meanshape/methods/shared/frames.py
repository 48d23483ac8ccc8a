"""What a cascade looks at: the grey picture around one face, and upright frames cut out of it.

Lengths are in face boxes: in a face's *unit frame* the box's centre is 0 and its size (√(w h)) is 1. A
frame is a square picture of a part of it, brought upright and to scale by a similarity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meanshape.core.box import Box
from meanshape.core.face_box import full
from meanshape.core.geometry import Matrix, Points, compose, invert
from meanshape.core.image import Pixels
from meanshape.core.reflection import looked_up
from meanshape.core.shape import Shape


@dataclass(frozen=True, slots=True)
class View:
    """Grey pixels around a face, halved or not; `matrix` takes the unit frame to them."""

    pixels: Pixels
    matrix: Matrix

    def frame(self, matrix: Matrix, side: int) -> Pixels:
        """Return the frame (side, side) that `matrix` takes the unit frame to; borders reflect."""
        warped: Pixels = looked_up(self.pixels, compose(invert(matrix), self.matrix), (side, side))
        return warped


def crop_face(image: Pixels, matrix: Matrix, reach: float, density: float) -> View:
    """Return the part of a picture (H, W, 3) or (H, W) within `reach` of a face's middle.

    Parameters
    ----------
    matrix : unit frame to picture
    reach : half the side of what will be looked at, face boxes
    density : pixels per face box in the finest frame; the part is reduced while it stays finer
    """
    import cv2

    half = reach * (abs(matrix[:, 0]) + abs(matrix[:, 1]))
    middle = matrix[:, 2]
    keep = []
    for low, high, length in zip(middle - half, middle + half, image.shape[1::-1], strict=True):
        first = int(min(max(math.floor(low), 0), length - 1))
        keep.append((first, int(max(min(math.ceil(high) + 1, length), first + 1))))
    (left, right), (top, bottom) = keep
    part = image[top:bottom, left:right]
    matrix = matrix.copy()
    matrix[:, 2] -= left, top
    size = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    while size >= 2 * density and min(part.shape[:2]) > 1:  # halving is by far the fastest reduction
        if part.ndim == 3 and size < 4 * density:
            part = _grey(part)
        height, width = part.shape[0] // 2, part.shape[1] // 2
        part = np.asarray(
            cv2.resize(part[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        )
        matrix *= 0.5
        matrix[:, 2] -= 0.25
        size /= 2
    part = _grey(part)
    return View(part, matrix)


def _grey(part: Pixels) -> Pixels:
    """Return the grey levels of a picture, which may be grey already."""
    import cv2

    return np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.uint8) if part.ndim == 3 else part


def upright(shape: Points, mean: Points) -> Matrix:
    """Return the similarity (2, 3) that takes a whole shape (K, 2) nearest to a mean that is centred on 0.

    The same as `core.geometry.similarity`, for one shape without missing points: several times as fast.
    A shape whose points fall together is only shifted.
    """
    x, y = (np.add.reduce(shape) / len(shape)).tolist()
    points = shape - (x, y)
    flat = points.ravel()
    spread = float(flat @ flat)
    if not spread > 1e-12:
        return np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    cos = float(flat @ mean.ravel()) / spread
    sin = float(points[:, 0] @ mean[:, 1] - points[:, 1] @ mean[:, 0]) / spread
    return np.array([[cos, -sin, sin * y - cos * x], [sin, cos, -sin * x - cos * y]])


def laid(mean: Points, shape: Points) -> Matrix:
    """Return the similarity (2, 3) that takes a mean (K, 2) nearest to a whole shape (K, 2)."""
    centre = np.add.reduce(shape) / len(shape)
    matrix = upright(mean, shape - centre)
    matrix[:, 2] += centre
    return matrix


def own_unit(mean: Points, shape: Shape) -> Matrix | None:
    """Return the unit frame of a whole shape's own tight box, which turns as the mean (K, 2) laid on it does;
    None where that box is no face box, points are missing or fall together.
    """
    whole = full(shape)
    if whole is None or not np.isfinite(shape.points).all():
        return None
    c, s = laid(mean, shape.points)[:, 0].tolist()
    size = math.hypot(c, s)
    if not size > 1e-9:
        return None
    turn = np.array([[c, -s], [s, c]]) / size
    box = Box.around(whole.points @ turn)
    return np.column_stack([turn * box.size, turn @ box.center]) if box.size > 1e-9 else None
