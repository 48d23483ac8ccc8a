"""Fit a confidence's out-of-domain part: lower it for unusual images of faces, and where there is no face.

The model predicts every face as it is and perturbed (rotated, occluded, blurred, small, dark), and also runs
on boxes without a face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError
from meanshape.core.image import Pixels, crop, read_image
from meanshape.core.sample import Sample, refuse_evaluation_only
from meanshape.datasets.parts.files import pictures_below
from meanshape.evaluation import perturb
from meanshape.evaluation.calibration import FEWEST, annotated_points
from meanshape.evaluation.perturb import View
from meanshape.evaluation.protocol import Progress, scoring_for
from meanshape.evaluation.reliability import auroc, right_points
from meanshape.evaluation.starts import find_start, true_views
from meanshape.methods.base import LandmarkModel, as_found
from meanshape.methods.shared.confidence import Confidence, Found
from meanshape.methods.shared.domain import AlignmentCheck, Domain, patch_frame, patches

Array = NDArray[np.float64]
Random = np.random.Generator
ViewGenerator = Callable[[View, Random], Iterator[tuple[str, View]]]
PLAIN, NO_FACE = "plain", "no face"
NO_FACE_ERROR = 1000.0
"""Error assigned to each point where there is no face, percent."""
BLOCKS = 6
"""Blocks per row of a shuffled face."""
EMPTY_BOXES = 4
"""Boxes in images without people per face; a shuffled face is added to them."""
SCENES = 100
SCENE_SIZE = (160, 120)
"""Number and size of the images without people that are rendered if no photos are given."""
MAX_PHOTOS = 600
PHOTO_SIDE = 320
"""Largest number of photos without people, and their largest side, pixels."""
CHECK_FACES = 400
"""Faces that the alignment check is trained on; more did not help."""


@dataclass(frozen=True, eq=False)
class ViewPredictions:
    """Predictions of M views.

    Attributes
    ----------
    names : (M,), the kind of each view
    pictures : the images
    found : the predictions
    errors : (M, K), percent of the normalising length; NaN where the point is not annotated
    """

    names: NDArray[np.str_]
    pictures: list[Pixels]
    found: Found
    errors: Array


def learn_domain(
    model: LandmarkModel,
    confidence: Confidence,
    samples: Sequence[Sample],
    shapes: Sequence[Sample],
    empty: Sequence[Pixels] = (),
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Confidence, dict[str, dict[str, float]]]:
    """Return the confidence with a domain part fitted on every second face, and its figures on the others.

    Parameters
    ----------
    confidence : the calibrated confidence; its mean on unperturbed faces is kept
    samples : faces; since errors on perturbed views count, training faces may be among them
    shapes : faces that the alignment check is trained on, for models without votes
    empty : photos without people; none: rendered scenes
    """
    refuse_evaluation_only((*samples, *shapes), "confidence cannot be learnt")
    report = progress or (lambda share, text: None)
    usable = [sample for sample in samples if sample.shape is not None]
    if len(usable) < 2 * FEWEST:
        raise DataSetError(f"a confidence needs {2 * FEWEST} faces with points, not {len(usable)}")
    votes = (
        as_found(model._predict_batch([_any_pixels(usable)], [_any_box(usable)], [None])).spread is not None
    )
    make_views = partial(views, empty or scenes(seed))
    check = None if votes else _learn_check(model, shapes, make_views, seed, report)
    training = predict_views(model, usable[::2], make_views, (seed, 1), report)
    measured = predict_views(model, usable[1::2], make_views, (seed, 2), report)
    fitted = replace(confidence, domain=Domain.none(check))
    doubt = fitted.doubt(training.found, training.pictures)
    assert doubt is not None
    odds = confidence.odds(training.found.points, training.found.before if confidence.staged else None)
    right, plain = right_points(training.errors), training.names == PLAIN
    fitted = replace(fitted, domain=Domain.fit(doubt, odds, right, plain, check))
    return fitted, figures(fitted, measured)


def figures(confidence: Confidence, predictions: ViewPredictions) -> dict[str, dict[str, float]]:
    """Return the share of right points, mean confidence and AUROC of each kind of view, percent."""
    scores = confidence(predictions.found, predictions.pictures)
    assert scores is not None
    right = right_points(predictions.errors)
    measured: dict[str, dict[str, float]] = {}
    kinds = {name: predictions.names == name for name in dict.fromkeys(predictions.names.tolist())}
    for name, which in (kinds | {"all faces": predictions.names != NO_FACE}).items():
        known = np.isfinite(right[which])
        good, confidences = right[which][known] == 1, scores[which][known]
        measured[name] = {"right": _percent(good), "mean": _percent(confidences)}
        if (area := auroc(confidences, good)) is not None:
            measured[name]["auroc"] = area
    return measured


def predict_views(
    model: LandmarkModel,
    samples: Sequence[Sample],
    make_views: ViewGenerator,
    seed: tuple[int, ...],
    report: Progress,
) -> ViewPredictions:
    """Predict all views that `make_views` yields of each face."""
    scoring = scoring_for(model, samples)
    annotated = annotated_points(model, scoring.markup)
    assert model.markup is not None
    names: list[str] = []
    pictures: list[Pixels] = []
    stages: list[Array] = []
    spread: list[Array | None] = []
    errors: list[Array] = []
    for face, length, rng in true_views(samples, scoring, seed, report):
        for name, view in make_views(face, rng):
            found = as_found(model._predict_batch([view.pixels], [view.box], [None]))
            point_errors = np.full(len(model.markup), NO_FACE_ERROR if name == NO_FACE else np.nan)
            if name != NO_FACE:
                distances = metrics.point_errors(found.points[:, annotated], view.points[None])
                point_errors[annotated] = 100 * distances[0] / (length * view.zoom)
            names.append(name)
            pictures.append(view.pixels)
            stages.append(found.stages[0])
            spread.append(None if found.spread is None else found.spread[0])
            errors.append(point_errors)
    known = [row for row in spread if row is not None]
    return ViewPredictions(
        np.array(names),
        pictures,
        Found(np.stack(stages), np.stack(known) if known else None),
        np.stack(errors),
    )


def views(empty: Sequence[Pixels], view: View, rng: Random) -> Iterator[tuple[str, View]]:
    """Yield named views of a face: unperturbed, perturbed with jittered boxes, and without a face.

    Views without a face are boxes in images of `empty`, and the face with its blocks shuffled.
    """
    perturbed = {
        PLAIN: view,
        "tilted": perturb.rotate(view, rng.uniform(10, 60), rng),
        "turned": perturb.rotate(view, rng.uniform(60, 180), rng),
        "covered": perturb.occlude(view, rng.uniform(0.1, 0.4), rng),
        "blurred": perturb.blur(view, rng.uniform(1, 5), rng),
        "small": perturb.resolution(view, rng.uniform(12, 40), rng),
        "dark": perturb.darken(view, rng.uniform(0.05, 0.3), rng),
    }
    yield PLAIN, view
    for name, face in perturbed.items():
        yield name, perturb.jitter_box(face, 0.1, rng)
    for _ in range(EMPTY_BOXES):
        yield NO_FACE, empty_view(view, empty, rng)
    yield NO_FACE, replace(view, pixels=shuffled(view.pixels, view.box, rng))


def empty_view(view: View, empty: Sequence[Pixels], rng: Random) -> View:
    """Return a view of a random box in an image without people."""
    pixels = empty[int(rng.integers(len(empty)))]
    high, wide = pixels.shape[:2]
    size = rng.uniform(0.2, 0.9) * min(high, wide)
    left, top = rng.uniform(0, wide - size), rng.uniform(0, high - size)
    return replace(view, pixels=pixels, box=Box(left, top, left + size, top + size))


def photos_without_people(folder: Path) -> list[Pixels]:
    """Return up to `MAX_PHOTOS` photos of a folder, evenly spaced and reduced to `PHOTO_SIDE`."""
    paths = pictures_below(folder)
    kept = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, MAX_PHOTOS).astype(int))]
    return [_smaller(read_image(path)) for path in kept]


def _smaller(pixels: Pixels) -> Pixels:
    high, wide = pixels.shape[:2]
    scale = PHOTO_SIDE / max(high, wide)
    if scale >= 1:
        return pixels
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    return crop(pixels, Box(0, 0, wide, high), size)[0]


def scenes(seed: int) -> list[Pixels]:
    """Return rendered pictures without people."""
    from meanshape.datasets.synthetic import clutter

    return [clutter((seed, number), SCENE_SIZE) for number in range(SCENES)]


def shuffled(pixels: Pixels, box: Box, rng: Random) -> Pixels:
    """Return the image with the blocks of a box and its surroundings shuffled."""
    around = box.scaled(1.5)
    left, top = max(0, int(around.left)), max(0, int(around.top))
    size = min(int(around.size), pixels.shape[1] - left, pixels.shape[0] - top) // BLOCKS
    if size < 1:
        return pixels
    mixed = pixels.copy()
    part = mixed[top : top + size * BLOCKS, left : left + size * BLOCKS]
    blocks = part.reshape(BLOCKS, size, BLOCKS, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    moved = blocks[rng.permutation(len(blocks))]
    part[:] = moved.reshape(BLOCKS, BLOCKS, size, size, 3).swapaxes(1, 2).reshape(part.shape)
    return mixed


def _learn_check(
    model: LandmarkModel, shapes: Sequence[Sample], make_views: ViewGenerator, seed: int, report: Progress
) -> AlignmentCheck:
    """Return an alignment check fitted on the model's predictions; training faces will do."""
    usable = [sample for sample in shapes if sample.shape is not None]
    step = max(1, len(usable) // CHECK_FACES)
    predictions = predict_views(model, usable[::step], make_views, (seed, 0), report)
    frame = patch_frame(predictions.found.points[predictions.names == PLAIN])
    seen = patches(frame, predictions.pictures, predictions.found.points)
    return AlignmentCheck.fit(frame, seen, predictions.errors, predictions.names == NO_FACE, seed)


def _any_pixels(samples: Sequence[Sample]) -> Pixels:
    return samples[0].pixels()


def _any_box(samples: Sequence[Sample]) -> Box:
    box = find_start(samples[0], samples[0].pixels()).given
    assert box is not None
    return box


def _percent(values: NDArray[Any]) -> float:
    return round(100 * float(values.mean()), 1)


__all__ = [
    "NO_FACE",
    "ViewPredictions",
    "empty_view",
    "figures",
    "learn_domain",
    "photos_without_people",
    "predict_views",
    "views",
]
