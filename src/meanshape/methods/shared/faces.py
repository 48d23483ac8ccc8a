"""Training faces as grey crops with their points, and the same in a mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ShapeError
from meanshape.core.geometry import Matrix
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.shared.oriented import view
from meanshape.training.crops import WORKERS, CropStore

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

FACE = 128
"""Pixels of √(w h) of the face box in a crop."""
REACH = 2.2
"""Side of a crop in face boxes."""


class FaceBank:
    """N faces, of which the second half are the mirror images of the first.

    Attributes
    ----------
    points : (N, K, 2), in the crops; points that are not annotated are NaN
    groups : (N,), the same for a face and its mirror image
    broken : ids of the samples whose picture could not be read
    """

    def __init__(self, samples: Sequence[Sample], markup: MarkUp) -> None:
        """Read all samples that have points, a box and a picture."""
        self.side = round(FACE * REACH)
        usable = [s for s in samples if s.shape is not None and s.box is not None and _spread(s)]
        boxes = [s.box for s in usable if s.box is not None]
        store = CropStore(usable, boxes, self.side, self.side / FACE, view)
        self.broken, self._images = store.broken, store.images
        if not self._images:
            raise ShapeError(f"none of {len(samples)} samples has a picture and points that span a face")
        points = np.stack(store.placed([s.shape.points for s in usable if s.shape is not None]))
        mirrored = (points * (-1, 1) + (self.side - 1, 0))[:, list(markup.mirror)]
        self.points = np.concatenate([points, mirrored])
        self.groups = np.tile(np.arange(len(points)), 2)

    def __len__(self) -> int:
        return len(self.points)

    def image(self, face: int) -> NDArray[np.uint8]:
        """Return a crop (S, S), grey."""
        count = len(self._images)
        return np.asarray(self._images[face] if face < count else self._images[face - count][:, ::-1])

    def box_matrix(self, scale: float, size: float) -> Matrix:
        """Return the map from any crop to a frame that `scale` face boxes fill."""
        factor = size / (scale * FACE)
        shift = (size - 1) / 2 - factor * (self.side - 1) / 2
        return np.array([[factor, 0, shift], [0, factor, shift]])


def mapped(function: Callable[..., NDArray[np.float32]], rows: Iterable[tuple[Any, ...]]) -> Float32:
    """Return the stacked answers of function(*row), computed by a few threads."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return np.stack(list(pool.map(lambda row: function(*row), rows)))


def _spread(sample: Sample) -> bool:
    """Tell whether two points or more are annotated and do not fall together."""
    assert sample.shape is not None
    known = sample.shape.points[np.isfinite(sample.shape.points).all(1)]
    return len(known) >= 2 and bool(np.ptp(known, axis=0).max() > 1e-6)
