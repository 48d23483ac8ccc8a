"""The words everything else speaks: frozen, slotted, checked once when they are made.

Pixels are float64 `(x, y)`, x right, y down, and (0, 0) is the *centre* of the top-left pixel. Left and
right are the subject's. A point that is not annotated is NaN; one that is annotated but hidden has
`visible` False. Angles are degrees; scores and probabilities lie in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import checks
from meanshape.core.errors import BoxError, DataSetError, MarkUpError, ResultError, ShapeError
from meanshape.core.markup import MarkUp, markup

if TYPE_CHECKING:
    from PIL.Image import Image

SCHEMA = 1

Points = NDArray[np.float64]


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
        object.__setattr__(self, "score", checks.share(self.score, "a box's score", BoxError))

    @classmethod
    def around(cls, points: ArrayLike, score: float | None = None) -> Box:
        """Return the tight box of points (K, 2); NaN points do not count, and only such are a `BoxError`."""
        array = np.asarray(points, np.float64).reshape(-1, 2)
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


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """K points of a mark-up.

    Attributes
    ----------
    points : (K, 2) float64, read-only; NaN where not annotated
    markup : the mark-up; its name will do
    visible : (K,) bool, or None where nobody said
    confidence : (K,) in 0..1, or None
    """

    points: Points
    markup: MarkUp = field(default_factory=lambda: markup("ibug68"))
    visible: NDArray[np.bool_] | None = None
    confidence: NDArray[np.float64] | None = None

    def __init__(
        self,
        points: ArrayLike,
        markup: MarkUp | str = "ibug68",
        visible: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
    ) -> None:
        """Check counts and numbers, and keep read-only copies."""
        points = checks.points(points)
        resolved = _resolve(markup)
        if points.shape != (len(resolved), 2):
            raise ShapeError(
                f"a shape of {resolved.name} has points ({len(resolved)}, 2), not {points.shape}"
            )
        object.__setattr__(self, "markup", resolved)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "visible", checks.per_point(visible, "visible", np.bool_, len(resolved)))
        sure = checks.per_point(confidence, "confidence", np.float64, len(resolved))
        if sure is not None and not ((sure >= 0) & (sure <= 1)).all():
            raise ShapeError("confidence must lie in 0..1")
        object.__setattr__(self, "confidence", sure)

    def __len__(self) -> int:
        """Return K, the number of points."""
        return len(self.markup)

    def __eq__(self, other: object) -> bool:
        """Compare mark-up and numbers; NaN equals NaN."""
        if not isinstance(other, Shape):
            return NotImplemented
        return (
            self.markup == other.markup
            and np.array_equal(self.points, other.points, equal_nan=True)
            and checks.same(self.visible, other.visible)
            and checks.same(self.confidence, other.confidence)
        )

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Points:
        """Return the points (n, 2) of a group, or the one point (2,) of that name."""
        indices = self.markup.indices(name)
        return self.points[list(indices)] if name in self.markup.groups else self.points[indices[0]]

    def with_points(self, points: ArrayLike) -> Shape:
        """Return the shape with other points."""
        return Shape(points, self.markup, self.visible, self.confidence)

    def mirrored(self, width: int) -> Shape:
        """Return the shape on the mirrored picture, which is `width` pixels wide: x to width - 1 - x.

        A mark-up that does not say which points are left and right is a `MarkUpError`.
        """
        if not self.markup.sides:
            raise MarkUpError(f"{self.markup.name} does not say which of its points are left and right")
        order = list(self.markup.mirror)
        flipped = self.points[order] * (-1, 1) + (width - 1, 0)
        return Shape(
            flipped,
            self.markup,
            None if self.visible is None else self.visible[order],
            None if self.confidence is None else self.confidence[order],
        )

    def to(self, other: str | MarkUp) -> Shape:
        """Return the shape in another mark-up.

        A mean of several points is visible if all are, and as sure as the least sure of them; a point
        without a counterpart is NaN, hidden, and of confidence 0.
        """
        if (other if isinstance(other, str) else other.name) == self.markup.name:
            return self
        sources = self.markup.conversion(other).sources
        visible, sure = self.visible, self.confidence
        return Shape(
            self.markup.convert(self.points, other),
            other,
            None if visible is None else [bool(many and visible[list(many)].all()) for many in sources],
            None if sure is None else [sure[list(many)].min() if many else 0.0 for many in sources],
        )

    def box(self) -> Box:
        """Return the tight box of the points."""
        return Box.around(self.points)


@dataclass(frozen=True, slots=True)
class Pose:
    """Which way a head turns, in degrees: +pitch up, +yaw and +roll toward the subject's right."""

    pitch: float
    yaw: float
    roll: float

    def __post_init__(self) -> None:
        """Check that the angles are numbers."""
        for name in ("pitch", "yaw", "roll"):
            object.__setattr__(
                self, name, checks.number(getattr(self, name), f"a pose's {name}", ResultError)
            )


