"""Boxes, and what people give for one: four numbers, or an array (N, 4), which may be a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import checks
from meanshape.core.errors import BoxError

Points = NDArray[np.float64]
"""Points (..., 2): x right, y down, in pixels; (0, 0) is the centre of the top-left pixel."""


@dataclass(frozen=True, slots=True)
class Box:
    """A continuous rectangle in pixels: its width is right - left.

    A whole picture of W x H pixels is `Box(-0.5, -0.5, W - 0.5, H - 0.5)`.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float | None = None

    def __post_init__(self) -> None:
        """Check that there is a rectangle."""
        for name in ("left", "top", "right", "bottom"):
            object.__setattr__(self, name, checks.number(getattr(self, name), f"a box's {name}", BoxError))
        if not (self.left < self.right and self.top < self.bottom):
            raise BoxError(f"a box needs left < right and top < bottom, not {self.as_list()}")
        if not math.isfinite((self.right - self.left) * (self.bottom - self.top)):
            raise BoxError(f"a box of {self.as_list()} is too large to compute with")
        if not (self.right - self.left) * (self.bottom - self.top) > 0:
            raise BoxError(f"a box of {self.as_list()} is too small to compute with")
        object.__setattr__(self, "score", checks.share(self.score, "a box's score", BoxError))

    @classmethod
    def around(cls, points: ArrayLike, score: float | None = None) -> Box:
        """Return the tight box of points (K, 2); NaN points do not count, and only such are a `BoxError`."""
        try:
            array = checks.real(np.asarray(points)).reshape(-1, 2)
        except (TypeError, ValueError):
            raise BoxError(f"a box goes around points (K, 2), not around {type(points).__name__}") from None
        array = array[np.isfinite(array).all(1)]
        if not len(array):
            raise BoxError("no box goes around no points: none of them is annotated")
        (left, top), (right, bottom) = array.min(0), array.max(0)
        return cls(left, top, right, bottom, score)

    @classmethod
    def whole(cls, width: int, height: int) -> Box:
        """Return the box of a whole picture of `width` x `height` pixels."""
        return cls(-0.5, -0.5, width - 0.5, height - 0.5)

    @property
    def width(self) -> float:
        """Return right - left."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Return bottom - top."""
        return self.bottom - self.top

    @property
    def center(self) -> tuple[float, float]:
        """Return the centre (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Return width times height."""
        return self.width * self.height

    @property
    def size(self) -> float:
        """Return the side of the square of the same area."""
        return math.sqrt(self.area)

    @property
    def diagonal(self) -> float:
        """Return the length of the diagonal."""
        return math.hypot(self.width, self.height)

    def scaled(self, factor_x: float, factor_y: float | None = None) -> Box:
        """Return the box scaled about its centre."""
        x, y = self.center
        half_width = self.width * factor_x / 2
        half_height = self.height * (factor_x if factor_y is None else factor_y) / 2
        return Box(x - half_width, y - half_height, x + half_width, y + half_height, self.score)

    def shifted(self, dx: float, dy: float) -> Box:
        """Return the box moved by (dx, dy) pixels."""
        return Box(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy, self.score)

    def mirrored(self, width: int) -> Box:
        """Return the box in the mirrored picture, which is `width` pixels wide."""
        return Box(width - 1 - self.right, self.top, width - 1 - self.left, self.bottom, self.score)

    def part(self, fractions: Sequence[float]) -> Box:
        """Return the box whose left, top, right, bottom are given relative to this one.

        So a card says how one box becomes another: (0, 0, 1, 1) is the box itself.
        """
        left, top, right, bottom = fractions
        (x0, y0), (x1, y1) = self.absolute([(left, top), (right, bottom)])
        return Box(x0, y0, x1, y1, self.score)

    def iou(self, other: Box) -> float:
        """Return intersection over union, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / (self.area + other.area - width * height)

    def relative(self, points: ArrayLike) -> Points:
        """Return pixels (..., 2) in the unit square of this box."""
        array = np.asarray(points, np.float64)
        return (array - (self.left, self.top)) / (self.width, self.height)

    def absolute(self, points: ArrayLike) -> Points:
        """Return points (..., 2) of the unit square of this box in pixels."""
        array = np.asarray(points, np.float64)
        return array * (self.width, self.height) + (self.left, self.top)

    def as_list(self) -> list[float]:
        """Return [left, top, right, bottom]."""
        return [self.left, self.top, self.right, self.bottom]


BoxLike = Box | Sequence[float] | NDArray[Any]
BoxesLike = Box | Sequence[BoxLike] | Sequence[float] | NDArray[Any]
WANTED = "a Box or its four numbers left, top, right, bottom"


def as_box(given: Any) -> Box:
    """Return one box, or raise `BoxError`."""
    if isinstance(given, Box):
        return given
    numbers = checks.array(given, BoxError, WANTED)
    if numbers.shape != (4,) or numbers.dtype.kind not in "iuf":
        raise BoxError(f"a box is {WANTED}, not {_shown(given)}")
    return Box(*numbers.tolist())


def box_in(pixels: NDArray[Any], given: BoxLike | None) -> Box:
    """Return one box, or that of the whole picture (H, W, 3) where none is given."""
    return Box.whole(pixels.shape[1], pixels.shape[0]) if given is None else as_box(given)


def as_boxes(given: Any) -> list[Box]:
    """Return the boxes of a box, of four numbers, of an array (N, 4), or of a sequence of boxes."""
    if isinstance(given, Box):
        return [given]
    if isinstance(given, (str, bytes, dict)):
        raise BoxError(f"boxes are Boxes or an array (N, 4), not {_shown(given)}")
    if hasattr(given, "__array__"):
        given = checks.array(given, BoxError, "an array (N, 4)")
        if given.size == 0 and given.ndim < 3:
            return []
    try:
        several = list(given)
    except TypeError:
        raise BoxError(f"boxes are Boxes or an array (N, 4), not {_shown(given)}") from None
    if several and not any(isinstance(one, Box) or hasattr(one, "__len__") for one in several):
        return [as_box(several)]  # four plain numbers
    boxes = []
    for number, one in enumerate(several, 1):
        try:
            boxes.append(as_box(one))
        except BoxError as error:
            raise BoxError(f"box {number} of {len(several)}: {error}") from None
    return boxes


def _shown(given: Any) -> str:
    """Return a short picture of a wrong value."""
    shape = getattr(given, "shape", None)
    if shape is not None:
        return f"{type(given).__name__} of shape {tuple(shape)}"
    text = repr(given)
    return text if len(text) < 60 else f"{text[:57]}…"
