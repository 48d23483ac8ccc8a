"""What ASM and AAM share: a shape model, and a search whose steps can be looked at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box, BoxLike
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.shape import Shape
from meanshape.methods.base import LandmarkModel
from meanshape.methods.shared.shape_model import ShapeModel

Float = NDArray[np.float64]


class SearchingModel(LandmarkModel):
    """Moves a shape, step by step, to where it fits; `shape_model` says what shapes there are."""

    shape_model: ShapeModel

    @abstractmethod
    def _search(
        self, image: Pixels, box: Box, start: Shape | None, trace: list[Float] | None = None
    ) -> Float:
        """Return the points before the last step and after it (2, K, 2); put all on the way into `trace`."""

    def shape_from(self, modes: Sequence[float]) -> Float:
        """Return the shape (K, 2) of mode weights in standard deviations, in the shape model's frame."""
        return self.shape_model.shape_from(modes, deviations=True)

    def iterations(
        self, image: ImageLike, box: BoxLike | None = None, *, start: Shape | None = None
    ) -> list[Shape]:
        """Return the shapes that the search goes through, from the mean in the box to the answer."""
        trace: list[Float] = []
        last = self.predict(read_image(image), box, start=start, trace=trace)
        return [Shape(points, last.markup) for points in trace]

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> Float:
        found = [self._search(*face, **options) for face in zip(images, boxes, starts, strict=True)]
        return np.stack(found)
