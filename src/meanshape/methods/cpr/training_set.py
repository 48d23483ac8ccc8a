"""Faces as a cascade learns them (boxes off, turned, mirrored), and what one stage's lesson is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, ImageError, ShapeError
from meanshape.core.geometry import Matrix, Points, apply, compose, invert, similarity, unit_matrix
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.shared.frames import View, look

WIDER = 1.3
"""How much more of a picture is kept than what an exact box asks for: views are turned and scaled."""
SCALE = 0.1
"""Boxes that are moved are scaled by a factor of 1 - so much to 1 + so much."""
ROTATION = 6.0
"""Standard deviation of the angle that pictures are turned by, degrees."""
FOLDS = 3
"""Faces are split into so many parts, each predicted by what the others taught."""


@dataclass(frozen=True, slots=True)
class Views:
    """How faces are shown while a cascade learns. Lengths in face boxes."""

    count: int = 8  # times each face is seen, every second time mirrored
    shift: float = 0.1  # boxes are moved by up to so much
    exact: float = 0.25  # share of boxes that are left as they are

    built_in: ClassVar[Mapping[str, Any]] = {"scale": SCALE, "rotation": ROTATION, "folds": FOLDS}


@dataclass(slots=True)
class Faces:
    """Views of faces, their true points (N, K, 2) in the unit frames of their boxes, their folds (N,), and
    which face (N,) each shows.
    """

    views: list[View]
    truth: Points
    folds: NDArray[np.intp]
    faces: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one stage learns from.

    `frames` (N, n, n) have the stage's margin; `shapes` so far and `truth` (N, K, 2) are in frame pixels
    without it; `mean` (K, 2) is in face boxes, `density` is the frame pixels of one; `faces` (N,) says which
    rows show the same face.
    """

    frames: NDArray[np.uint8]
    shapes: Points
    truth: Points
    folds: NDArray[np.intp]
    mean: Points
    density: float
    faces: NDArray[np.intp]


def nearer_count_more(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (N,) of mean 1, smaller for faces far `off`: the error is a mean of distances."""
    weights = 1 / (off + np.median(off) + 1e-6)
    return np.asarray(weights / weights.mean())


def gather(
    samples: Sequence[Sample],
    kind: MarkUp,
    settings: Views,
    reach: float,
    density: float,
    rng: np.random.Generator,
    progress: Progress,
) -> Faces:
    """Return views of all faces that have points and a picture that can be read."""
    known = [s for s in samples if s.shape is not None and np.isfinite(s.shape.points).all(1).sum() >= 2]
    if not known:
        raise ShapeError(f"none of {len(samples)} samples has two points or more")
    whole = filled(np.stack([s.shape.points for s in known if s.shape is not None]))
    fold = np.arange(len(known)) % max(1, min(FOLDS, len(known)))
    rng.shuffle(fold)
    views, truth, shown = [], [], []
    wide = WIDER * reach + settings.shift
    for n, (sample, points) in enumerate(zip(known, whole, strict=True)):
        try:
            pixels = sample.pixels()
        except ImageError:
            continue
        assert sample.box is not None
        boxes = (sample.box, sample.box.mirrored(pixels.shape[1]))
        looks: dict[int, View] = {}  # one for the picture and one for its mirror image, which all views share
        for turn in range(settings.count):
            way = turn % 2
            try:
                matrix, mirrored = _shown(boxes[way], points, pixels.shape[1], kind, settings, way, rng)
                plain = unit_matrix(boxes[way])
            except BoxError:
                continue
            if way not in looks:
                picture = np.ascontiguousarray(pixels[:, ::-1]) if way else pixels
                looks[way] = look(picture, plain, wide, density)
            moved = compose(compose(matrix, invert(plain)), looks[way].matrix)
            views.append(View(looks[way].pixels, moved))
            truth.append(apply(invert(matrix), mirrored))
            shown.append(n)
        if n % 200 == 0:
            progress(0.1 * n / len(known), f"{n} of {len(known)} faces read")
    if not views:
        raise ShapeError("no sample has a picture that can be read and points that span a box")
    number = np.array(shown, np.intp)
    return Faces(views, np.stack(truth), fold[number].astype(np.intp), number)


def filled(shapes: Points) -> Points:
    """Return shapes (N, K, 2) with missing points where the mean of the others, laid on them, has them."""
    missing = np.asarray(~np.isfinite(shapes).all(-1))
    if not missing.any():
        return shapes
    if missing.all(0).any():
        raise ShapeError(f"point {int(np.argmax(missing.all(0)))} is annotated in no sample")
    centre = np.nanmean(shapes, axis=1, keepdims=True)
    size = np.sqrt(np.nanmean(((shapes - centre) ** 2).sum(-1), axis=1))[:, None, None]
    mean = np.nanmean((shapes - centre) / np.maximum(size, 1e-9), axis=0)
    laid = apply(similarity(mean, shapes), mean)
    return np.where(missing[..., None], laid, shapes)


def _shown(
    box: Box,
    points: Points,
    width: int,
    kind: MarkUp,
    settings: Views,
    mirror: int,
    rng: np.random.Generator,
) -> tuple[Matrix, Points]:
    """Return the map from a jittered unit frame to the picture (mirrored, if so), and the points there."""
    if mirror:
        points = points[list(kind.mirror)] * (-1, 1) + (width - 1, 0)
    angle = np.deg2rad(np.clip(rng.normal(0, ROTATION), -45, 45))
    c, s = np.cos(angle), np.sin(angle)
    x, y = box.center
    turn = np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])
    turned = apply(turn, points)
    # the box turns with the face: it is drawn anew around the points, as far from their tight box as it was
    tight, now = Box.around(points), Box.around(turned)
    (left, top), (right, bottom) = now.absolute(
        tight.relative([(box.left, box.top), (box.right, box.bottom)])
    )
    seen = Box(left, top, right, bottom)
    if rng.random() >= settings.exact:
        dx, dy = rng.uniform(-settings.shift, settings.shift, 2)
        seen = seen.shifted(dx * seen.width, dy * seen.height)
        seen = seen.scaled(rng.uniform(1 - SCALE, 1 + SCALE))
    return compose(unit_matrix(seen), invert(turn)), points
