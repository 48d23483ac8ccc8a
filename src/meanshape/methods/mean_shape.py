"""The mean shape: where the points lie on average in a face box, whatever the picture shows.

The baseline of every table, and the start of every cascade (Cootes et al. 1995; Goodall 1991 for the
generalised Procrustes mean). The shapes are aligned by similarities, so that faces turned and boxed in
different ways do not blur their mean; the mean is then stretched onto the average of the points relative
to their boxes, one scale and shift per axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ShapeError, WeightsError
from meanshape.core.geometry import procrustes
from meanshape.core.image import Pixels
from meanshape.core.regular import open_regular
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress

FILE = "mean.npz"


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class MeanShape(LandmarkModel):
    """Predicts the mean shape in the box; `mean` is (K, 2), relative to the box."""

    name: ClassVar[str] = "mean_shape"
    Config: ClassVar[type[Any]] = Config

    mean: NDArray[np.float64]

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        self.mean = relative_mean(train)
        progress(1.0, "mean shape")

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        return np.stack([box.absolute(self.mean) for box in boxes])

    def _save(self, folder: Path) -> None:
        np.savez(folder / FILE, mean=self.mean)

    def _load(self, folder: Files) -> None:
        try:
            with open_regular(folder / FILE) as opened, np.load(opened, allow_pickle=False) as file:
                self.mean = np.asarray(file["mean"], np.float64)
        except Exception as error:  # zip files and NumPy's headers break in many ways
            raise WeightsError(f"{folder / FILE}: not the weights of mean_shape ({error})") from error
        if self.mean.shape != (len(self._fitted()), 2) or not np.isfinite(self.mean).all():
            raise WeightsError(
                f"{folder / FILE}: a mean of {self.mean.shape} does not fit {self._fitted().name}"
            )


def relative_mean(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return the mean shape (K, 2) relative to the samples' boxes, which they must have.

    NaN points do not count; a point that no sample has is an error.
    """
    known = [(sample.shape.points, sample.box) for sample in samples if sample.shape and sample.box]
    known = [(points, box) for points, box in known if np.isfinite(points).all(1).sum() >= 2]
    if not known:
        raise ShapeError("a mean shape needs samples with points and a box")
    mean, _ = procrustes(np.stack([points for points, _ in known]))
    relative = np.stack([box.relative(points) for points, box in known])
    there = np.isfinite(relative)
    average = np.where(there, relative, 0.0).sum(0) / there.sum(0)
    spread = (mean**2).sum(0)
    scale = np.divide(
        (mean * (average - average.mean(0))).sum(0), spread, out=np.ones(2), where=spread > 1e-12
    )
    return np.asarray(mean * scale + average.mean(0))


MODEL = MeanShape
