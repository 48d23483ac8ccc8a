"""Faces over time: the last shape starts the next, and the detector looks only when it must.

A face is followed by the model alone: the box that its points had in one frame, turned with it, moved on as
fast as they moved, says where it is in the next (for methods that take starts in another way, the inner
points: to begin at the points of one's own last answer is to drift). A learnt check says whether the crop
still holds a face: in every third frame while it is sure. The detector looks when a face is lost, when there
is none, and every few frames for newcomers, unless as many faces are followed as are wanted; what it finds is
assigned to the faces that are known, so that a face keeps its number.

Where a film is cut, nothing of this holds: `cuts.py` tells, the faces of the shot before are lost, the
detector looks, and a number is kept only by a face that looks as its owner did.
"""

from __future__ import annotations

import time as clock
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Unpack, cast

import numpy as np

from meanshape.core import checks
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.face import LandmarkFace
from meanshape.core.face_box import face_box
from meanshape.core.geometry import similarity
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.prediction import LandmarkPrediction, keep_picture
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector
from meanshape.inference import cuts
from meanshape.inference.options import PipelineOptions, Settings, Smoothing
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.smoothing import smoother
from meanshape.inference.track import SURE, Track
from meanshape.inference.turns import Candidate, View, roll_of, view

OVERLAP = 0.3
"""IoU from which a found face is one that is known."""
SAME = 0.55
"""IoU from which two tracks have come to follow the same face."""


