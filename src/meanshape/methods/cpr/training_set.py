"""Augmented training views (jittered boxes, rotation, mirroring), and the training data of one stage."""

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
from meanshape.methods.shared.frames import View, crop_face

CONTEXT = 1.3
"""Extra context kept around a face, as a factor of the frames' reach: views are rotated and scaled."""
SCALE = 0.1
"""Jittered boxes are scaled by a factor drawn uniformly from 1 - SCALE to 1 + SCALE."""
ROTATION = 6.0
"""Standard deviation of the in-plane rotation, degrees."""
FOLDS = 3
"""Number of cross-validation folds."""


@dataclass(frozen=True, slots=True)
class Views:
    """Augmentation of the training faces. Lengths in face boxes."""

    count: int = 8  # views of each face, every second one mirrored
    shift: float = 0.1  # largest shift of a box along each axis
    exact: float = 0.25  # share of boxes that are not jittered

    built_in: ClassVar[Mapping[str, Any]] = {"scale": SCALE, "rotation": ROTATION, "folds": FOLDS}


@dataclass(slots=True)
class Faces:
    """Training views.

    Attributes
    ----------
    views : N of them
    truth : (N, K, 2), true points in the unit frames of their boxes
    folds : (N,), cross-validation folds
    faces : (N,), index of the face that each view shows
    """

    views: list[View]
    truth: Points
    folds: NDArray[np.intp]
    faces: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class StageData:
    """Training data of one stage.

    Attributes
    ----------
    frames : (N, n, n), grey, with the stage's margin
    shapes : (N, K, 2), current shapes, frame pixels without the margin
    truth : (N, K, 2), true shapes, frame pixels without the margin
    folds : (N,), cross-validation folds
    mean : (K, 2), mean shape, face boxes
    density : frame pixels per face box
    faces : (N,), index of the face that each row shows
    """

    frames: NDArray[np.uint8]
    shapes: Points
    truth: Points
    folds: NDArray[np.intp]
    mean: Points
    density: float
    faces: NDArray[np.intp]


def robust_weights(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sample weights (N,) of mean 1 that fall with the error (N,), as in reweighted least squares."""
    weights = 1 / (errors + np.median(errors) + 1e-6)
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
    """Return augmented views of all faces that have points and a readable image."""
    known = [s for s in samples if s.shape is not None and np.isfinite(s.shape.points).all(1).sum() >= 2]
    if not known:
        raise ShapeError(f"none of {len(samples)} samples has two points or more")
    whole = filled(np.stack([s.shape.points for s in known if s.shape is not None]))
    fold = np.arange(len(known)) % max(1, min(FOLDS, len(known)))
    rng.shuffle(fold)
    views, truth, rows = [], [], []
    wide = CONTEXT * reach + settings.shift
    for n, (sample, points) in enumerate(zip(known, whole, strict=True)):
        try:
            pixels = sample.pixels()
        except ImageError:
            continue
        assert sample.box is not None
        boxes = (sample.box, sample.box.mirrored(pixels.shape[1]))
        view_of: dict[int, View] = {}  # pixels of the image and of its mirror image, shared by all views
        for repeat in range(settings.count):
            mirror = repeat % 2
            try:
                matrix, mirrored = _augmented_frame(
                    boxes[mirror], points, pixels.shape[1], kind, settings, mirror, rng
                )
                plain = unit_matrix(boxes[mirror])
            except BoxError:
                continue
            if mirror not in view_of:
                picture = np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
                view_of[mirror] = crop_face(picture, plain, wide, density)
            moved = compose(compose(matrix, invert(plain)), view_of[mirror].matrix)
            views.append(View(view_of[mirror].pixels, moved))
            truth.append(apply(invert(matrix), mirrored))
            rows.append(n)
        if n % 200 == 0:
            progress(0.1 * n / len(known), f"{n} of {len(known)} faces read")
    if not views:
        raise ShapeError("no sample has a picture that can be read and points that span a box")
    faces = np.array(rows, np.intp)
    return Faces(views, np.stack(truth), fold[faces].astype(np.intp), faces)


def filled(shapes: Points) -> Points:
    """Return shapes (N, K, 2) with missing points filled in from the aligned mean shape."""
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


def _augmented_frame(
    box: Box,
    points: Points,
    width: int,
    kind: MarkUp,
    settings: Views,
    mirror: int,
    rng: np.random.Generator,
) -> tuple[Matrix, Points]:
    """Return the map from a jittered unit frame to the (possibly mirrored) image, and the points in it."""
    if mirror:
        points = points[list(kind.mirror)] * (-1, 1) + (width - 1, 0)
    angle = np.deg2rad(np.clip(rng.normal(0, ROTATION), -45, 45))
    c, s = np.cos(angle), np.sin(angle)
    x, y = box.center
    rotation = np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])
    rotated = apply(rotation, points)
    # the box rotates with the face: it keeps its position relative to the points' tight box
    tight, now = Box.around(points), Box.around(rotated)
    (left, top), (right, bottom) = now.absolute(
        tight.relative([(box.left, box.top), (box.right, box.bottom)])
    )
    box_seen = Box(left, top, right, bottom)
    if rng.random() >= settings.exact:
        dx, dy = rng.uniform(-settings.shift, settings.shift, 2)
        box_seen = box_seen.shifted(dx * box_seen.width, dy * box_seen.height)
        box_seen = box_seen.scaled(rng.uniform(1 - SCALE, 1 + SCALE))
    return compose(unit_matrix(box_seen), invert(rotation)), points
