"""`evaluate`: a model, some samples, one way to measure.

A model gets pixels and a box, nothing else. Pictures that cannot be read are reported and left out; a face
that the detector misses, or for which the model answers no number, is scored with the mean shape in the
whole picture, so that no method gains by losing hard faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics, weights
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, ImageError, NotFitted
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.detectors.base import FaceDetector
from meanshape.evaluation.labels import answered_labels, columns, shared_labels, true_labels
from meanshape.evaluation.result import About, Evaluation
from meanshape.evaluation.schema import versions
from meanshape.evaluation.scoring import Scoring, common_markup
from meanshape.evaluation.seen import knows
from meanshape.evaluation.slices import OF_THE_FACE, check_groups, group
from meanshape.evaluation.starts import (
    BoxRule,
    Start,
    find_start,
    make_detector,
    name_of,
    penalty_shape,
)
from meanshape.evaluation.threads import limited
from meanshape.inference.turns import view
from meanshape.methods import load
from meanshape.methods.base import LandmarkModel

Progress = Callable[[float, str], None]
WARM_UP = 2
"""Predictions before the clock counts."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One face that was measured."""

    sample: Sample
    predicted: NDArray[np.float64]
    confidence: NDArray[np.float64] | None
    start: Start
    missed: bool
    seconds: float
    answers: dict[str, str]
    options: dict[str, frozenset[str]]


def evaluate(
    model: LandmarkModel | str | Path,
    samples: Sequence[Sample],
    *,
    box: BoxRule = "truth",
    detector: FaceDetector | str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    name: str | None = None,
    data: str | None = None,
    split: str | None = None,
    faces: str | None = None,
    by: Sequence[str] = (),
) -> Evaluation:
    """Measure a model on samples.

    Parameters
    ----------
    model : a model, or what `meanshape.load` takes
    samples : faces of one mark-up; points that are NaN do not count
    box : "truth" or "detector", whose box the model starts from
    detector : for `box="detector"`; none: the default one
    threads : that one prediction may use; a model that is loaded already keeps those of its networks
    name : what the result calls the model; if it was loaded by that, the bytes of its weights are known
    data, split, faces : names to keep in the result; what cards call the faces, None: data and split
    by : what faces are grouped by: attributes of the samples, "hidden" (points), "size" (of the box)

    Returns
    -------
    an `Evaluation`, in the mark-up that both reach; `MarkUpError` without one, `DataSetError` without samples
    """
    if not (samples := list(samples)):
        raise DataSetError("there is nothing to measure: no samples")
    if box not in ("truth", "detector"):
        raise DataSetError(f"box is 'truth' or 'detector', not {box!r}")
    check_groups(samples, set(by) - OF_THE_FACE)
    finder = make_detector(detector) if box == "detector" else None
    source = name if isinstance(model, LandmarkModel) else model
    with limited(threads):
        ready = model if isinstance(model, LandmarkModel) else load(model, threads=threads)
        scoring = scoring_for(ready, samples)
        scored, broken = _measure(ready, samples, scoring, finder, progress)
    if not scored:
        raise DataSetError(f"none of {len(samples)} pictures can be read: {min(broken.values())}")
    learnt, chosen = knows(ready.origin, faces or ":".join(part for part in (data, split) if part))
    about = About(
        model=name or (ready.name if source is None else str(source)),
        data=data,
        split=split,
        box=box,
        detector=None if finder is None else name_of(finder),
        threads=threads,
        providers=ready.runs_on,
        bytes=None if source is None else weights_size(source),
        versions=versions(),
        broken=broken,
        seen=learnt,
        chosen=chosen,
    )
    return _collect(scored, scoring, about, by)


def scoring_for(model: LandmarkModel, samples: Sequence[Sample]) -> Scoring:
    """Return how a model's points are compared with those of samples."""
    if model.markup is None:
        raise NotFitted(f"{model.name} was neither fitted nor loaded, so that it cannot be measured")
    return Scoring.between(model.markup, common_markup(list(samples)))


