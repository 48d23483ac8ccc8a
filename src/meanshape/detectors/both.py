"""The default face detector: MTCNN, and Glance where MTCNN is sure of no face or where there may be many.

Each errs where the other does not: MTCNN hardly ever in plain photos, on people or without, while it loses
tilted, small and hidden faces and infants, of which Glance finds most. Where MTCNN is sure of the only face,
Glance costs nothing. Where MTCNN is sure of any, its faces stay as they are, for its boxes are better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.core.origin import Origin, joined
from meanshape.detectors.base import FaceDetector, rank
from meanshape.detectors.glance import Glance
from meanshape.detectors.mtcnn import MTCNN

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

STRICT = 0.9
"""Glance's score from which a face is one that MTCNN is not sure of. Chosen while looking at infants and at
615 photos without people, most of which taught it: none has such a face.
"""
SEVERAL = 2
"""MTCNN's sure faces from which a photo is one of many people, and Glance is asked for more."""
SMALL = 40
"""The smallest face to look for, pixels, below which Glance is always asked: small faces are many."""
SAME, INSIDE = 0.3, 0.8
"""Both found the same face where boxes overlap by this (intersection over union), or one holds this share of
the other.
"""
DOUBT = 0.5
"""MTCNN's score of a face that is followed, below which Glance is asked."""


class Both(FaceDetector):
    """Finds faces of at least `min_face` pixels, forehead to chin, with score and five points.

    Parameters
    ----------
    min_face : the smallest face to look for, pixels; time grows with its inverse square
    threads, providers : threads and execution providers of ONNX Runtime; None: the CPU
    """

    name: ClassVar[str] = "both"
    sure: float = MTCNN.sure

    def __init__(
        self, min_face: float = 40, threads: int = 1, providers: Sequence[Provider] | None = None
    ) -> None:
        """Load the networks of both after checking their SHA-256."""
        self.mtcnn = MTCNN(min_face, threads=threads, providers=providers)
        self.glance = Glance(min_face, threads=threads, providers=providers)

    @property
    def origin(self) -> Origin:
        """The terms of both."""
        return joined([self.mtcnn.origin, self.glance.origin])

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self.mtcnn.runs_on

    def _detect(self, image: Pixels, *, min_face: float | None = None) -> Iterable[Face]:
        """Return the faces; `min_face` counts for this picture alone."""
        asked = {} if min_face is None else {"min_face": min_face}
        found = self.mtcnn.detect(image, **asked)
        sure = sum(face.score is not None and face.score >= self.sure for face in found)
        small = (self.mtcnn.min_face if min_face is None else min_face) < SMALL
        if 0 < sure < SEVERAL and not small:
            return found
        others = [*self._others(image, asked, 0.0 if sure else STRICT)]
        kept, more = (list(found), others) if sure else ([], [*found, *others])
        for face in sorted(more, key=rank, reverse=True):
            if not any(_same(face.box, other.box) for other in kept):
                kept.append(face)
        return kept

    def _others(self, image: Pixels, asked: dict[str, float], least: float) -> Iterable[Face]:
        """Yield what Glance finds with a score of `least` and more, in MTCNN's boxes."""
        for face in self.glance.detect(image, **asked):
            if face.score is not None and face.score >= least:
                box = self.head(self.glance.canonical(face.box))
                yield replace(face, box=replace(box, score=face.score))

    def looked_at(self, width: int, height: int, min_face: float | None = None) -> int:
        """Return how many pixels both look at."""
        return sum(one.looked_at(width, height, min_face) for one in (self.mtcnn, self.glance))

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return R-Net's score of each canonical box, or Glance's where that is in doubt."""
        found = self.mtcnn.scores(image, boxes)
        doubted = [n for n, score in enumerate(found) if score < DOUBT]
        for n, score in zip(doubted, self.glance.scores(image, [boxes[n] for n in doubted]), strict=True):
            found[n] = max(found[n], score)
        return found


def _same(box: Box, other: Box) -> bool:
    """Tell whether two boxes are of one face."""
    overlap = box.iou(other)
    shared = overlap * (box.area + other.area) / (1 + overlap)
    return overlap >= SAME or shared > INSIDE * min(box.area, other.area)


DETECTOR = Both
