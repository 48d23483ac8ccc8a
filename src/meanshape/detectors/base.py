"""What every face detector is: any picture in, faces out, best first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from meanshape.core import registry
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.types import Box, Face


class FaceDetector(ABC):
    """Finds faces. `Face.box` is the detector's own; `canonical` makes it the box that methods take.

    A detector's card may hold `canonical = [left, top, right, bottom]`: where the canonical face box (the
    tight box of the 68 points) lies relative to its own, fitted on training faces.
    """

    name: ClassVar[str]

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return the faces in a picture (path, bytes, PIL image or RGB array), best first, maybe none."""
        return best_first(self._detect(read_image(image), **options))

    @abstractmethod
    def _detect(self, image: Pixels, **options: Any) -> Iterable[Face]:
        """Return the faces in RGB pixels, in any order."""

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return for each canonical box whether it holds a face, 0..1; 1 from detectors that cannot say.

        A quick check for faces that are followed through a video, not a search.
        """
        return [1.0] * len(boxes)

    def canonical(self, box: Box) -> Box:
        """Return the canonical face box that belongs to a box of this detector."""
        return box.part(_canonical(self.name))


def best_first(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Return faces by falling score, then by falling area; faces without a score come last."""
    return tuple(
        sorted(faces, key=lambda face: (-1.0 if face.score is None else face.score, face.box.area))[::-1]
    )


def _canonical(name: str) -> Sequence[float]:
    """Return where the canonical box lies in a detector's box: on it, where the card says nothing."""
    fractions: Sequence[float] = registry.card("detectors", name).get("canonical", (0.0, 0.0, 1.0, 1.0))
    return fractions
