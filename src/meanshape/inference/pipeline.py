"""One photo in, its faces out: the detector finds boxes, the model places points in each.

>>> pipeline = Pipeline(min_face=80)                 # doctest: +SKIP
>>> pipeline("photo.jpg").faces[0].shape["mouth"]    # doctest: +SKIP
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from meanshape.core.errors import BoxError, ConfigError
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.types import Box, Emotion, Face, Prediction, Shape
from meanshape.detectors.base import FaceDetector
from meanshape.inference import choice
from meanshape.inference.pose import head_pose
from meanshape.methods.base import LandmarkModel

AT_ONCE = 32
"""Faces that go through a model together: bounds the memory of a photo with hundreds."""


class Pipeline:
    """Finds the faces of a photo and the points of each; made once, called often, from any thread.

    Nothing global is changed: no thread counts, no seeds, no warning filters.

    Parameters
    ----------
    detector : a name (`meanshape models` lists them) or a detector; default mtcnn
    model : a shipped model, a folder of weights, an .onnx file, or a model; default dan
    min_face : the smallest face to look for, pixels
    threads : threads of ONNX Runtime for one photo
    providers : ONNX Runtime's execution providers, best first; None: the CPU
    color : the channel order of arrays that come in ("bgr" for OpenCV's)
    emotion, attributes : also say what each face seems to show: labels of appearance as annotators gave
        them, not of identity or feeling, and not for decisions about people. From the model if it has them,
        else from emotional_dan and tcdcn
    markup : convert the points to this mark-up
    stages : run the first so many of a cascade's stages alone (dan has two): quicker, less accurate
    max_faces : keep only the best
    licence : "permissive" refuses weights that may not be used commercially
    """

    def __init__(
        self,
        detector: str | FaceDetector | None = None,
        model: str | Path | LandmarkModel | None = None,
        *,
        min_face: float = 40,
        threads: int = 1,
        providers: Sequence[str] | None = None,
        color: Literal["rgb", "bgr"] = "rgb",
        emotion: bool = False,
        attributes: bool = False,
        markup: str | None = None,
        stages: int | None = None,
        max_faces: int | None = None,
        licence: str = "any",
    ) -> None:
        """Load detector and model; what is wrong with the options is said here, before any photo."""
        _check(min_face, threads, color, max_faces)
        chosen = choice.model_name(model, licence)
        finder = choice.detector_name(detector, licence)
        self.model, self.name = choice.make_model(chosen, threads, providers)
        choice.check_markup(self.model, markup)
        self.how = choice.check_stages(self.model, stages)
        self._answering: dict[str, Any] = {
            what: choice.make_answering(what, self.model, threads, providers, licence)
            for what, wanted in (("emotion", emotion), ("attributes", attributes))
            if wanted
        }
        self.detector = choice.make_detector(finder, min_face=min_face, threads=threads, providers=providers)
        self.min_face, self.color, self.markup, self.max_faces = min_face, color, markup, max_faces

    def __call__(
        self, image: ImageLike, *, boxes: Sequence[Box] | None = None, source: str | None = None
    ) -> Prediction:
        """Return the faces of one photo, best first, maybe none.

        Parameters
        ----------
        image : a path, the bytes of a file, a PIL image or an array
        boxes : canonical face boxes (tight around the 68 points) to use instead of the detector's
        source : what the prediction calls the photo; default the path as it was given
        """
        start = time.perf_counter()
        if source is None and isinstance(image, (str, os.PathLike)):
            source = os.fspath(image)
        pixels = read_image(image, self.color)
        height, width = pixels.shape[:2]
        faces = self._with_points(pixels, *self._find(pixels, boxes, source))
        return Prediction(faces, (width, height), source, self.name, time.perf_counter() - start)

    def _find(
        self, pixels: Pixels, boxes: Sequence[Box] | None, source: str | None
    ) -> tuple[list[Face], list[Box]]:
        """Return the faces in the detector's boxes, and the canonical boxes that belong to them."""
        if boxes is not None:
            _check_inside(boxes, pixels)
            return [Face(box) for box in boxes], list(boxes)
        found = self.detector.detect(pixels, min_face=self.min_face, source=source)[: self.max_faces]
        if self.detector.name == "given":
            _check_inside([face.box for face in found], pixels)
        return list(found), [self.detector.canonical(face.box) for face in found]

    def _with_points(self, pixels: Pixels, faces: list[Face], boxes: list[Box]) -> tuple[Face, ...]:
        """Return the faces with the model's points, the pose that they show, and what else was asked for."""
        done: list[Face] = []
        for first in range(0, len(faces), AT_ONCE):
            part = boxes[first : first + AT_ONCE]
            shapes, emotions = self._shapes(pixels, part)
            attributes = self.attributes(pixels, part)
            for face, shape, emotion, others in zip(
                faces[first:], shapes, emotions, attributes, strict=False
            ):
                converted = shape if self.markup is None else shape.to(self.markup)
                pose = head_pose(shape)
                done.append(Face(face.box, converted, face.score, pose, emotion, others, face.track))
        return tuple(done)

    def _shapes(self, pixels: Pixels, boxes: list[Box]) -> tuple[Sequence[Shape], Sequence[Emotion | None]]:
        """Return shapes, and emotions if they were asked for."""
        same = [pixels] * len(boxes)
        asked: Any = self._answering.get("emotion")
        one_run = asked is self.model  # gives both
        if one_run:
            shapes, emotions = asked.predict_all(same, boxes)
            return shapes, emotions
        found = self.model.predict_batch(same, list(boxes), **self.how)
        return found, self.emotions(pixels, boxes)

    def emotions(self, pixels: Pixels, boxes: list[Box]) -> Sequence[Emotion | None]:
        """Return what faces in canonical boxes of pixels (H, W, 3) seem to show, if that was asked for."""
        asked: Any = self._answering.get("emotion")
        found: Sequence[Emotion] = [] if asked is None else asked.emotions([pixels] * len(boxes), boxes)
        return found or [None] * len(boxes)

    def attributes(self, pixels: Pixels, boxes: list[Box]) -> Sequence[Mapping[str, Any] | None]:
        """Return by attribute the probability of each label, if that was asked for; pixels are (H, W, 3)."""
        asked = self._answering.get("attributes")
        return [None if asked is None else asked.attributes(pixels, box) for box in boxes]


def detect(image: ImageLike, *, boxes: Sequence[Box] | None = None, **options: Any) -> Prediction:
    """Return the faces of one photo: each with box, score and points.

    `options` are those of `Pipeline`; the pipeline of each set of options is kept for the next call.
    """
    kept = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return _pipeline(**kept)(image, boxes=boxes)


@lru_cache(maxsize=8)
def _pipeline(**options: Any) -> Pipeline:
    return Pipeline(**options)


def _check(min_face: float, threads: int, color: str, max_faces: int | None) -> None:
    """Say which option is out of range."""
    if not 12 <= min_face < float("inf"):
        raise ConfigError(f"min_face must be at least 12 pixels, not {min_face}")
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}")
    if color not in ("rgb", "bgr"):
        raise ConfigError(f"color must be 'rgb' or 'bgr', not {color!r}")
    if max_faces is not None and max_faces < 1:
        raise ConfigError(f"max_faces must be at least 1, or None for all, not {max_faces}")


def _check_inside(boxes: Sequence[Box], pixels: Pixels) -> None:
    """Refuse boxes that no pixel of the photo lies in."""
    height, width = pixels.shape[:2]
    whole = Box.whole(width, height)
    for box in boxes:
        if not box.iou(whole):
            raise BoxError(f"box {box.as_list()} lies outside the picture of {width} x {height} pixels")
