"""One face over time: where it was, where it should be next, and how it last looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from meanshape.core.box import Box, Points
from meanshape.core.face import Emotion, LandmarkFace
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.inference import cuts
from meanshape.inference.pose import HeadPose
from meanshape.inference.smoothing import Smoother

CHECK = 3
"""Frames from one check to the next of a face that is surely one."""
SURE = 0.9
"""The check's score of such a face."""
INNER = "ibug51"
"""The points that start the search in the next frame, where a mark-up has them."""
MOVES, FAR = 0.03, 0.3
"""Face sizes a frame from which a face is taken to go on moving, and how far at most."""
RESTS = 0.012
"""Face sizes by which the points may stray, on average, before the start follows them: as on a leash."""


@dataclass(slots=True)
class Track:
    """One face over time. `box` is canonical; `own` says where the detector's box lies in it; `look` is how
    it last looked, `doubt` that the frame has changed since, and `cut` that it may be of another shot.
    """

    number: int
    shape: Shape
    box: Box
    own: tuple[float, float, float, float]
    score: float
    seen: float
    smooth: Smoother
    look: cuts.Grey | None = None
    pose: HeadPose = field(default_factory=HeadPose)
    lost: bool = False
    doubt: bool = False
    cut: bool = False
    unchecked: int = 0
    speed: Points | None = None
    begun: tuple[Box, Shape] | None = None

    def ahead(self, time: float, whole: bool = False) -> tuple[Box, Shape]:
        """Return box and shape where they should be in the next frame: the inner points or the `whole` shape.

        A face that moves goes on to. One that rests begins where it began before, so that the noise of one
        answer is not in the next; one that drifts takes its start along, `RESTS` behind.
        """
        box, shape = self._next(time, whole)
        if self.begun is not None and len(self.begun[1]) == len(shape):
            moved = shape.points - self.begun[1].points
            far = float(np.hypot(moved[:, 0], moved[:, 1]).mean()) / box.size
            if far <= RESTS:
                return self.begun
            if far < FAR:  # else nothing holds it back; nor where points are missing
                box = _between(box, self.begun[0], RESTS / far)
                shape = shape.with_points(shape.points - RESTS / far * moved)
        self.begun = box, shape
        return self.begun

    def _next(self, time: float, whole: bool) -> tuple[Box, Shape]:
        kind, points = self.shape.markup, self.shape.points
        if INNER in kind.conversions and not whole:
            kind, points = markup(INNER), kind.convert(points, INNER)
        by = np.zeros(2) if self.speed is None else self.speed * (time - self.seen)
        if not MOVES < float(np.hypot(*by)) / self.box.size < FAR:
            return self.box, Shape(points, kind)
        return self.box.shifted(*by.tolist()), Shape(points + by, kind)

    def follow(self, shape: Shape, box: Box, score: float, time: float) -> None:
        """Take the shape of the next frame, its box and its score."""
        moved = np.subtract(box.center, self.box.center)
        self.speed = moved / (time - self.seen) if time > self.seen else None
        self.shape, self.box, self.score, self.seen = shape, box, score, time

    def see(self, look: cuts.Grey, alike: float) -> None:
        """Take the look of the next frame, which is `alike` to the one before: is it another face's now?"""
        self.doubt |= alike < cuts.CHANGED
        if alike < cuts.OTHER and not cuts.burnt(look):
            self.unchecked = CHECK
        if self.doubt and self.look is not None:
            apart = cuts.difference(self.look, look)
            if apart is not None:
                self.doubt, self.cut = False, apart > cuts.OTHERS
        if not self.doubt and not self.cut and cuts.tells(look):
            self.look = look

    def is_like(self, other: Track) -> bool:
        """Say whether another face looks like this one; where nothing can be told it does, in doubt."""
        if self.look is None or other.look is None:
            return True
        apart = cuts.difference(self.look, other.look)
        return apart is None or apart <= cuts.OTHERS

    def due(self, box: Box) -> bool:
        """Say whether the check must look at the face, whose next box this is."""
        self.unchecked += 1
        grown = box.size / self.box.size
        return self.cut or self.score < SURE or self.unchecked >= CHECK or not 0.9 < grown < 1.1

    def face(
        self, time: float, emotion: Emotion | None, attributes: Mapping[str, Any] | None
    ) -> LandmarkFace:
        """Return the face as a prediction holds it, smoothed."""
        shape = self.shape.with_points(self.smooth(self.shape.points, time, self.box.size))
        box = replace(self.box.part(self.own), score=self.score)
        return LandmarkFace(box, shape, self.score, self.pose(shape), emotion, attributes, self.number)


def _between(box: Box, other: Box, share: float) -> Box:
    """Return the box that lies so much of the way to another."""
    edges = (1 - share) * np.array(box.as_list()) + share * np.array(other.as_list())
    return Box(*edges.tolist())
