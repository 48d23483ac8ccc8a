"""Faces that do not stand upright: the picture is searched in turns, and models see faces upright.

Detectors find faces that are tilted by up to about 50 degrees. For the others the picture is turned by
quarters and searched again. Of the faces in a tilted picture they find some; the best of these tells by how
much the picture has to be turned back to find the rest. A model sees a face that is tilted by more than
`LEVEL` degrees in a patch that is turned back by as much, as the five points of the detector tell; its own
points are then turned into the picture.
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
SEARCHES = 6
"""What searches in turns cost at most, in searches of the picture as it stands: four quarters, and upright,
which may take twice the pixels.
"""
LEVEL = 25.0
"""Degrees of tilt from which a model sees the face in a patch that was turned back."""
LEARNT = 60.0
"""Degrees of tilt beyond which a face was found by luck: the picture is searched in turns, too."""
STRICT = 0.95
"""The score from which a face in a turned picture is one: three more looks must not make more mistakes."""
SAME = 0.3
"""Intersection over union from which two looks found the same face."""
GREY = 127
"""Of the corners of a picture that was turned by less than a quarter."""
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
        face is surely upright. With both, a picture whose best face is tilted is also searched upright.
    asked : options of the detector
    """
    found = [_candidate(detector, face) for face in detector.detect(pixels, **asked)]
    if turns == "none" or not detector.takes("min_face"):
        return found
    if turns == "all" or not _settled(detector, found):
        looks = [_strict(detector, pixels, degrees, asked) for degrees in (90, 180, 270)]
        found = _without_doubles(_in_one_turn([found, *looks], max(STRICT, detector.sure)))
    if found and abs(_quarter_tilt(found[0].roll)) > LEVEL:
        found = _without_doubles([*found, *_strict(detector, pixels, -found[0].roll, asked)])
    return found


def _strict(detector: FaceDetector, pixels: Pixels, degrees: float, asked: dict[str, Any]) -> list[Candidate]:
    """Return the faces of score `STRICT` and more in the picture turned anticlockwise."""
    picture, back = turned(pixels, degrees)
    faces = detector.detect(picture, **asked)
    return [_candidate(detector, face, degrees, back) for face in faces if _score(face) >= STRICT]


def turned(pixels: Pixels, degrees: float) -> tuple[Pixels, Points]:
    """Return the whole picture turned anticlockwise, and the map (2, 3) back to the picture before.

    Quarter turns are exact. After others the corners are grey: mirrored ones would hold faces.
    """
    height, width = pixels.shape[:2]
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    wide = round(abs(width * cos) + abs(height * sin))
    high = round(abs(height * cos) + abs(width * sin))
    turn = np.array([[cos, -sin], [sin, cos]])
    middle, after = np.array([width - 1, height - 1]) / 2, np.array([wide - 1, high - 1]) / 2
    back = np.column_stack([turn, middle - turn @ after])
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, int(degrees // 90))), back
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = (GREY, GREY, GREY)
    result = cv2.warpAffine(
        pixels, back, (wide, high), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=grey
    )
    return np.asarray(result, np.uint8), back


def _quarter_tilt(roll: float) -> float:
    """Return the roll relative to the nearest quarter turn, degrees."""
    return (roll + 45) % 90 - 45


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


def _candidate(
    detector: FaceDetector, face: Face, degrees: float = 0, back: Points | None = None
) -> Candidate:
    """Return a face that was found after a turn of so many degrees, in pixels of the picture before it, to
    which `back` maps.
    """
    box = detector.canonical(face.box)
    if back is not None:
        five = None if face.shape is None else face.shape.with_points(apply(back, face.shape.points))
        x, y = apply(back, np.array([box.center]))[0] - box.center
        face, box = replace(face, box=_around(back, face.box), shape=five), box.shifted(float(x), float(y))
    roll = -degrees if face.shape is None else roll_of(face.shape)
    return Candidate(face, box, (roll + 180) % 360 - 180)


def _around(back: Points, box: Box) -> Box:
    """Return the box around the ellipse in a box, rotated; after a quarter turn that is the box itself."""
    middle = apply(back, np.array([box.center]))[0]
    half = np.hypot(back[:, 0] * box.width, back[:, 1] * box.height) / 2
    left, top = (middle - half).tolist()
    right, bottom = (middle + half).tolist()
    return Box(left, top, right, bottom, box.score)


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
