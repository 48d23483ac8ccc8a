"""Faces decoded and cropped once, in memory; their labels are kept by whoever asks for the crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, ImageError
from meanshape.core.geometry import Matrix, apply, square_matrix
from meanshape.core.image import warp
from meanshape.core.sample import Sample

Float = NDArray[np.float64]
Pixels = NDArray[np.uint8]
WORKERS = 2


def coloured(pixels: Pixels, matrix: Matrix, side: int) -> Pixels:
    """Return the crop (side, side, 3) of a picture."""
    return warp(pixels, matrix, (side, side))


class CropStore:
    """Square crops of faces, without those whose picture cannot be read.

    Attributes
    ----------
    images : crops (side, side) or (side, side, C)
    matrices : maps (2, 3) from picture to crop
    kept : numbers of the samples that the crops are of
    broken : ids of the others

    Parameters
    ----------
    samples, boxes : the faces, and the box that each crop is about
    side, reach : side of the crops in pixels and in boxes
    cut : crops a picture by a matrix
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        boxes: Sequence[Box],
        side: int,
        reach: float,
        cut: Callable[[Pixels, Matrix, int], Pixels] = coloured,
    ) -> None:
        def read(sample: Sample, box: Box) -> tuple[Pixels, Matrix] | None:
            matrix = square_matrix(box, reach, side)
            try:
                return cut(sample.pixels(), matrix, side), matrix
            except ImageError:
                return None

        with ThreadPoolExecutor(WORKERS) as pool:
            found = list(pool.map(read, samples, boxes))
        kept = [(number, *one) for number, one in enumerate(found) if one is not None]
        self.kept = [number for number, _, _ in kept]
        self.images = [image for _, image, _ in kept]
        self.matrices = [matrix for _, _, matrix in kept]
        self.broken = [sample.id for sample, one in zip(samples, found, strict=True) if one is None]

    def __len__(self) -> int:
        return len(self.images)

    def placed(self, points: Sequence[Float]) -> list[Float]:
        """Return in pixels of the crops what was given for each sample (K, 2) in pixels of its picture."""
        return [
            apply(matrix, points[number]) for number, matrix in zip(self.kept, self.matrices, strict=True)
        ]


def refuse_none(found: object, samples: Sequence[Sample], needed: str) -> None:
    """Raise DataSetError where no sample was of use."""
    if not found:
        raise DataSetError(f"no usable face among {len(samples)} samples: each needs {needed}")