@dataclass(frozen=True, slots=True)
class Emotion:
    """What a face seems to express: a label of appearance, with a probability for each label."""

    label: str
    probabilities: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the probabilities are some, and that the label is one of theirs."""
        shares = {
            k: checks.share(v, f"probability of {k}", ResultError) for k, v in self.probabilities.items()
        }
        object.__setattr__(self, "probabilities", shares)
        if shares and self.label not in shares:
            raise ResultError(f"emotion {self.label!r} has no probability among {sorted(shares)}")


@dataclass(frozen=True, slots=True)
class Face:
    """One face: the detector's box, and what else was asked for."""

    box: Box
    shape: Shape | None = None
    score: float | None = None
    pose: Pose | None = None
    emotion: Emotion | None = None
    attributes: Mapping[str, Any] | None = None
    track: int | None = None

    def __post_init__(self) -> None:
        """Take the box's score where there is no other."""
        object.__setattr__(self, "box", _box(self.box))
        score = self.box.score if self.score is None else self.score
        object.__setattr__(self, "score", checks.share(score, "a face's score", ResultError))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The faces of one picture, maybe none; `size` is (width, height), `seconds` what it took."""

    faces: tuple[Face, ...]
    size: tuple[int, int]
    source: str | None = None
    model: str | None = None
    seconds: float = 0.0
    error: str | None = None

    def __post_init__(self) -> None:
        """Keep a tuple of faces and two whole numbers."""
        object.__setattr__(self, "faces", tuple(self.faces))
        width, height = self.size
        object.__setattr__(self, "size", (int(width), int(height)))
        if min(self.size) < 0:
            raise ResultError(f"a size is width and height in pixels, not {width} x {height}")

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction in the one JSON schema: plain lists, numbers and None."""
        from meanshape.core.schema import prediction_to_dict

        return prediction_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Prediction:
        """Return the prediction that `to_dict` wrote; a `FormatError` says what does not fit."""
        from meanshape.core.schema import prediction_from_dict

        return prediction_from_dict(data)


EVALUATION_ONLY = "evaluation_only"
"""The attribute of samples that nothing may learn from."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotated face of a data set.

    `image` is a path or an array and is decoded only by `pixels()`; `box` is canonical (the tight box of
    the 68 points, or as near to it as the data set's card can map its own). `own_box` is the data set's
    own, where it has one: models never see it, errors are divided by its width.
    """

    id: str
    image: str | Path | NDArray[Any] | Image
    shape: Shape | None = None
    box: Box | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None
    own_box: Box | None = None

    def __post_init__(self) -> None:
        """Keep boxes, in whichever form they came."""
        for name in ("box", "own_box"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _box(getattr(self, name)))

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB (H, W, 3), upright."""
        from meanshape.core.image import read_image

        return read_image(self.image)


def refuse_evaluation_only(samples: Iterable[Sample], what: str) -> None:
    """Raise `DataSetError` if a sample is of a data set that nothing may learn from, by its card."""
    for sample in samples:
        if sample.attributes.get(EVALUATION_ONLY):
            raise DataSetError(
                f"{what} on {sample.id}: its data set is for evaluation only (meanshape data show)"
            )


def _box(given: Any) -> Box:
    """Return a box that may have come as four numbers."""
    from meanshape.core.boxes import as_box

    return as_box(given)


def _resolve(name: MarkUp | str) -> MarkUp:
    """Return the mark-up (`Shape.__init__` hides the function behind its argument's name)."""
    return markup(name)


__all__ = [
    "SCHEMA",
    "Box",
    "Emotion",
    "Face",
    "MarkUp",
    "Points",
    "Pose",
    "Prediction",
    "Sample",
    "Shape",
]
