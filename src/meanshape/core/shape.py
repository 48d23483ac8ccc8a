"""The points of a face.

Pixels are float64 `(x, y)`, x right, y down, and (0, 0) is the *centre* of the top-left pixel. Left and
right are the subject's. A point that is not annotated is NaN; one that is annotated but hidden has
`visible` False. Angles are degrees; scores and probabilities lie in 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from meanshape.core import checks
from meanshape.core.box import Box, Points
from meanshape.core.errors import MarkUpError, ShapeError
from meanshape.core.markup import MarkUp, markup


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shape:
    """K points of a mark-up; `np.asarray(shape)` is (K, 2), and `shape[30]` and a loop give its points.

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

    def __repr__(self) -> str:
        """Say what it is in one line."""
        width, height = (
            np.ptp(self.points[np.isfinite(self.points).all(1)], axis=0) if self._known() else (0, 0)
        )
        hidden = "" if self.visible is None else f", {np.sum(~self.visible)} hidden"
        sure = "" if self.confidence is None else f", confidence {self.confidence.mean():.2f}"
        return f"Shape({self.markup.name}, {self._known()} points, {width:.0f} x {height:.0f}{hidden}{sure})"

    def _known(self) -> int:
        """Return how many points are annotated."""
        return int(np.isfinite(self.points).all(1).sum())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the points (K, 2)."""
        return np.array(self.points, dtype) if copy is not False else np.asarray(self.points, dtype)

    def __iter__(self) -> Iterator[Points]:
        """Go through the points (2,)."""
        return iter(self.points)

    def __getitem__(self, name: str | int | slice) -> Points:
        """Return the points (n, 2) of a group or a slice, or the one point (2,) of that name or number."""
        if not isinstance(name, str):
            found: Points = self.points[name]
            return found
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


def _resolve(name: MarkUp | str) -> MarkUp:
    """Return the mark-up (`Shape.__init__` hides the function behind its argument's name)."""
    return markup(name)
