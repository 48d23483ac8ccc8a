"""A face detector that would rather see a face too many: for hiding faces, where a missed one is the harm.

All detectors look at every picture, with low thresholds. `Both`, the default elsewhere, spares Glance where
MTCNN is sure of one face: in a crowd the others may be missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from meanshape.core import checks
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.core.origin import Origin, joined
from meanshape.detectors.base import FaceDetector, rank
from meanshape.detectors.glance import Glance
from meanshape.detectors.mtcnn import MTCNN
from meanshape.detectors.mtcnn_synthetic import MTCNNSynthetic

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

THRESHOLD, SMALLEST = 0.3, 20.0
"""The score from which something is taken for a face, and pixels of the smallest one."""
EARLY = (0.1, 0.3)
"""Thresholds of MTCNN's first two networks: lower ones cost seconds on large photos."""
SAME = 0.4
"""Intersection over union from which two detectors found the same face."""


class Thorough(FaceDetector):
    """Finds faces of at least `min_face` pixels, by several detectors with low thresholds.

    Parameters
    ----------
    min_face : the smallest face to look for, pixels; time grows with its inverse square
    threshold : the score, above 0 and below 1, from which something is a face
    threads, providers : threads and execution providers of ONNX Runtime; None: the CPU
    free : take only weights that are free for any use
    """

    name: ClassVar[str] = "both"  # whose boxes these are
    sure: float = MTCNN.sure

    def __init__(
        self,
        min_face: float = SMALLEST,
        threshold: float = THRESHOLD,
        threads: int = 1,
        providers: Sequence[Provider] | None = None,
        free: bool = False,
    ) -> None:
        """Load the networks after checking their SHA-256."""
        if not 0 < checks.number(threshold, "threshold", ConfigError) < 1:
            raise ConfigError(f"threshold must lie between 0 and 1, not {threshold}")
        kind = MTCNNSynthetic if free else MTCNN
        low = (*EARLY, threshold)
        self.mtcnn = kind(min_face, thresholds=low, threads=threads, providers=providers)
        self.glance = None if free else Glance(min_face, threshold, threads=threads, providers=providers)

    @property
    def origin(self) -> Origin:
        """The terms of all."""
        parts = (self.mtcnn,) if self.glance is None else (self.mtcnn, self.glance)
        return joined([part.origin for part in parts])

    def _detect(self, image: Pixels, *, min_face: float | None = None) -> Iterable[Face]:
        """Return the faces; `min_face` counts for this picture alone."""
        asked = {} if min_face is None else {"min_face": min_face}
        found = list(self.mtcnn.detect(image, **asked))
        if self.glance is not None:
            for face in self.glance.detect(image, **asked):
                box = self.head(self.glance.canonical(face.box))
                found.append(Face(box, face.shape, face.score))
        kept: list[Face] = []
        for face in sorted(found, key=rank, reverse=True):
            if all(face.box.iou(other.box) < SAME for other in kept):
                kept.append(face)
        return kept

    def looked_at(self, width: int, height: int, min_face: float | None = None) -> int:
        """Return how many pixels all look at."""
        parts = (self.mtcnn,) if self.glance is None else (self.mtcnn, self.glance)
        return sum(part.looked_at(width, height, min_face) for part in parts)

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return R-Net's score of each canonical box."""
        return self.mtcnn.scores(image, boxes)
