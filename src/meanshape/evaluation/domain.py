"""Teach a confidence to fall where faces are unlike those that it was learnt from, and where there are none.

Every face is looked at plain and changed: tilted, turned by any angle, covered, blurred, small and dark; and
the model is asked about boxes without a face.
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
See = Callable[[View, Random], Iterator[tuple[str, View]]]
PLAIN, NO_FACE = "plain", "no face"
FAR = 1000.0
"""Error in percent of each point where there is no face."""
BLOCKS = 6
"""Of a face that is cut up: so many in a row."""
NOBODY = 4
"""Boxes in pictures without people that are looked at for each face, beside one face that is cut up."""
SCENES, SCENE = 100, (160, 120)
"""Rendered pictures without people where no photos are given, and their size."""
PHOTOS, LONGEST = 600, 320
"""At most so many photos without people are held, and none larger than this."""
TAUGHT = 400
"""Faces that teach the check of the alignment; more did not help."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What a model found in M views, and how far off that is.

    `names` (M,) says what each view is; `errors` (M, K) are in percent of the length that errors go by, NaN
    where nobody annotated the point.
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
    """Return the confidence with a domain learnt on every other face, and figures of those between them.

    Parameters
    ----------
    confidence : what is known of plain faces; on average it stays as it is there
    samples : faces; how far the model is off on changed ones counts, so that it may have learnt from them
    shapes : faces that teach the check of the alignment, of models that do not vote
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
    see = partial(views, empty or scenes(seed))
    check = None if votes else _learn_check(model, shapes, see, seed, report)
    taught = look(model, usable[::2], see, (seed, 1), report)
    measured = look(model, usable[1::2], see, (seed, 2), report)
    made = replace(confidence, domain=Domain.none(check))
    doubt = made.doubt(taught.found, taught.pictures)
    assert doubt is not None
    odds = confidence.odds(taught.found.points, taught.found.before if confidence.staged else None)
    right, plain = right_points(taught.errors), taught.names == PLAIN
    made = replace(made, domain=Domain.fit(doubt, odds, right, plain, check))
    return made, figures(made, measured)


def figures(confidence: Confidence, looks: Looks) -> dict[str, dict[str, float]]:
    """Return by kind of view the share of right points, the mean confidence and the AUROC, in percent."""
    sure = confidence(looks.found, looks.pictures)
    assert sure is not None
    right = right_points(looks.errors)
    told: dict[str, dict[str, float]] = {}
    kinds = {name: looks.names == name for name in dict.fromkeys(looks.names.tolist())}
    for name, which in (kinds | {"all faces": looks.names != NO_FACE}).items():
        known = np.isfinite(right[which])
        good, said = right[which][known] == 1, sure[which][known]
        told[name] = {"right": _percent(good), "mean": _percent(said)}
        if (area := auroc(said, good)) is not None:
            told[name]["auroc"] = area
    return told


def look(
    model: LandmarkModel, samples: Sequence[Sample], see: See, seed: tuple[int, ...], report: Progress
) -> Looks:
    """Let a model look at all views of faces that `see` yields with their names."""
    scoring = scoring_for(model, samples)
    annotated = annotated_points(model, scoring.markup)
    assert model.markup is not None
    names: list[str] = []
    pictures: list[Pixels] = []
    stages: list[Array] = []
    spread: list[Array | None] = []
    errors: list[Array] = []
    for face, length, rng in true_views(samples, scoring, seed, report):
        for name, view in see(face, rng):
            found = as_found(model._predict_batch([view.pixels], [view.box], [None]))
            off = np.full(len(model.markup), FAR if name == NO_FACE else np.nan)
            if name != NO_FACE:
                away = metrics.point_errors(found.points[:, annotated], view.points[None])
                off[annotated] = 100 * away[0] / (length * view.zoom)
            names.append(name)
            pictures.append(view.pixels)
            stages.append(found.stages[0])
            spread.append(None if found.spread is None else found.spread[0])
            errors.append(off)
    known = [row for row in spread if row is not None]
    return Looks(
        np.array(names),
        pictures,
        Found(np.stack(stages), np.stack(known) if known else None),
        np.stack(errors),
    )


def views(empty: Sequence[Pixels], view: View, rng: Random) -> Iterator[tuple[str, View]]:
    """Yield names and views: a face plain, twice, and changed, each from a box that is off; and no face.

    That is boxes in pictures of `empty`, and the face cut up.
    """
    changed = {
        PLAIN: view,
        "tilted": perturb.rotate(view, rng.uniform(10, 60), rng),
        "turned": perturb.rotate(view, rng.uniform(60, 180), rng),
        "covered": perturb.occlude(view, rng.uniform(0.1, 0.4), rng),
        "blurred": perturb.blur(view, rng.uniform(1, 5), rng),
        "small": perturb.resolution(view, rng.uniform(12, 40), rng),
        "dark": perturb.darken(view, rng.uniform(0.05, 0.3), rng),
    }
    yield PLAIN, view
    for name, face in changed.items():
        yield name, perturb.jitter_box(face, 0.1, rng)
    for _ in range(NOBODY):
        yield NO_FACE, nobody(view, empty, rng)
    yield NO_FACE, replace(view, pixels=shuffled(view.pixels, view.box, rng))


def nobody(view: View, empty: Sequence[Pixels], rng: Random) -> View:
    """Return a box in a picture without people."""
    pixels = empty[int(rng.integers(len(empty)))]
    high, wide = pixels.shape[:2]
    size = rng.uniform(0.2, 0.9) * min(high, wide)
    left, top = rng.uniform(0, wide - size), rng.uniform(0, high - size)
    return replace(view, pixels=pixels, box=Box(left, top, left + size, top + size))


def photos_without_people(folder: Path) -> list[Pixels]:
    """Return photos of a folder, evenly spread and made smaller."""
    paths = pictures_below(folder)
    kept = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, PHOTOS).astype(int))]
    return [_smaller(read_image(path)) for path in kept]


def _smaller(pixels: Pixels) -> Pixels:
    high, wide = pixels.shape[:2]
    scale = LONGEST / max(high, wide)
    if scale >= 1:
        return pixels
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    return crop(pixels, Box(0, 0, wide, high), size)[0]


def scenes(seed: int) -> list[Pixels]:
    """Return rendered pictures without people."""
    from meanshape.datasets.synthetic import clutter

    return [clutter((seed, number), SCENE) for number in range(SCENES)]


def shuffled(pixels: Pixels, box: Box, rng: Random) -> Pixels:
    """Return a picture in which the blocks of a box and of its surroundings have changed places."""
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
    model: LandmarkModel, shapes: Sequence[Sample], see: See, seed: int, report: Progress
) -> AlignmentCheck:
    """Return a check learnt from what the model finds in faces, which it may have learnt from."""
    usable = [sample for sample in shapes if sample.shape is not None]
    step = max(1, len(usable) // TAUGHT)
    looks = look(model, usable[::step], see, (seed, 0), report)
    frame = patch_frame(looks.found.points[looks.names == PLAIN])
    seen = patches(frame, looks.pictures, looks.found.points)
    return AlignmentCheck.fit(frame, seen, looks.errors, looks.names == NO_FACE, seed)


def _any_pixels(samples: Sequence[Sample]) -> Pixels:
    return samples[0].pixels()


def _any_box(samples: Sequence[Sample]) -> Box:
    box = find_start(samples[0], samples[0].pixels()).given
    assert box is not None
    return box


def _percent(values: NDArray[Any]) -> float:
    return round(100 * float(values.mean()), 1)


__all__ = ["NO_FACE", "Looks", "figures", "learn_domain", "look", "nobody", "photos_without_people", "views"]