class Tracker:
    """Follows the faces of one clip or camera; give it the frames in order. Each face keeps its `track`.

    Parameters
    ----------
    pipeline : finds faces and places points; default a `Pipeline` of the `options`
    every : frames between two looks of the detector while all faces are followed
    threshold : the check's score below which a face is lost
    memory : seconds after which a lost face's number is forgotten
    smoothing : "one_euro", "kalman" or "none"
    options : those of `Pipeline`, such as color="bgr" for OpenCV's frames; of a pipeline that is given, only
        those that `Pipeline.with_settings` takes
    """

    def __init__(
        self,
        pipeline: Pipeline | None = None,
        *,
        every: int = 15,
        threshold: float = 0.5,
        memory: float = 1.0,
        smoothing: Smoothing = "one_euro",
        **options: Unpack[PipelineOptions],
    ) -> None:
        checks.count(every, "every", ConfigError)
        checks.share(checks.number(threshold, "threshold", ConfigError), "threshold", ConfigError)
        if checks.number(memory, "memory", ConfigError) < 0:
            raise ConfigError(f"memory is seconds, not negative, not {memory}")
        smoother(smoothing)  # a wrong name is said now
        if pipeline is None:
            self.pipeline = Pipeline(**options)
        else:
            self.pipeline = pipeline.with_settings(**cast(Settings, options)) if options else pipeline
        self.every, self.threshold, self.memory, self.smoothing = every, threshold, memory, smoothing
        self.tracks: list[Track] = []
        self.looks = 0
        self._count = 0
        self._since = every
        self._before: tuple[tuple[int, int], cuts.Grey] | None = None
        self._clock: float | None = None
        self._timed: bool | None = None

    def __call__(
        self, image: ImageLike, time: float | None = None, source: str | None = None
    ) -> LandmarkPrediction:
        """Return the faces in the next frame, each with its number as `track`.

        Parameters
        ----------
        image : a frame (H, W, 3), in the pipeline's `color`, or whatever else `Pipeline` takes
        time : of the frame, in seconds; None for all frames of a live camera: when they come
        source : what the prediction calls the frame

        Raises
        ------
        ConfigError : some frames have a time and some have none
        """
        start = clock.perf_counter()
        time = self._time(time)
        pixels = read_image(image, self.pipeline.color)
        followed = [track for track in self.tracks if not track.lost]
        heirs = self._follow(pixels, followed, time, self._alike(pixels))
        self.tracks = [t for t in self.tracks if not t.lost or time - t.seen <= self.memory]
        self._since += 1
        if any(track.lost for track in followed) or not followed or self._newcomers_are_due():
            self._look(pixels, time, any(track.lost and track.cut for track in followed))
            self._take(heirs)
        self._drop_doubles()
        height, width = pixels.shape[:2]
        found = LandmarkPrediction(
            self._faces(pixels, time), (width, height), source, self.pipeline.name,
            clock.perf_counter() - start,
        )  # fmt: skip
        return keep_picture(found, image, self.pipeline.color)

    def _time(self, given: float | None) -> float:
        """Return a frame's time; of frames without one, the seconds since the first."""
        if self._timed is None:
            self._timed = given is not None
        if self._timed != (given is not None):
            raise ConfigError("a tracker is given the times of all frames or of none: speeds come from them")
        if given is not None:
            return checks.number(given, "a frame's time", ConfigError)
        now = clock.monotonic()
        self._clock = now if self._clock is None else self._clock
        return now - self._clock

    def _alike(self, pixels: Pixels) -> float:
        """Return how alike the frame is to the one before.

        If nothing of that is left, lost faces may belong to another shot; if the size is another, so may all.
        """
        size, before = (pixels.shape[1], pixels.shape[0]), self._before
        self._before = size, cuts.thumbnail(pixels)
        if before is None:
            return 1.0
        alike = cuts.frames_alike(before[1], self._before[1])
        for track in self.tracks:
            if size != before[0]:
                track.box = _resized(track.box, size[0] / before[0][0], size[1] / before[0][1])
                track.lost = track.cut = True
            track.cut |= track.lost and alike < cuts.OTHER
        return alike

    def _newcomers_are_due(self) -> bool:
        most = self.pipeline.max_faces
        there = sum(not track.lost for track in self.tracks)
        return self._since >= self.every and (most is None or there < most)

    def _faces(self, pixels: Pixels, time: float) -> tuple[LandmarkFace, ...]:
        """Return the faces that are followed, and what else the pipeline was asked for."""
        there = [track for track in self.tracks if not track.lost]
        told: Iterable[Any] = [(None, None)] * len(there)
        if self.pipeline.labels:
            views = [upright(pixels, track.shape, track.box) for track in there]
            told = zip(self.pipeline.emotions(views), self.pipeline.attributes(views), strict=True)
        faces = [track.face(time, *more) for track, more in zip(there, told, strict=True)]
        if (kind := self.pipeline.markup) is not None:
            faces = [replace(face, shape=face.shape.to(kind)) for face in faces]
        return tuple(faces)

    def _follow(self, pixels: Pixels, tracks: list[Track], time: float, alike: float) -> list[Track]:
        """Move tracks on by the model; what the check does not take for a face is lost, and what looks like
        another face in a frame less `alike` to the one before. Returns such other faces.
        """
        tracks = [track for track in tracks if not track.lost]
        if not tracks:
            return []
        own = self.pipeline.model.starts_in_own_box
        starts, shapes_before = zip(*(track.ahead(time, own) for track in tracks), strict=True)
        shapes = self.pipeline.model.predict_batch(
            [pixels] * len(tracks), starts, shapes_before, **self.pipeline.how
        )
        boxes = [canonical(shape, t.shape, t.box) for shape, t in zip(shapes, tracks, strict=True)]
        looks = [cuts.look(pixels, box, roll_of(shape)) for box, shape in zip(boxes, shapes, strict=True)]
        for track, look in zip(tracks, looks, strict=True):
            track.see(look, alike)
        scores = self._check(pixels, tracks, shapes, boxes)
        whole = Box.whole(pixels.shape[1], pixels.shape[0])
        heirs = []
        for track, shape, box, score, look in zip(tracks, shapes, boxes, scores, looks, strict=True):
            calm = 0.6 < box.size / track.box.size < 1.6 and box.iou(whole) > 0
            if track.cut or score < self.threshold or not calm:
                track.lost = True
            else:
                track.follow(shape, box, score, time)
            if track.cut and score >= SURE and calm:
                smooth = smoother(self.smoothing)
                heirs.append(Track(-1, shape, box, track.own, score, time, smooth, look))
        return heirs

    def _check(
        self, pixels: Pixels, tracks: list[Track], shapes: list[Shape], boxes: list[Box]
    ) -> list[float]:
        """Return the check's score of each track's next box; of those that are not due, the last."""
        due = [n for n, box in enumerate(boxes) if tracks[n].due(box)]
        scores = [track.score for track in tracks]
        views = [upright(pixels, shapes[n], boxes[n]) for n in due]
        for n, score in zip(due, self.pipeline.scores(views), strict=True):
            scores[n], tracks[n].unchecked = score, 0
        return scores

    def _look(self, pixels: Pixels, time: float, cut: bool) -> None:
        """Let the detector look; known faces stay, lost ones come back, new ones get a number.

        In turns, too, after a `cut`; else now and then, for a film without faces is long.
        """
        turns = self.pipeline.turns if cut or self.looks % self.every == 0 else "none"
        self.looks += 1
        self._since = 0
        found = self.pipeline.search(pixels, turns=turns)
        boxes = [one.box for one in found]
        live = [track.box for track in self.tracks if not track.lost]
        known = set(assign(live, boxes).values())
        fresh = [one for n, one in enumerate(found) if n not in known]
        shapes = self.pipeline.shapes([view(pixels, one.box, one.roll) for one in fresh])
        tracks = [self._begun(pixels, one, shape, time) for one, shape in zip(fresh, shapes, strict=True)]
        self._number(tracks, [one.box for one in fresh])

    def _begun(self, pixels: Pixels, found: Candidate, shape: Shape, time: float) -> Track:
        """Return a face that was found as a track; its number is still to be given."""
        face, box = found.face, canonical(shape, shape, found.box)
        score = 1.0 if face.score is None else face.score
        own, smooth = fractions(face.box, box), smoother(self.smoothing)
        look = cuts.look(pixels, box, roll_of(shape))
        return Track(-1, shape, box, own, score, time, smooth, look)

    def _number(self, tracks: list[Track], boxes: list[Box]) -> None:
        """Give found faces the numbers of the lost ones that they are, or new ones."""
        lost = [n for n, track in enumerate(self.tracks) if track.lost]
        others = {
            (k, n) for k, known in enumerate(lost) for n, track in enumerate(tracks)
            if self.tracks[known].cut and not self.tracks[known].is_like(track)
        }  # fmt: skip
        pairs = assign([self.tracks[n].box for n in lost], boxes, others)
        back = {n: lost[k] for k, n in pairs.items()}
        for n, track in enumerate(tracks):
            if n in back:
                track.number = self.tracks[back[n]].number
                self.tracks[back[n]] = track
            else:
                track.number = self._count
                self.tracks.append(track)
                self._count += 1

    def _take(self, heirs: list[Track]) -> None:
        """Follow what stands after a cut where another face stood, though the detector does not find it."""
        if type(self.pipeline.detector).scores is FaceDetector.scores:
            return  # it cannot say what is a face
        for heir in heirs:
            if not any(heir.box.iou(track.box) for track in self.tracks if not track.lost):
                heir.number = self._count
                self.tracks.append(heir)
                self._count += 1

    def _drop_doubles(self) -> None:
        """Of tracks that follow the same face, keep the eldest."""
        kept: list[Track] = []
        for track in self.tracks:
            if track.lost or all(track.box.iou(other.box) < SAME for other in kept if not other.lost):
                kept.append(track)
        self.tracks = kept


