"""The default face detector: MTCNN's whole cascade with the shipped weights of `methods/mtcnn.py`.

What it finds is its answer: where it finds no face it answers none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from meanshape.core import config as configs
from meanshape.core import weights
from meanshape.core.errors import ConfigError
from meanshape.core.image import Pixels
from meanshape.core.types import Box, Face, Shape
from meanshape.detectors.base import FaceDetector
from meanshape.methods.mtcnn import Cascade, Config


class MTCNN(FaceDetector):
    """Finds faces of at least `min_face` pixels, with score and five points.

    Parameters
    ----------
    min_face : the smallest face to look for, pixels; time grows with its inverse square
    thresholds : the scores that P-, R- and O-Net ask for; None: the card's, tuned on validation photos
    factor : the step of the image pyramid; None: the card's
    threads : threads of ONNX Runtime
    weights : a folder of weights; None: those that came with the package
    """

    name: ClassVar[str] = "mtcnn"

    def __init__(
        self,
        min_face: float = 40,
        thresholds: Sequence[float] | None = None,
        factor: float | None = None,
        threads: int = 1,
        weights: str | Path | None = None,
    ) -> None:
        """Load the networks after checking their SHA-256."""
        if not min_face >= 12:
            raise ConfigError(f"min_face must be at least 12 pixels, not {min_face}")
        if factor is not None and not 0.3 <= factor <= 0.95:
            raise ConfigError(f"factor must lie in 0.3..0.95, not {factor}")
        if thresholds is not None and (len(thresholds) != 3 or not all(0 <= t <= 1 for t in thresholds)):
            raise ConfigError(f"thresholds are three numbers in 0..1, not {thresholds!r}")
        folder = _folder(self.name) if weights is None else Path(weights)
        self.min_face, self.thresholds, self.factor = min_face, thresholds, factor
        self.cascade = _load(folder, threads)

    def _detect(self, image: Pixels, **options: Any) -> Iterable[Face]:
        found = self.cascade.find(
            image, min_face=self.min_face, factor=self.factor, thresholds=self.thresholds
        )
        points = () if found.points is None else found.points
        return [
            Face(Box(left, top, right, bottom, score), Shape(five, "mtfl5"))
            for (left, top, right, bottom), score, five in zip(
                found.boxes.tolist(), found.scores.tolist(), points, strict=True
            )
        ]

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return R-Net's score of each canonical box."""
        return self.cascade.check(image, boxes)

    def canonical(self, box: Box) -> Box:
        """Return the canonical face box that belongs to a box of this detector."""
        return box.part(self.cascade.config.canonical)


def _folder(name: str) -> Path:
    return weights.folder(name)


def _load(folder: Path, threads: int) -> Cascade:
    weights.verify(folder)
    return Cascade(folder, configs.load(Config, folder / "config.toml"), threads=threads)


DETECTOR = MTCNN
