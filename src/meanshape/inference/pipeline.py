"""One photo in, its faces out: the detector finds boxes, the model places points in each.

>>> pipeline = Pipeline(min_face=80)                 # doctest: +SKIP
>>> pipeline("photo.jpg").faces[0].shape["mouth"]    # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from meanshape.core import checks
from meanshape.core.box import Box, BoxesLike, as_boxes
from meanshape.core.errors import BoxError, ConfigError
from meanshape.core.face import Emotion, Face, LandmarkFace
from meanshape.core.image import ImageLike, Pixels, check_color, read_image
from meanshape.core.prediction import LandmarkPrediction, keep_picture
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector, check_min_face
from meanshape.inference import choice, several
from meanshape.inference.options import Color, Licence, Settings, Turns
from meanshape.inference.pose import head_pose
from meanshape.inference.turns import Candidate, View, search, view
from meanshape.inference.turns import check as check_turns
from meanshape.methods.base import LandmarkModel

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

AT_ONCE = 32
"""Faces that go through a model together: bounds the memory of a photo with hundreds."""
TOGETHER = 8
"""Photos whose faces go through a model together: bounds the memory of many photos."""
SETTINGS = {
    "min_face": None, "color": "rgb", "markup": None, "stages": None, "max_faces": None, "turns": "auto",
}  # fmt: skip
"""Options that no network depends on, and what they are without a word."""


class Pipeline:
    """Finds the faces of a photo and the points of each; made once, called often, from any thread.

    Nothing global is changed: no thread counts, no seeds, no warning filters. Process pools can take it:
    pickled or copied, it is made again from its options.

    Parameters
    ----------
    detector : a name (`meanshape models` lists them) or a detector; default `choice.DETECTOR`
    model : a shipped model, a folder of weights, an .onnx file, or a model; default `choice.MODEL`
    min_face : the smallest face to look for, pixels; None: as the detector has it (40)
    threads : threads of ONNX Runtime for one photo
    providers : ONNX Runtime's execution providers for every network, best first, each a name or
        (name, {option: value}); None: the CPU
    device : their short form: "cpu", "cuda", "cuda:1", "coreml", "directml", "openvino" …
    color : the channel order of arrays that come in: "rgb", or "bgr" for OpenCV's
    emotion, attributes : also say what each face seems to show: labels of appearance as annotators gave
        them, not of identity or feeling, and not for decisions about people. From the model if it has them,
        else from emotional_dan and tcdcn
    markup : convert the points to this mark-up
    stages : run the first so many of a cascade's stages alone (dan has two): quicker, less accurate
    max_faces : keep only the best
    turns : "none" searches the picture as it stands; "auto" also in quarter turns where no face is surely
        upright; "all" always. Both also search a picture whose best face is tilted turned upright
    licence : "permissive" refuses weights that may not be used commercially
    """

    def __init__(
        self,
        detector: str | FaceDetector | None = None,
        model: str | Path | LandmarkModel | None = None,
        *,
        min_face: float | None = None,
        threads: int = 1,
        providers: Sequence[Provider] | None = None,
        device: str | None = None,
        color: Color = "rgb",
        emotion: bool = False,
        attributes: bool = False,
        markup: str | None = None,
        stages: int | None = None,
        max_faces: int | None = None,
        turns: Turns = "auto",
        licence: Licence = "any",
    ) -> None:
        """Load detector and model; what is wrong with the options is said here, before any photo."""
        self._options = {name: value for name, value in locals().items() if name != "self"}
        _check(min_face, threads, color, max_faces)
        providers = choice.providers_of(device, providers)
        chosen = choice.model_name(model, licence)
        finder = choice.detector_name(detector, licence)
        self.model, self.name = choice.make_model(chosen, threads, providers)
        self._answering: dict[str, Any] = {
            what: choice.make_answering(what, self.model, threads, providers, licence)
            for what, wanted in (("emotion", emotion), ("attributes", attributes))
            if wanted
        }
        self.detector = choice.make_detector(finder, threads, providers)
        self._settle(min_face, color, markup, stages, max_faces, turns)

    def _settle(
        self,
        min_face: float | None,
        color: Color,
        markup: str | None,
        stages: int | None,
        max_faces: int | None,
        turns: Turns,
    ) -> None:
        """Take the settings, if detector and model can."""
        _check(min_face, 1, color, max_faces)
        check_turns(turns)
        if min_face is not None and not self.detector.takes("min_face"):
            raise ConfigError(f"detector {self.detector.name} does not search, and takes no min_face")
        if turns == "all" and not self.detector.takes("min_face"):
            raise ConfigError(f"detector {self.detector.name} does not search, and not in turns either")
        choice.check_markup(self.model, markup)
        self.how = choice.check_stages(self.model, stages)
        self.min_face, self.color, self.markup, self.max_faces = min_face, color, markup, max_faces
        self.turns = turns

    def with_settings(self, **settings: Unpack[Settings]) -> Pipeline:
        """Return a pipeline on the same networks with another min_face, color, markup, stages, max_faces or
        turns.

        Raises
        ------
        ConfigError : a setting that is out of range, unknown, or needs other networks
        """
        for name in settings:
            if name not in SETTINGS:
                raise ConfigError(f"a ready pipeline changes {', '.join(SETTINGS)}, not {name}: make another")
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._options = {**self._options, **settings}
        other._settle(*(other._options[name] for name in SETTINGS))
        return other

    def __repr__(self) -> str:
        """Say in one line what finds the faces and what places the points."""
        return f"Pipeline(detector {self.detector.name}, model {self.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        from meanshape.inference.kept import again

        return again, (type(self), self._options)

    @property
    def providers(self) -> dict[str, tuple[str, ...]]:
        """Return by part (detector, model …) ONNX Runtime's providers that do its work, the busiest first.

        A part without any runs without ONNX Runtime.
        """
        parts = {"detector": self.detector, "model": self.model, **self._answering}
        return {name: part.runs_on for name, part in parts.items()}

    @property
    def labels(self) -> bool:
        """Tell whether emotions or attributes were asked for."""
        return bool(self._answering)

    @overload
    def __call__(
        self, image: list[Any] | tuple[Any, ...], *, boxes: Sequence[BoxesLike | None] | None = None
    ) -> list[LandmarkPrediction]: ...

    @overload
    def __call__(
        self, image: ImageLike, *, boxes: BoxesLike | None = None, source: str | None = None
    ) -> LandmarkPrediction: ...

    def __call__(self, image: Any, *, boxes: Any = None, source: str | None = None) -> Any:
        """Return the faces of one photo, best first, maybe none; of several, a list.

        Parameters
        ----------
        image : a path, the bytes of a file, an open file, a PIL image or an array; or a list of such, or an
            array (N, H, W, 3) or (N, 3, H, W), as for `batch`; or a folder or an iterator, as for `stream`
        boxes : canonical face boxes (tight around the 68 points) to use instead of the detector's: Boxes,
            four numbers left, top, right, bottom, or an array (N, 4); for several photos, such of each
        source : what the prediction calls the photo; default the path as it was given

        Raises
        ------
        ConfigError : `source` was given for several photos, or `boxes` for a folder or an iterator
        """
        many, endless = several.is_several(image), several.is_stream(image)
        if (many or endless) and source is not None:
            raise ConfigError(f"source names one photo: leave {source!r} out for several")
        if endless and boxes is not None:
            raise ConfigError("boxes are of one photo or of a list: for a stream, give each photo its own")
        if many:
            return self.batch(image, boxes=boxes)
        return self.stream(image) if endless else self._one(image, boxes, source)

    def _one(self, image: ImageLike, boxes: BoxesLike | None, source: str | None) -> LandmarkPrediction:
        """Return the faces of one photo."""
        (found,) = self._together([image], [boxes], source)
        return found

    def batch(
        self, images: Sequence[ImageLike], *, boxes: Sequence[BoxesLike | None] | None = None
    ) -> list[LandmarkPrediction]:
        """Return the faces of each of several photos, which may differ in size.

        The faces of eight photos go through the model together. Answers are those of one photo after another,
        but for rounding (0.001 pixels).

        Parameters
        ----------
        images : pictures of any kind, or an array or tensor (N, H, W, C) or (N, C, H, W)
        boxes : for each picture its boxes, or None where the detector is to look

        Raises
        ------
        BoxError : there are not as many entries of boxes as pictures
        """
        given = several.apart(images)
        own = [None] * len(given) if boxes is None else list(boxes)
        if len(own) != len(given):
            raise BoxError(f"{len(given)} pictures came with boxes of {len(own)}: give each its own, or None")
        found: list[LandmarkPrediction] = []
        for n in range(0, len(given), TOGETHER):
            found += self._together(given[n : n + TOGETHER], own[n : n + TOGETHER])
        return found

    def stream(
        self, source: str | Path | Iterable[ImageLike], *, together: int = TOGETHER, strict: bool = False
    ) -> Iterator[LandmarkPrediction]:
        """Yield the faces of photo after photo; no more than two groups of pictures are in memory.

        A photo that cannot be read is a prediction with an `error`, and the rest goes on.

        Parameters
        ----------
        source : a folder, a glob, `@LIST`, or anything that yields pictures
        together : photos in a group, whose faces go through the model at once; 1 for pictures that come live
        strict : raise what is wrong with a photo instead

        Raises
        ------
        ImageError : there are no pictures in the folder, or `source` is none of these
        ConfigError : `together` is no whole number from 1 on
        """
        from meanshape.inference.batch import stream

        checks.count(together, "together", ConfigError)
        return stream(self, several.one_by_one(source), together, strict)

    def _together(
        self, images: Sequence[ImageLike], boxes: Sequence[BoxesLike | None], source: str | None = None
    ) -> list[LandmarkPrediction]:
        """Return the faces of a few photos."""
        start = time.perf_counter()
        pixels = [read_image(image, self.color) for image in images]
        return self.of_pixels(images, pixels, boxes, source, time.perf_counter() - start)

    def of_pixels(
        self,
        images: Sequence[ImageLike],
        pixels: Sequence[Pixels],
        boxes: Sequence[BoxesLike | None] | None = None,
        source: str | None = None,
        seconds: float = 0.0,
    ) -> list[LandmarkPrediction]:
        """Return the faces of a few photos that are decoded: RGB, each (H, W, 3).

        `seconds` is what that took; the time of each photo is its share of the whole.
        """
        start = time.perf_counter()
        names = [several.name_of(image) if source is None else source for image in images]
        own = [None] * len(pixels) if boxes is None else boxes
        jobs = [(p, self._candidates(p, b, name)) for p, b, name in zip(pixels, own, names, strict=True)]
        faces = self._with_points(jobs)
        each = (seconds + time.perf_counter() - start) / max(len(pixels), 1)
        return [
            keep_picture(
                LandmarkPrediction(of, (one.shape[1], one.shape[0]), name, self.name, each), image, self.color
            )
            for of, one, name, image in zip(faces, pixels, names, images, strict=True)
        ]

    def _candidates(self, pixels: Pixels, boxes: BoxesLike | None, source: str | None) -> list[Candidate]:
        """Return the faces in given boxes, or those that the detector finds."""
        if boxes is not None:
            own = as_boxes(boxes)
            _check_inside(own, pixels)
            return [Candidate(Face(box), box) for box in own]
        return self.search(pixels, source)

    def find(self, pixels: Pixels, source: str | None = None) -> tuple[Face, ...]:
        """Return the faces that the detector finds in pixels (H, W, 3), best first, without points."""
        return tuple(one.face for one in self.search(pixels, source))

    def search(self, pixels: Pixels, source: str | None = None, turns: str | None = None) -> list[Candidate]:
        """Return what the detector finds in pixels (H, W, 3), best first, with the boxes that models take."""
        asked = {} if self.min_face is None else {"min_face": self.min_face}
        found = search(self.detector, pixels, turns or self.turns, source=source, **asked)[: self.max_faces]
        whose = "" if self.detector.name == "given" else f"detector {self.detector.name}: "
        _check_inside([one.face.box for one in found], pixels, whose)
        return found

    def _with_points(self, jobs: Sequence[tuple[Pixels, list[Candidate]]]) -> list[tuple[LandmarkFace, ...]]:
        """Return for each photo its faces with points, pose, and what else was asked for."""
        whole = [(n, pixels, one) for n, (pixels, found) in enumerate(jobs) for one in found]
        done: list[list[LandmarkFace]] = [[] for _ in jobs]
        for first in range(0, len(whole), AT_ONCE):
            part = whole[first : first + AT_ONCE]
            views = [view(pixels, one.box, one.roll) for _, pixels, one in part]
            shapes, emotions = self._shapes(views)
            attributes = self.attributes(views)
            for (n, _, one), shape, emotion, others in zip(part, shapes, emotions, attributes, strict=True):
                converted = shape if self.markup is None else shape.to(self.markup)
                face, pose = one.face, head_pose(shape)
                done[n].append(
                    LandmarkFace(face.box, converted, face.score, pose, emotion, others, face.track)
                )
        return [tuple(faces) for faces in done]

    def _shapes(self, views: list[View]) -> tuple[Sequence[Shape], Sequence[Emotion | None]]:
        """Return shapes in pixels of the picture, and emotions if they were asked for."""
        asked: Any = self._answering.get("emotion")
        one_run = asked is self.model  # gives both
        if one_run:
            shapes, emotions = asked.predict_all(*_apart(views))
            return [one.placed(shape) for one, shape in zip(views, shapes, strict=True)], emotions
        return self.shapes(views), self.emotions(views)

    def shapes(self, views: Sequence[View]) -> list[Shape]:
        """Return the model's points of each view, in pixels of the picture."""
        found = self.model.predict_batch(*_apart(views), **self.how)
        return [one.placed(shape) for one, shape in zip(views, found, strict=True)]

    def emotions(self, views: Sequence[View]) -> Sequence[Emotion | None]:
        """Return what faces seem to show, if that was asked for."""
        asked: Any = self._answering.get("emotion")
        found: Sequence[Emotion] = [] if asked is None else asked.emotions(*_apart(views))
        return found or [None] * len(views)

    def attributes(self, views: Sequence[View]) -> Sequence[Mapping[str, Any] | None]:
        """Return by attribute the probability of each label, if that was asked for."""
        asked = self._answering.get("attributes")
        return [None if asked is None else asked.attributes(one.pixels, one.box) for one in views]

    def scores(self, views: Sequence[View]) -> list[float]:
        """Return for each view whether the detector takes it for a face, 0..1."""
        found: dict[int, float] = {}
        for pixels in {id(one.pixels): one.pixels for one in views}.values():
            here = [n for n, one in enumerate(views) if one.pixels is pixels]
            found |= zip(here, self.detector.scores(pixels, [views[n].box for n in here]), strict=True)
        return [found[n] for n in range(len(views))]


def _apart(views: Sequence[View]) -> tuple[list[Pixels], list[Box]]:
    """Return the pixels and the boxes of views."""
    return [one.pixels for one in views], [one.box for one in views]


def _check(min_face: float | None, threads: int, color: str, max_faces: int | None) -> None:
    """Say which option is out of range."""
    if min_face is not None:
        check_min_face(min_face)
    checks.count(threads, "threads", ConfigError)
    check_color(color, ConfigError)
    if max_faces is not None:
        checks.count(max_faces, "max_faces", ConfigError)


def _check_inside(boxes: Sequence[Box], pixels: Pixels, whose: str = "") -> None:
    """Refuse boxes that no pixel of the photo lies in: points placed there would look like a face's."""
    height, width = pixels.shape[:2]
    whole = Box.whole(width, height)
    for box in boxes:
        if not box.iou(whole):
            raise BoxError(
                f"{whose}box {box.as_list()} lies outside the picture of {width} x {height} pixels"
            )
