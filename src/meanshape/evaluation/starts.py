"""Where a model is told to look: the two rules of `--box`, and what becomes of a face nobody found.

truth     the data set's own face box where it has one; else the tight box of the true points (five points:
          doubled about its centre); neither points nor box: the whole picture
detector  the detector's box with the highest IoU with the truth box, canonical against canonical, at least
          0.3; else the face is missed. The picture is searched as `Pipeline` searches it: in quarter turns,
          too, where no face is surely upright; and the model sees the face as it does there
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics, resources, toml
from meanshape.core.box import Box
from meanshape.core.errors import BoxError, ImageError
from meanshape.core.face import Face
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.markup import MarkUp, markup
from meanshape.core.sample import Sample
from meanshape.datasets.parts.boxes import canonical_box_from_doubled
from meanshape.detectors.base import FaceDetector
from meanshape.evaluation.perturb import View
from meanshape.evaluation.scoring import Scoring
from meanshape.inference import choice, turns
from meanshape.inference.choice import DETECTOR
from meanshape.methods.base import Progress
from meanshape.methods.mean_shape import relative_mean

BoxRule = Literal["truth", "detector"]
IOU = 0.3
"""How much a found box must overlap the truth to be that face."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where one face lies, by the truth and as the model is told.

    Attributes
    ----------
    truth : the data set's box, or the one made of the points: its width, size and diagonal normalise errors
    given : the canonical box for the model; None: the detector missed the face
    roll : degrees by which the detector says that the face is tilted; 0 with true boxes
    """

    truth: Box
    given: Box | None
    roll: float = 0.0


def find_start(sample: Sample, pixels: Pixels, detector: FaceDetector | None = None) -> Start:
    """Return the start of one face: by the truth, or, with a detector, by what it finds."""
    truth, canonical = truth_boxes(sample, pixels)
    if detector is None:
        return Start(truth, canonical)
    # Boxes from a file go by the picture's name, which its pixels do not have.
    source = str(sample.image) if isinstance(sample.image, (str, Path)) else sample.id
    found = turns.search(detector, pixels, "auto", source=source)
    best = max(found, key=lambda one: canonical.iou(one.box), default=None)
    if best is None or canonical.iou(best.box) < IOU:
        return Start(truth, None)
    return Start(truth, best.box, best.roll)


def true_view(sample: Sample, pixels: Pixels, scoring: Scoring) -> tuple[View, float]:
    """Return a face with its true points and box, and the length (pixels) that its errors are divided by."""
    start = find_start(sample, pixels)
    assert start.given is not None
    lengths = metrics.normalisers(scoring.all_true(sample)[None], scoring.truth, [start.truth])
    return View(pixels, scoring.true(sample), start.given), float(lengths[scoring.norm][0])


def true_views(
    samples: Sequence[Sample], scoring: Scoring, seed: tuple[int, ...], progress: Progress | None = None
) -> Iterator[tuple[View, float, np.random.Generator]]:
    """Yield faces as `true_view`, each with its own random numbers; without those that cannot be read."""
    for number, sample in enumerate(samples, 1):
        if progress is not None:
            progress(number / len(samples), f"{number} of {len(samples)} faces")
        if sample.shape is None:
            continue
        try:
            pixels = sample.pixels()
        except ImageError:
            continue
        key = zlib.crc32(sample.id.encode("utf-8", "surrogatepass"))
        yield *true_view(sample, pixels, scoring), np.random.default_rng((*seed, key))


def truth_boxes(sample: Sample, pixels: Pixels) -> tuple[Box, Box]:
    """Return the truth box as the data set has it, and the canonical one."""
    if sample.box is not None:
        return sample.own_box or sample.box, sample.box
    whole = Box.whole(pixels.shape[1], pixels.shape[0])
    if sample.shape is None:
        return whole, whole
    try:
        tight = sample.shape.box()
    except BoxError:  # fewer than two points are annotated
        return whole, whole
    if len(sample.shape) != 5:
        return tight, tight
    doubled = tight.scaled(2)
    return doubled, canonical_box_from_doubled(doubled)


def make_detector(detector: str | FaceDetector | None = None, device: str | None = None) -> FaceDetector:
    """Return a detector by its name, the default one for None; a detector comes back as it is."""
    return choice.make_detector(DETECTOR if detector is None else detector, 1, choice.providers_of(device))


class Remembered(FaceDetector):
    """A detector that looks at each picture once, so that several models share one search."""

    name: ClassVar[str] = "remembered"

    def __init__(self, inner: FaceDetector) -> None:
        """Remember what `inner` finds."""
        self.inner = inner
        self.sure = inner.sure
        self._seen: dict[object, tuple[Face, ...]] = {}

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return what the detector found in these pixels, now or before."""
        pixels = read_image(image)
        key = (options.get("source"), pixels.shape, hashlib.blake2b(pixels.tobytes()).digest())
        if key not in self._seen:
            self._seen[key] = self.inner.detect(pixels, **options)
        return self._seen[key]

    def _detect(self, image: Pixels, **options: Any) -> tuple[Face, ...]:
        return self.detect(image, **options)

    def takes(self, option: str) -> bool:
        """Tell whether the detector knows an option."""
        return self.inner.takes(option)

    def canonical(self, box: Box) -> Box:
        """Return the canonical box as the detector maps its own."""
        return self.inner.canonical(box)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return what the detector runs on."""
        return self.inner.runs_on


def name_of(detector: FaceDetector) -> str:
    """Return a detector's name, of one that remembers that of the one inside."""
    return (detector.inner if isinstance(detector, Remembered) else detector).name


def penalty_shape(kind: MarkUp, samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return the shape (K, 2), relative to the whole picture, that a missed face is scored with.

    It is the stored mean of `mean.toml` in the mark-up; points that those 68 cannot give are placed where
    the samples have them on average.
    """
    stored, points = _mean()
    if kind.name == stored.name:
        return points
    shape = np.full((len(kind), 2), np.nan)
    if kind.name in stored.conversions:
        shape = stored.convert(points, kind)
    holes = np.isnan(shape).any(1)
    if holes.any():
        own = [s for s in samples if s.shape is not None and s.shape.markup == kind]
        boxed = [Sample(s.id, s.image, s.shape, s.box or _tight(s)) for s in own]
        shape[holes] = relative_mean([s for s in boxed if s.box is not None])[holes]
    return shape


def mean_face(kind: MarkUp) -> list[list[float]] | None:
    """Return the stored mean shape (K, 2) in a mark-up, relative to the face box; None if there is none."""
    stored, points = _mean()
    if kind.name != stored.name:
        if kind.name not in stored.conversions:
            return None
        points = stored.convert(points, kind)
    return None if np.isnan(points).any() else [[float(x), float(y)] for x, y in points]


def _tight(sample: Sample) -> Box | None:
    """Return the tight box of a sample's points, if they make one."""
    try:
        return sample.shape.box() if sample.shape is not None else None
    except BoxError:
        return None


@cache
def _mean() -> tuple[MarkUp, NDArray[np.float64]]:
    table = toml.parse(resources.beside(__file__, "mean.toml").read_text("utf-8"))
    return markup(table["markup"]), np.array(table["points"], np.float64)
