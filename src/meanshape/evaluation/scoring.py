"""How a model's points meet the truth when the two have different mark-ups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError, MarkUpError
from meanshape.core.markup import MarkUp
from meanshape.core.metrics import Normaliser
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scoring:
    """The mark-up in which points are compared, and how both sides get there.

    Attributes
    ----------
    model, truth : what the model answers; what the data set has
    markup : what is compared: the truth's, where the model's converts to it; else the model's
    """

    model: MarkUp
    truth: MarkUp
    markup: MarkUp

    @classmethod
    def between(cls, model: MarkUp, truth: MarkUp | None) -> Scoring:
        """Return the way from a model's mark-up to the data's (None: the data have no points)."""
        if truth is None or model.name == truth.name:
            return cls(model, model, model)
        if truth.name in model.conversions:
            return cls(model, truth, truth)
        if model.name in truth.conversions:
            return cls(model, truth, model)
        raise MarkUpError(
            f"the model answers {model.name} and the data have {truth.name}: neither converts to the other"
        )

    @property
    def norm(self) -> Normaliser:
        """Return the normaliser of AUC and failure rate: the outer eye corners, else the eyes' centres."""
        if self.markup.inter_ocular is not None:
            return "inter_ocular"
        return "inter_pupil" if self.markup.left_eye and self.markup.right_eye else "box_size"

    def predicted(self, shape: Shape) -> Points | None:
        """Return the predicted points (K, 2) that are compared; None if one is NaN that should not be."""
        points = shape.to(self.markup).points
        sources = self.model.conversion(self.markup).sources
        expected = np.array([bool(many) for many in sources])
        return None if np.isnan(points[expected]).any() else points

    def true(self, sample: Sample) -> Points:
        """Return the true points (K, 2) that are compared; NaN where not annotated."""
        if sample.shape is None:
            return np.full((len(self.markup), 2), np.nan)
        return sample.shape.to(self.markup).points

    def all_true(self, sample: Sample) -> Points:
        """Return all true points in the data's own mark-up, which the eye distances come from."""
        return np.full((len(self.truth), 2), np.nan) if sample.shape is None else sample.shape.points


def common_markup(samples: list[Sample]) -> MarkUp | None:
    """Return the one mark-up of samples, None where none has points."""
    kinds = {sample.shape.markup for sample in samples if sample.shape is not None}
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.name for kind in kinds))
        raise DataSetError(f"samples of one mark-up are measured together, not of {names}")
    return kinds.pop() if kinds else None
