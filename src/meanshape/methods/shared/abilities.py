"""What some methods can do and others cannot: who can, is an instance of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.face import Emotion
from meanshape.core.image import ImageLike, Pixels
from meanshape.core.shape import Shape
from meanshape.methods.shared.steps import Step


@runtime_checkable
class HasSteps(Protocol):
    """Shows what it does to a face, with pictures."""

    def steps(self, image: ImageLike, box: Box | None = None) -> list[Step]:
        """Return the steps, from the start to the answer."""


@runtime_checkable
class HasIterations(Protocol):
    """Shows the shapes that its search goes through."""

    def iterations(self, image: ImageLike, box: Box | None = None) -> list[Shape]:
        """Return the shapes, from the start to the answer."""


@runtime_checkable
class HasShapeModes(Protocol):
    """Has a shape model, whose modes can be moved."""

    def shape_from(self, modes: Sequence[float]) -> NDArray[np.float64]:
        """Return the shape (K, 2) of mode weights in standard deviations."""


@runtime_checkable
class HasAppearanceModes(Protocol):
    """Has a model of appearance, whose modes can be moved."""

    def reconstruct(self, weights: Sequence[float]) -> NDArray[np.uint8]:
        """Return the picture (S, S, 3) of mode weights in standard deviations."""


@runtime_checkable
class TellsEmotion(Protocol):
    """Tells what a face seems to express."""

    labels: tuple[str, ...]

    def emotions(self, images: Sequence[ImageLike], boxes: Sequence[Box]) -> list[Emotion]:
        """Return the emotion of each face."""


@runtime_checkable
class TellsAttributes(Protocol):
    """Tells a face's attributes: probabilities of labels, or numbers."""

    def attributes(self, image: ImageLike, box: Box | None = None) -> Mapping[str, Any]:
        """Return the attributes of a face by name."""


@runtime_checkable
class LearnsFromNegatives(Protocol):
    """Learns from photos without people, too."""

    negatives: str | Path | Sequence[Pixels] | None
