"""Which part of a picture a face covers: its outline with the forehead, or its box, grown a little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from meanshape.core import checks
from meanshape.core.box import Box, Points
from meanshape.core.errors import ConfigError, ResultError
from meanshape.core.face import Face
from meanshape.core.geometry import apply
from meanshape.core.shape import Shape

Kind = Literal["outline", "box"]
GROW = 1.15
"""How many times as large as the face what is hidden is, across."""
MOST_GROW = 5.0
FOREHEAD = 0.55
"""How far the hairline lies above the brows, in distances from the chin to the brows."""
ROUND = 24
"""Corners of an ellipse."""
CORNERS = 1000
"""Corners that a region of a file may have."""
FAR = 1e6
"""Pixels beyond which a corner is none of a picture."""
FULL = "ibug68"


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a picture that is hidden.

    Attributes
    ----------
    points : the corners (K, 2) of a convex outline, pixels
    score : the detector's, None where a person has drawn it
    track : the number of the face in a video
    held : whether the face was not found in this frame, but shortly before or after
    """

    points: Points
    score: float | None = None
    track: int | None = None
    held: bool = False

    def __post_init__(self) -> None:
        """Check the corners."""
        points = checks.array(self.points, ResultError, "corners (K, 2)").astype(np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not 3 <= len(points) <= CORNERS:
            raise ResultError(f"a region has 3 to {CORNERS} corners (x, y), not an array {points.shape}")
        if not (np.abs(points) < FAR).all():  # NaN is not below it either
            raise ResultError(f"a region's corners are pixels, less than {FAR:,.0f} from the first")
        object.__setattr__(self, "points", points)

    @property
    def box(self) -> Box:
        """Return the upright box around it; a line has the width of a pixel."""
        (left, top), (right, bottom) = self.points.min(0) - 0.5, self.points.max(0) + 0.5
        return Box(left, top, right, bottom)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "points": np.round(self.points, 1).tolist(),
            "score": None if self.score is None else round(self.score, 4),
            "track": self.track,
            "held": self.held,
        }

    @classmethod
    def from_dict(cls, data: Any) -> Region:
        """Return what `to_dict` wrote, or a person: `points`, or a `box` of left, top, right, bottom.

        Raises
        ------
        ResultError : neither of them, or numbers that make no sense
        """
        if not isinstance(data, dict) or ("points" in data) == ("box" in data):
            raise ResultError('a region has "points" [[x, y], …] or a "box" [left, top, right, bottom]')
        points = data.get("points")
        if points is None:
            edges = checks.array(data["box"], ResultError, "a box")
            if edges.shape != (4,) or edges.dtype.kind not in "iuf":
                raise ResultError("a region's box is left, top, right, bottom")
            points = _corners(Box(*edges.tolist()))
        try:
            score = checks.share(data.get("score"), "a region's score", ResultError)
            track = data.get("track")
            track = None if track is None else checks.count(track, "a region's track", ResultError, 0)
            return cls(np.array(points, np.float64), score, track, data.get("held") is True)
        except (TypeError, ValueError) as error:
            said = str(error) if isinstance(error, ResultError) else "its numbers are none"
            raise ResultError(f"a region that cannot be read: {said}") from error


def check(kind: str, grow: float) -> None:
    """Refuse a kind of region that there is not, and a factor out of range."""
    if kind not in get_args(Kind):
        raise ConfigError(f"a region is {' or '.join(get_args(Kind))}, not {kind!r}")
    if not 1 <= checks.number(grow, "grow", ConfigError) <= MOST_GROW:
        raise ConfigError(f"grow is 1 to {MOST_GROW:.0f} times the face, not {grow}")


def region(face: Face, kind: str = "outline", grow: float = GROW) -> Region:
    """Return the part of the picture that a face covers.

    The outline is that of the points with the forehead above them, and of the ellipse in the detector's box:
    where one of them is wrong, the other still hides the face. Without such points it is that ellipse.
    """
    if kind == "box":
        points = _corners(face.box)
    else:
        points = _ellipse(face.box)
        if face.shape is not None and face.shape.markup.gives(FULL):
            points = np.concatenate([points, _head(face.shape)])
    return Region(grown(hull(points), grow), face.score, face.track)


def regions(faces: Iterable[Face], kind: str = "outline", grow: float = GROW) -> list[Region]:
    """Return the region of each face."""
    check(kind, grow)
    return [region(face, kind, grow) for face in faces]


def hull(points: Points) -> Points:
    """Return the corners (K, 2) of the convex hull of points (N, 2)."""
    import cv2

    there = points[np.isfinite(points).all(1)].astype(np.float32)
    return np.asarray(cv2.convexHull(there)[:, 0], np.float64)


def joined(parts: Sequence[Region]) -> Region:
    """Return the convex region around several of one face, held where all of them are."""
    first = parts[0]
    around = hull(np.concatenate([part.points for part in parts]))
    return Region(around, first.score, first.track, all(part.held for part in parts))


def grown(points: Points, factor: float) -> Points:
    """Return an outline scaled about the middle of its box."""
    middle = (points.min(0) + points.max(0)) / 2
    return np.asarray(middle + factor * (points - middle))


def _head(shape: Shape) -> Points:
    """Return the jaw and the brows of a face, and these moved up to the hairline (…, 2); where some of them
    are missing, the points that are there.
    """
    points = shape.markup.convert(shape.points, FULL)
    jaw, brows, chin = points[:17], points[17:27], points[8]
    if not np.isfinite(points[:27]).all():
        return points
    up = FOREHEAD * (brows.mean(axis=0) - chin)
    temples = points[[0, 16]] + 0.6 * up
    return np.concatenate([jaw, brows, brows[1:-1] + up, temples])


def _ellipse(box: Box) -> Points:
    turn = np.linspace(0, 2 * np.pi, ROUND, endpoint=False)
    return box.absolute(np.column_stack([np.cos(turn), np.sin(turn)]) / 2 + 0.5)


def _corners(box: Box) -> NDArray[np.float64]:
    return np.array(
        [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
    )


def mapped(one: Region, matrix: Points) -> Region:
    """Return a region in another picture, by the map (2, 3) to it."""
    return Region(apply(matrix, one.points), one.score, one.track, one.held)


__all__ = ["GROW", "Kind", "Region", "check", "grown", "hull", "joined", "mapped", "region", "regions"]
