"""Teach a model how sure it may be of its points, from faces that it has not learnt from."""

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
OFF = 0.1
"""The second look at each face is from a box moved and scaled by up to this, as a detector's may be."""
FEWEST = 20


@dataclass(frozen=True, eq=False)
class Looks:
    """Two looks at each of N faces: points and, of methods with stages, where they were a stage before.

    `points` and `before` are (N, 2, K, 2) in pixels; `errors` (N, 2, K) in percent of the length that errors
    go by, NaN where nobody annotated the point.
    """

    points: Array
    before: Array | None
    errors: Array

    def part(self, which: slice) -> tuple[Array, Array | None, Array]:
        """Return points, points before and errors of some faces, both looks in one row."""
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
    """Return a confidence learnt on every other face, and how reliable it is on those between them.

    Parameters
    ----------
    samples : faces that the model has not learnt from
    shapes : faces whose points tell what shapes faces have; those that the model learnt from will do
    tune : faces of another kind, if it is for such: every other one sets the scale and the shift of all log
        odds, and those between them say how reliable that is
    """
    refuse_evaluation_only((*samples, *shapes, *(tune or ())), "confidence cannot be learnt")
    truth = scoring_for(model, samples).markup
    annotated = annotated_points(model, truth)
    known = [s.shape.to(truth).points for s in shapes if s.shape is not None]
    if len(known) < FEWEST:
        raise DataSetError(f"{len(known)} faces do not tell what shapes faces have; {FEWEST} are the least")
    kind = model.markup
    assert kind is not None
    looks = look(model, samples, seed, progress)
    points, before, errors = looks.part(slice(0, None, 2))
    whole = completed(np.stack(known), annotated, points)
    made = Confidence.fit(kind, shape_model(whole, kind), points, before, right_points(errors))
    if tune is not None:
        looks = look(model, tune, seed, progress)
        points, before, errors = looks.part(slice(0, None, 2))
        made = made.tuned(points, before, right_points(errors))
    points, before, errors = looks.part(slice(1, None, 2))
    half = len(looks.points) // 2
    return made, reliability(made.of_points(points, before), errors) | {"faces": half}


def annotated_points(model: LandmarkModel, truth: MarkUp) -> NDArray[np.intp]:
    """Return which of a model's points the truth has, in its order: all, or those of a part of its mark-up.

    Raises `MarkUpError` where the truth's points are means of several of the model's, or not among them.
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
    """Return shapes (N, K, 2) of known points (N, L, 2): the others lie where the mean shape has them.

    `annotated` (L,) says which the known ones are, `points` (M, K, 2) are shapes that the model placed.
    """
    mean, _ = procrustes(points)
    whole = apply(similarity(np.broadcast_to(mean[annotated], known.shape), known), mean)
    whole[:, annotated] = known
    return whole


def look(
    model: LandmarkModel, samples: Sequence[Sample], seed: int = 0, progress: Progress | None = None
) -> Looks:
    """Place the points of each face, from its truth box and from one that is off."""
    scoring = scoring_for(model, samples)
    annotated = annotated_points(model, scoring.markup)
    found, errors = [], []
    for view, length, rng in true_views(samples, scoring, (seed,), progress):
        boxes = [view.box, jitter_box(view, OFF, rng).box]
        stages = as_found(model._predict_batch([view.pixels] * 2, boxes, [None] * 2)).stages
        off = np.full(stages.shape[:1] + stages.shape[2:3], np.nan)
        off[:, annotated] = metrics.point_errors(
            stages[:, -1, annotated], np.broadcast_to(view.points, (2, *view.points.shape))
        )
        found.append(stages[:, -2:])
        errors.append(100 * off / length)
    if len(found) < 2 * FEWEST:
        raise DataSetError(f"a confidence needs {2 * FEWEST} faces with points and picture, not {len(found)}")
    stacked = np.stack(found)
    before = stacked[:, :, 0] if stacked.shape[2] > 1 else None
    return Looks(stacked[:, :, -1], before, np.stack(errors))


__all__ = ["Looks", "calibrate", "look"]
