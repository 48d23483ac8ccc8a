"""One annotated face of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box, as_box
from meanshape.core.errors import DataSetError
from meanshape.core.image import read_image
from meanshape.core.shape import Shape

if TYPE_CHECKING:
    from PIL.Image import Image

EVALUATION_ONLY = "evaluation_only"
"""The attribute of samples that nothing may learn from."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotated face of a data set.

    `image` is a path or an array and is decoded only by `pixels()`; `box` is canonical (the tight box of
    the 68 points, or as near to it as the data set's card can map its own). `own_box` is the data set's
    own, where it has one: models never see it, errors are divided by its width.
    """

    id: str
    image: str | Path | NDArray[Any] | Image
    shape: Shape | None = None
    box: Box | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None
    own_box: Box | None = None

    def __post_init__(self) -> None:
        """Keep boxes, in whichever form they came."""
        for name in ("box", "own_box"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_box(getattr(self, name)))

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB (H, W, 3), upright."""
        return read_image(self.image)


def refuse_evaluation_only(samples: Iterable[Sample], what: str) -> None:
    """Raise `DataSetError` if a sample is of a data set that nothing may learn from, by its card."""
    for sample in samples:
        if sample.attributes.get(EVALUATION_ONLY):
            raise DataSetError(
                f"{what} on {sample.id}: its data set is for evaluation only (meanshape data show)"
            )
