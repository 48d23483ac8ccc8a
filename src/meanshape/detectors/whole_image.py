"""Not a search at all: the picture is the face. For pictures that were cropped before (FER2013)."""

from __future__ import annotations

from typing import ClassVar

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.detectors.base import FaceDetector


class WholeImage(FaceDetector):
    """Answers one face, whose box is the whole picture."""

    name: ClassVar[str] = "whole_image"

    def _detect(self, image: Pixels) -> list[Face]:
        return [Face(Box.whole(image.shape[1], image.shape[0]), score=1.0)]


DETECTOR = WholeImage