def upright(pixels: Pixels, shape: Shape, box: Box) -> View:
    """Return the pixels in which the face with this shape and box stands upright."""
    return view(pixels, box, roll_of(shape))


def assign(known: list[Box], found: list[Box], others: Collection[tuple[int, int]] = ()) -> dict[int, int]:
    """Return which known box is which found one: the pairs of least total distance that overlap enough, none
    of them among `others`.
    """
    if not known or not found:
        return {}
    from scipy.optimize import linear_sum_assignment

    overlap = np.array([[one.iou(other) for other in found] for one in known])
    for pair in others:
        overlap[pair] = 0
    rows, columns = linear_sum_assignment(-overlap)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= OVERLAP}


def _resized(box: Box, x: float, y: float) -> Box:
    """Return a box in the picture made larger by these factors."""
    left, top, right, bottom = box.as_list()
    return Box(
        (left + 0.5) * x - 0.5, (top + 0.5) * y - 0.5, (right + 0.5) * x - 0.5, (bottom + 0.5) * y - 0.5
    )


def canonical(shape: Shape, before: Shape, box: Box) -> Box:
    """Return the face box of a shape: tight around 68 points, else the old box moved as the points moved."""
    if tight := face_box(shape):
        return tight
    matrix = similarity(before.points, shape.points)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    x, y = matrix[:, :2] @ box.center + matrix[:, 2]
    half_w, half_h = box.width * scale / 2, box.height * scale / 2
    return Box(x - half_w, y - half_h, x + half_w, y + half_h)


def fractions(own: Box, box: Box) -> tuple[float, float, float, float]:
    """Return where `own` lies in `box`, as `Box.part` takes it."""
    (left, top), (right, bottom) = box.relative(np.array([[own.left, own.top], [own.right, own.bottom]]))
    return float(left), float(top), float(right), float(bottom)