def weights_size(model: str | Path) -> int | None:
    """Return the bytes of the weights that `meanshape.load` reads for a name, a folder or a file."""
    path = weights.folder(str(model)) if str(model) in weights.names() else Path(model)
    if path.is_dir():
        return weights.read_card(path).bytes(path)
    return path.stat().st_size if path.is_file() else None


def _measure(
    model: LandmarkModel,
    samples: Sequence[Sample],
    scoring: Scoring,
    detector: FaceDetector | None,
    progress: Progress | None,
) -> tuple[list[Scored], dict[str, str]]:
    """Predict all faces one by one; return them and the pictures that cannot be read."""
    penalty = penalty_shape(scoring.markup, samples)
    scored: list[Scored] = []
    broken: dict[str, str] = {}
    cold = True
    for number, sample in enumerate(samples, 1):
        try:
            pixels = sample.pixels()
        except ImageError as error:
            broken[sample.id] = str(error)
        else:
            start = find_start(sample, pixels, detector)
            if cold and start.given is not None:
                for _ in range(WARM_UP):
                    model.predict(pixels, start.given)
                cold = False
            scored.append(_score(model, sample, pixels, start, scoring, penalty))
        if progress is not None:
            progress(number / len(samples), f"{number} of {len(samples)} faces")
    return scored, broken


def _score(
    model: LandmarkModel,
    sample: Sample,
    pixels: Pixels,
    start: Start,
    scoring: Scoring,
    penalty: NDArray[np.float64],
) -> Scored:
    """Predict one face."""
    points, sure, seconds = None, None, float("nan")
    answers: dict[str, str] = {}
    options: dict[str, frozenset[str]] = {}
    if start.given is not None:
        began = perf_counter()
        seen = view(pixels, start.given, start.roll)
        shape = seen.placed(model.predict(seen.pixels, seen.box))
        seconds = perf_counter() - began
        points = scoring.predicted(shape)
        sure = shape.confidence if scoring.markup == scoring.model else None
        answers, options = answered_labels(model, seen.pixels, seen.box)
    missed = points is None
    if points is None:
        points = Box.whole(pixels.shape[1], pixels.shape[0]).absolute(penalty)
    return Scored(sample, points, None if missed else sure, start, missed, seconds, answers, options)


def _collect(scored: Sequence[Scored], scoring: Scoring, about: About, by: Sequence[str]) -> Evaluation:
    """Compare the predicted points with the true ones."""
    samples = [face.sample for face in scored]
    check_groups(samples, by)  # what hides points of rendered faces is known now
    options: dict[str, frozenset[str]] = {}
    for face in scored:
        options |= face.options
    labels, unknown = shared_labels([true_labels(sample) for sample in samples], options)
    truth = np.stack([scoring.true(sample) for sample in samples])
    whole = np.stack([scoring.all_true(sample) for sample in samples])
    sure = [face.confidence for face in scored]
    blank = np.full(len(scoring.markup), np.nan)
    return Evaluation(
        ids=_each_once([sample.id for sample in samples]),
        errors=metrics.point_errors(np.stack([face.predicted for face in scored]), truth),
        normalisers=metrics.normalisers(whole, scoring.truth, [face.start.truth for face in scored]),
        markup=scoring.markup,
        norm=scoring.norm,
        missed=np.array([face.missed for face in scored]),
        seconds=np.array([face.seconds for face in scored]),
        labels=columns(labels),
        answers=columns([face.answers for face in scored]),
        groupings={name: group(samples, name) for name in by},
        confidence=None
        if all(known is None for known in sure)
        else np.stack([blank if known is None else known for known in sure]),
        about=replace(about, unknown_labels=unknown),
    )


def _each_once(ids: Sequence[str]) -> tuple[str, ...]:
    """Return ids that differ: a second face of the same id gets #2 behind it."""
    seen: dict[str, int] = {}
    unique = []
    for name in ids:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)


__all__ = ["Progress", "evaluate", "scoring_for", "weights_size"]
