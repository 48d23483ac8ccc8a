"""Faces that do not stand upright: the picture is searched in quarter turns, and models see faces upright.

Detectors find faces that are tilted by up to about 50 degrees. For the others the picture is turned by
quarters and searched again. A model sees a face that is tilted by more than `LEVEL` degrees in a patch that
is turned back by as much, as the five points of the detector tell; its own points are then turned into the
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from meanshape.core.box import Box, Points
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.geometry import apply, invert
from meanshape.core.image import Pixels, warp
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector, rank

Turns = Literal["none", "auto", "all"]
QUARTERS = 4
LEVEL = 25.0
"""Degrees of tilt from which a model sees the face in a patch that was turned back."""
LEARNT = 60.0
"""Degrees of tilt beyond which a face was found by luck: the picture is searched in turns, too."""
STRICT = 0.95
"""The score from which a face in a turned picture is one: three more looks must not make more mistakes."""
SAME = 0.3
"""Intersection over union from which two looks found the same face."""
ROOM, MOST = 2.4, 512
"""Side of a patch in sides of the face's box, and in pixels at most."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face that was found.

    Attributes
    ----------
    face : with the detector's box and five points, in pixels of the picture
    box : the canonical box that it would have upright, about the centre that it has
    roll : degrees by which it is tilted, as in `Pose`: positive toward the subject's right
    """

    face: Face
    box: Box
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """Pixels in which a face stands upright in a canonical box, and the map (2, 3) from them to the picture;
    None: they are the picture.
    """

    pixels: Pixels
    box: Box
    back: Points | None = None

    def placed(self, shape: Shape) -> Shape:
        """Return a shape that was found in these pixels in those of the picture."""
        return shape if self.back is None else shape.with_points(apply(self.back, shape.points))


def check(turns: str) -> None:
    """Refuse what is none of the ways to search."""
    if turns not in get_args(Turns):
        raise ConfigError(f"turns is {', '.join(get_args(Turns))}, not {turns!r}")


def search(detector: FaceDetector, pixels: Pixels, turns: str = "none", **asked: Any) -> list[Candidate]:
    """Return the faces in pixels (H, W, 3), best first.

    Parameters
    ----------
    turns : "none", the picture as it stands; "all", in four quarter turns as well; "auto", only where no
        face is surely upright
    asked : options of the detector
    """
    found = [_candidate(detector, face, 0, pixels) for face in detector.detect(pixels, **asked)]
    if turns == "none" or not detector.takes("min_face") or (turns == "auto" and _settled(detector, found)):
        return found
    looks = [found]
    for quarter in range(1, QUARTERS):
        turned = np.ascontiguousarray(np.rot90(pixels, quarter))
        faces = detector.detect(turned, **asked)
        sure = [face for face in faces if _score(face) >= STRICT]
        looks.append([_candidate(detector, face, quarter, pixels) for face in sure])
    return _without_doubles(_in_one_turn(looks, max(STRICT, detector.sure)))


def _in_one_turn(looks: Sequence[Sequence[Candidate]], sure: float) -> list[Candidate]:
    """Return the faces of the turn in which the surest is, and of the others those that are `sure`.

    A photo stands in one way; in another, detectors see faces in what is none.
    """
    best = max((one for look in looks for one in look), key=lambda one: rank(one.face), default=None)
    return [one for look in looks for one in look if best in look or _score(one.face) >= sure]


def _score(face: Face) -> float:
    """Return the score of a face; 1 where the detector gives none."""
    return 1.0 if face.score is None else face.score


def view(pixels: Pixels, box: Box, roll: float) -> View:
    """Return the pixels in which a face stands upright: those of the picture where it nearly does."""
    if abs(roll) <= LEVEL:
        return View(pixels, box)
    side = min(MOST, max(8, round(ROOM * box.size)))
    scale = side / (ROOM * box.size)
    cos, sin = scale * np.cos(np.deg2rad(roll)), scale * np.sin(np.deg2rad(roll))
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([turn, middle - turn @ box.center])
    half = np.array([box.width, box.height]) * scale / 2
    upright = Box(*(middle - half).tolist(), *(middle + half).tolist())
    return View(warp(pixels, matrix, (side, side)), upright, invert(matrix))


def roll_of(shape: Shape | None) -> float:
    """Return the roll of a face in degrees, -180..180, as in `Pose`; 0 where its points do not tell."""
    if shape is None or not shape.markup.gives("mtfl5"):
        return 0.0
    left, right, _, *mouth = shape.markup.convert(shape.points, "mtfl5")
    across, down = right - left, np.mean(mouth, axis=0) - (left + right) / 2
    way = complex(*across) + complex(*down) / 1j
    return -float(np.rad2deg(np.angle(way))) if np.isfinite(way) and way else 0.0


def _settled(detector: FaceDetector, found: Sequence[Candidate]) -> bool:
    """Tell whether a face is surely there, and upright enough to have been looked for."""
    scores = [_score(one.face) for one in found if abs(one.roll) <= LEARNT]
    return max(scores, default=-1.0) >= detector.sure


def _candidate(detector: FaceDetector, face: Face, quarter: int, pixels: Pixels) -> Candidate:
    """Return a face that was found after so many quarter turns, in pixels of the picture before them."""
    box = detector.canonical(face.box)
    if quarter:
        back = _back(quarter, *pixels.shape[:2])
        five = None if face.shape is None else face.shape.with_points(apply(back, face.shape.points))
        around = Box.around(apply(back, _corners(face.box)), face.box.score)
        x, y = apply(back, np.array([box.center]))[0] - box.center
        face, box = replace(face, box=around, shape=five), box.shifted(float(x), float(y))
    roll = -90.0 * quarter if face.shape is None else roll_of(face.shape)
    return Candidate(face, box, (roll + 180) % 360 - 180)


def _back(quarter: int, height: int, width: int) -> Points:
    """Return the map (2, 3) from a picture that was turned by quarters, anticlockwise, to the one before."""
    right, down = width - 1, height - 1
    turns = {
        1: [[0, -1, right], [1, 0, 0]],
        2: [[-1, 0, right], [0, -1, down]],
        3: [[0, 1, 0], [-1, 0, down]],
    }
    return np.array(turns[quarter], np.float64)


def _corners(box: Box) -> Points:
    return np.array([[box.left, box.top], [box.right, box.bottom]])


def _same(box: Box, other: Box) -> bool:
    """Tell whether two boxes are of one face: they share much, or the one is about the other's centre."""
    x, y = np.abs(np.subtract(box.center, other.center)) / (other.width, other.height)
    return box.iou(other) >= SAME or bool(max(x, y) < 0.25)


def _without_doubles(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, best first, each face once: in the turn that is surest of it."""
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: rank(c.face), reverse=True):
        if not any(_same(candidate.face.box, other.face.box) for other in kept):
            kept.append(candidate)
    return kept


__all__ = ["Candidate", "Turns", "View", "check", "roll_of", "search", "view"]
