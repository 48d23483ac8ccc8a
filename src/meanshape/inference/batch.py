"""Many photos, one after another; one that cannot be read is an entry with an error, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from meanshape.core.errors import BoxError, ImageError, MeanshapeError, MissingExtra, ShapeError
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.prediction import LandmarkPrediction, Prediction
from meanshape.inference.options import Color
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.several import name_of

Asked = tuple[ImageLike, "Future[tuple[Pixels, float]]"]
"""A picture, and its pixels and seconds as they are being read."""
OF_THE_PHOTO = (ImageError, BoxError, ShapeError)
"""What is wrong with one photo, and not with the run."""


@dataclass(slots=True)
class Summary:
    """What a run has come to, so far."""

    photos: int = 0
    faces: int = 0
    empty: int = 0
    broken: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def add(self, prediction: Prediction) -> None:
        """Count one photo."""
        self.photos += 1
        self.faces += len(prediction.faces)
        self.broken += prediction.error is not None
        self.empty += prediction.error is None and not prediction.faces
        self.seconds += prediction.seconds

    @property
    def read(self) -> int:
        """Return how many photos could be read."""
        return self.photos - self.broken

    def rows(self) -> list[tuple[str, str]]:
        """Return what a table shows: what was counted, and how much of it there was."""
        rows = [
            ("photos", f"{self.photos}"),
            ("faces", f"{self.faces}"),
            ("photos without a face", f"{self.empty}"),
            ("broken photos", f"{self.broken}"),
        ]
        if self.skipped:
            rows.append(("done before, skipped", f"{self.skipped}"))
        if self.read:
            rows.append(("seconds per photo", f"{self.seconds / self.read:.3f}"))
        return rows


def predict(
    pipeline: Pipeline, sources: Iterable[str], strict: bool = False
) -> Iterator[tuple[Prediction, Pixels | None]]:
    """Yield the prediction of each photo, and its pixels unless it could not be read.

    What is wrong with one photo or with its boxes is the prediction's `error`; what is wrong with the
    model or the run is raised. With `strict`, everything is.
    """
    for source, reading in _read_ahead(sources):
        try:
            pixels, seconds = reading.result()
            prediction = pipeline(pixels, source=source)
        except OF_THE_PHOTO as error:
            if strict:
                raise
            yield _broken(pipeline, source, str(error)), None
        except MeanshapeError:
            raise
        except Exception as error:  # a photo nobody foresaw must not end a run over a million others
            if strict:
                raise
            yield _broken(pipeline, source, f"{type(error).__name__}: {error}"), None
        else:
            yield replace(prediction, seconds=seconds + prediction.seconds), pixels


def stream(
    pipeline: Pipeline, images: Iterable[ImageLike], together: int, strict: bool
) -> Iterator[LandmarkPrediction]:
    """Yield the faces of picture after picture, in order; the faces of a group go through the model at once.

    While one group is worked on, the next is decoded.
    """
    waiting = iter(images)
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        group = _asked(reader, waiting, pipeline, together)
        while group:
            after = _asked(reader, waiting, pipeline, together) if together > 1 else []
            yield from _answers(pipeline, group, strict)
            group = after or _asked(reader, waiting, pipeline, together)


def _asked(
    reader: ThreadPoolExecutor, images: Iterator[ImageLike], pipeline: Pipeline, count: int
) -> list[Asked]:
    """Return the next pictures, each as it is being read."""
    return [(image, reader.submit(_read, image, pipeline.color)) for image in islice(images, count)]


def _answers(pipeline: Pipeline, group: list[Asked], strict: bool) -> list[LandmarkPrediction]:
    """Return the prediction of each picture of a group; where the group fails, of one after another."""
    try:
        pixels, seconds = zip(*(reading.result() for _, reading in group), strict=True)
        return pipeline.of_pixels([image for image, _ in group], pixels, seconds=sum(seconds))
    except Exception as error:
        if len(group) > 1:
            return [answer for one in group for answer in _answers(pipeline, [one], strict)]
        ours, of_the_photo = isinstance(error, MeanshapeError), isinstance(error, OF_THE_PHOTO)
        if strict or (ours and not of_the_photo):
            raise
        told = str(error) if ours else f"{type(error).__name__}: {error}"
        return [_broken(pipeline, name_of(group[0][0]), told)]


def _read_ahead(sources: Iterable[str]) -> Iterator[tuple[str, Future[tuple[Pixels, float]]]]:
    """Yield each photo as it is being read, one ahead of the one that is worked on."""
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        before: tuple[str, Future[tuple[Pixels, float]]] | None = None
        for source in sources:
            after = source, reader.submit(_read, source)
            if before is not None:
                yield before
            before = after
        if before is not None:
            yield before


def _read(image: ImageLike, color: Color = "rgb") -> tuple[Pixels, float]:
    """Return a photo's pixels and how many seconds it took to decode them."""
    start = time.perf_counter()
    pixels = read_image(_fetched(image) if isinstance(image, str) and "://" in image else image, color)
    return pixels, time.perf_counter() - start


def _fetched(address: str) -> bytes:
    """Return the bytes at an address (s3://…, gs://…, memory://…) that fsspec knows."""
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra.of("ray", "Reading from an object storage") from error
    try:
        with fsspec.open(address, "rb") as file:
            data: bytes = file.read()
    except Exception as error:  # every file system has errors of its own
        raise ImageError(f"{address}: cannot be read ({type(error).__name__}: {error})") from error
    return data


def _broken(pipeline: Pipeline, source: str | None, error: str) -> LandmarkPrediction:
    told = error if source is None or source in error else f"{source}: {error}"
    return LandmarkPrediction((), (0, 0), source, pipeline.name, error=told)
