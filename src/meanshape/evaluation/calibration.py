"""Calibrate a model's confidence in its points, on faces that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics
from meanshape.core.errors import DataSetError, MarkUpError
from meanshape.core.geometry import apply, procrustes, similarity
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample, refuse_evaluation_only
from meanshape.evaluation.perturb import jitter_box
from meanshape.evaluation.protocol import Progress, scoring_for
from meanshape.evaluation.reliability import reliability, right_points
from meanshape.evaluation.starts import true_views
from meanshape.methods.base import LandmarkModel, as_found
from meanshape.methods.shared.confidence import Confidence, shape_model

Array = NDArray[np.float64]
BOX_JITTER = 0.1
"""The second prediction of each face is from a box shifted and scaled by up to this, like a detector's."""
FEWEST = 20
"""Smallest number of faces to learn from."""


@dataclass(frozen=True, eq=False)
class PredictionPairs:
    """Predictions of each of N faces from two boxes.

    Attributes
    ----------
    points : (N, 2, K, 2), pixels
    before : (N, 2, K, 2), the points one stage earlier; None for methods without stages
    errors : (N, 2, K), percent of the normalising length; NaN where the point is not annotated
    """

    points: Array
    before: Array | None
    errors: Array

    def part(self, which: slice) -> tuple[Array, Array | None, Array]:
        """Return points, earlier points and errors of some faces, both predictions along the first axis."""
        count = self.points.shape[2]
        points = self.points[which].reshape(-1, count, 2)
        before = None if self.before is None else self.before[which].reshape(-1, count, 2)
        return points, before, self.errors[which].reshape(-1, count)


def calibrate(
    model: LandmarkModel,
    samples: Sequence[Sample],
    shapes: Sequence[Sample],
    tune: Sequence[Sample] | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Confidence, dict[str, Any]]:
    """Return a confidence fitted on every second face, and its reliability on the others.

    Parameters
    ----------
    samples : faces that the model was not trained on
    shapes : faces that the shape model is fitted to; training faces will do
    tune : faces of another domain: every second one fits the scale and shift of the log odds (Platt scaling),
        and the others measure the reliability
    """
    refuse_evaluation_only((*samples, *shapes, *(tune or ())), "confidence cannot be learnt")
    truth = scoring_for(model, samples).markup
    annotated = annotated_points(model, truth)
    known = [s.shape.to(truth).points for s in shapes if s.shape is not None]
    if len(known) < FEWEST:
        raise DataSetError(f"{len(known)} faces do not tell what shapes faces have; {FEWEST} are the least")
    kind = model.markup
    assert kind is not None
    pairs = predict_pairs(model, samples, seed, progress)
    points, before, errors = pairs.part(slice(0, None, 2))
    completed_shapes = completed(np.stack(known), annotated, points)
    confidence = Confidence.fit(
        kind, shape_model(completed_shapes, kind), points, before, right_points(errors)
    )
    if tune is not None:
        pairs = predict_pairs(model, tune, seed, progress)
        points, before, errors = pairs.part(slice(0, None, 2))
        confidence = confidence.tuned(points, before, right_points(errors))
    points, before, errors = pairs.part(slice(1, None, 2))
    half = len(pairs.points) // 2
    return confidence, reliability(confidence.of_points(points, before), errors) | {"faces": half}


def annotated_points(model: LandmarkModel, truth: MarkUp) -> NDArray[np.intp]:
    """Return the indices of the model's points that the truth annotates, in the truth's order.

    Raises `MarkUpError` where a point of the truth is the mean of several of the model's, or none of them.
    """
    assert model.markup is not None
    if truth.name == model.markup.name:
        return np.arange(len(truth))
    if truth.name in model.markup.conversions:
        sources = model.markup.conversion(truth).sources
        if all(len(source) == 1 for source in sources):
            return np.array([source[0] for source in sources])
    raise MarkUpError(f"the points of {truth.name} do not tell which of {model.name}'s are right")


def completed(known: Array, annotated: NDArray[np.intp], points: Array) -> Array:
    """Return shapes (N, K, 2) of known points (N, L, 2), completed with the aligned mean of predictions.

    `annotated` (L,) are the indices of the known points, `points` (M, K, 2) predicted shapes.
    """
    mean, _ = procrustes(points)
    completed_shapes = apply(similarity(np.broadcast_to(mean[annotated], known.shape), known), mean)
    completed_shapes[:, annotated] = known
    return completed_shapes


def predict_pairs(
    model: LandmarkModel, samples: Sequence[Sample], seed: int = 0, progress: Progress | None = None
) -> PredictionPairs:
    """Predict the points of each face from its true box and from a jittered one."""
    scoring = scoring_for(model, samples)
    annotated = annotated_points(model, scoring.markup)
    found, errors = [], []
    for view, length, rng in true_views(samples, scoring, (seed,), progress):
        boxes = [view.box, jitter_box(view, BOX_JITTER, rng).box]
        stages = as_found(model._predict_batch([view.pixels] * 2, boxes, [None] * 2)).stages
        point_errors = np.full(stages.shape[:1] + stages.shape[2:3], np.nan)
        point_errors[:, annotated] = metrics.point_errors(
            stages[:, -1, annotated], np.broadcast_to(view.points, (2, *view.points.shape))
        )
        found.append(stages[:, -2:])
        errors.append(100 * point_errors / length)
    if len(found) < 2 * FEWEST:
        raise DataSetError(f"a confidence needs {2 * FEWEST} faces with points and picture, not {len(found)}")
    stacked = np.stack(found)
    before = stacked[:, :, 0] if stacked.shape[2] > 1 else None
    return PredictionPairs(stacked[:, :, -1], before, np.stack(errors))


__all__ = ["PredictionPairs", "calibrate", "predict_pairs"]
