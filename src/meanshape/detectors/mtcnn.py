"""MTCNN's whole cascade with the shipped weights of `methods/mtcnn.py`.

What it finds is its answer: where it finds no face it answers none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from meanshape.core import config as configs
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.core.origin import Origin
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector, check_min_face
from meanshape.methods.mtcnn import Config
from meanshape.methods.mtcnn.model import Cascade

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider


class MTCNN(FaceDetector):
    """Finds faces of at least `min_face` pixels, forehead to chin, with score and five points.

    Parameters
    ----------
    min_face : the smallest face to look for, pixels; time grows with its inverse square
    thresholds : the scores that P-, R- and O-Net ask for; None: the card's, tuned on validation photos
    factor : the step of the image pyramid; None: the card's
    threads, providers : threads and execution providers of ONNX Runtime; None: the CPU
    weights : a folder of weights; None: those that came with the package
    """

    name: ClassVar[str] = "mtcnn"
    sure: float = 0.99

    def __init__(
        self,
        min_face: float = 40,
        thresholds: Sequence[float] | None = None,
        factor: float | None = None,
        threads: int = 1,
        weights: str | Path | None = None,
        providers: Sequence[Provider] | None = None,
    ) -> None:
        """Load the networks after checking their SHA-256."""
        check_min_face(min_face)
        if factor is not None and not 0.3 <= factor <= 0.95:
            raise ConfigError(f"factor must lie in 0.3..0.95, not {factor}")
        if thresholds is not None and (len(thresholds) != 3 or not all(0 <= t <= 1 for t in thresholds)):
            raise ConfigError(f"thresholds are three numbers in 0..1, not {thresholds!r}")
        folder = _folder(self.name) if weights is None else Path(weights)
        self.min_face, self.thresholds, self.factor = min_face, thresholds, factor
        self.cascade, self._origin = _load(folder, threads, providers)

    @property
    def origin(self) -> Origin:
        """The terms of its weights."""
        return self._origin

    def _detect(self, image: Pixels, *, min_face: float | None = None) -> Iterable[Face]:
        """Return the faces; `min_face` counts for this picture alone."""
        smallest = self.min_face if min_face is None else check_min_face(min_face)
        found = self.cascade.find(image, min_face=smallest, factor=self.factor, thresholds=self.thresholds)
        points = () if found.points is None else found.points
        canonical = self.cascade.config.canonical
        return [
            Face(replace(self.head(Box(*own).part(canonical)), score=score), Shape(five, "mtfl5"))
            for own, score, five in zip(found.boxes.tolist(), found.scores.tolist(), points, strict=True)
        ]

    def looked_at(self, width: int, height: int, min_face: float | None = None) -> int:
        """Return how many pixels the image pyramid has."""
        return self.cascade.pixels(
            width, height, self.min_face if min_face is None else min_face, self.factor
        )

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return R-Net's score of each canonical box."""
        return self.cascade.check(image, boxes)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self.cascade.runs_on


def _folder(name: str) -> Path:
    return weights.folder(name)


def _load(folder: Path, threads: int, providers: Sequence[Provider] | None) -> tuple[Cascade, Origin]:
    files = weights.Checked(folder)
    config = configs.load(Config, files / "config.toml")
    return Cascade(files, config, threads=threads, providers=providers), files.card.origin


DETECTOR = MTCNN
