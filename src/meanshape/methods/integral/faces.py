"""Faces of several mark-ups in memory, and batches of augmented ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError
from meanshape.core.geometry import apply, compose, invert, similarity, square_matrix
from meanshape.core.markup import MarkUp
from meanshape.core.reflection import stored_warp
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.methods.integral.config import Config
from meanshape.training.augment import Augmentation, as_pixels, change_pixels
from meanshape.training.crops import CropStore, refuse_none
from meanshape.training.sampling import Batch, channels_first

Floats = NDArray[np.float64]

FACE, REACH = 100, 2.2  # pixels of a face box in a stored crop; side of the crop in face boxes
APPEARANCE = Augmentation(colour=0.5, grey=0.15, blur=0.25, jpeg=0.1, noise=0.1, occluder=0.35)
AGREED = (
    *("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer", "right_pupil", "left_pupil"),
    *("nose_tip", "right_mouth_corner", "left_mouth_corner", "upper_lip_top", "lower_lip_bottom"),
)
"""Points that annotators of all mark-ups put in the same place."""
LOOSE = 0.2
"""Share of samples whose crop and upright frame are far off."""


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A square crop and its points, in pixels of the crop.

    Attributes
    ----------
    image : (S, S, 3)
    own : (L, 2), as annotated
    target : (K, 2), those of the target mark-up that are known; NaN elsewhere
    outline : (K, 2), the same, filled up with the mean shape
    """

    image: NDArray[np.uint8]
    own: Floats
    target: Floats
    outline: Floats


class Chosen(NamedTuple):
    """A face of a batch; with `own_head`, the head of its own mark-up learns from it too."""

    kind: MarkUp
    face: StoredFace
    own_head: bool = False


class FaceStore:
    """Labels of the faces in a `CropStore`, grouped by mark-up.

    Shapes with a confidence are a model's; where there are others too, they are kept apart, in
    `pseudo_labelled`.

    Parameters
    ----------
    samples : those without points are left out, those without a readable picture are listed in `broken`
    markup : the target mark-up; other mark-ups teach the points that they share with it
    mean : mean shape (K, 2) in the unit square of the face box; computed from the samples where not given
    """

    def __init__(self, samples: Sequence[Sample], markup: MarkUp, mean: Floats | None = None) -> None:
        self.markup = markup
        self.broken: list[str] = []
        usable = [s for s in samples if s.shape is not None and np.isfinite(s.shape.points).any()]
        pseudo = [s for s in usable if s.shape is not None and s.shape.confidence is not None]
        if len(pseudo) == len(usable):
            pseudo = []
        else:
            usable = [s for s in usable if s.shape is not None and s.shape.confidence is None]
        self.mean = mean_shape(usable, markup) if mean is None else mean
        self.groups = self._stored(usable)
        self.pseudo_labelled = [
            (kind, face) for kind, faces in self._stored(pseudo).items() for face in faces
        ]
        refuse_none(self.groups, samples, "a picture and points")
        primary = max(self.groups, key=lambda kind: len(shared_points(kind, markup)))
        self.primary, self.others = primary, [kind for kind in self.groups if kind != primary]

    def _stored(self, samples: Sequence[Sample]) -> dict[MarkUp, list[StoredFace]]:
        groups: dict[MarkUp, list[StoredFace]] = {}
        shapes = [s.shape for s in samples if s.shape is not None]
        targets = [to_target(shape.points, shape.markup, self.markup) for shape in shapes]
        outlines = [self._filled(*pair) for pair in zip(shapes, targets, strict=True)]
        store = CropStore(samples, [Box.around(o) for o in outlines], round(FACE * REACH), REACH)
        self.broken += store.broken
        points = (store.placed(rows) for rows in ([shape.points for shape in shapes], targets, outlines))
        for number, *face in zip(store.kept, store.images, *points, strict=True):
            groups.setdefault(shapes[number].markup, []).append(StoredFace(*face))
        return groups

    def _filled(self, shape: Shape, target: Floats) -> Floats:
        """Return the target's points (K, 2), unknown ones where the mean shape has them."""
        known: NDArray[np.bool_] = np.isfinite(target[:, 0])
        if known.all():
            return target
        here, mean = target, self.mean
        if known.sum() < 4 and shape.markup.name in self.markup.conversions:
            here, mean = shape.points, self.markup.convert(self.mean, shape.markup)
        placed = apply(invert(similarity(here, mean)), self.mean)
        return np.where(known[:, None], target, placed)


def shared_points(kind: MarkUp, target: MarkUp) -> dict[int, int]:
    """Return which point of a mark-up is which of the target's.

    All, of the target itself and of a mark-up that is a part of it, as the 68 points are of the 70. Of other
    mark-ups only those of `AGREED`: where a brow or a jaw is divided, each set decides for itself.
    """
    sources = target.conversion(kind).sources if kind.name in target.conversions else ()
    same = {index: source[0] for index, source in enumerate(sources) if len(source) == 1}
    places = {name: index for index, name in enumerate(target.points)}
    named = {index: places[name] for index, name in enumerate(kind.points) if name in places}
    if len(named) == len(kind):
        return named
    return {i: place for i, place in (named | same).items() if target.points[place] in AGREED}


def to_target(points: Floats, kind: MarkUp, target: MarkUp) -> Floats:
    """Return the points (K, 2) of the target mark-up that are annotated, NaN elsewhere."""
    result = np.full((len(target), 2), np.nan)
    for index, place in shared_points(kind, target).items():
        result[place] = points[index]
    return result


def mean_shape(samples: Sequence[Sample], markup: MarkUp) -> Floats:
    """Return the mean shape (K, 2) in the unit square of the face box, made symmetric.

    The samples with most of the target's points give it; points that they lack come from the others,
    placed by a similarity.
    """
    shapes = [s.shape for s in samples if s.shape is not None]
    targets = [to_target(shape.points, shape.markup, markup) for shape in shapes]
    counts = [len(shared_points(shape.markup, markup)) for shape in shapes]
    boxes = [s.box or Box.around(t[np.isfinite(t).all(1)]) for s, t in zip(samples, targets, strict=True)]
    best = [
        (t - box.center) / box.size + 0.5
        for t, box, count in zip(targets, boxes, counts, strict=True)
        if count == max(counts)
    ]
    mean = _symmetric(_mean(best), markup)
    lacking = ~np.isfinite(mean[:, 0])
    if lacking.any():
        aligned = [
            apply(similarity(t, mean), t)
            for t in targets
            if np.isfinite(t[lacking]).any() and np.isfinite(t[~lacking, 0]).sum() >= 2
        ]
        if aligned:
            mean = np.where(lacking[:, None], _symmetric(_mean(aligned), markup), mean)
    if np.isnan(mean).any():
        name = markup.points[int(np.isnan(mean[:, 0]).argmax())]
        raise DataSetError(f"no sample has the point {name} of {markup.name}")
    return mean


def _mean(shapes: Sequence[Floats]) -> Floats:
    known = np.isfinite(shapes)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, shapes, 0.0).sum(0) / known.sum(0))


def _symmetric(mean: Floats, markup: MarkUp) -> Floats:
    if not markup.sides:
        return mean
    mirrored = mean[list(markup.mirror)] * (-1, 1) + (1, 0)
    return (mean + mirrored) / 2


@dataclass(frozen=True, slots=True)
class View:
    """One augmented face: the crop, and the upright frame that a slightly wrong first look would cut."""

    crop: NDArray[np.uint8]
    frame: NDArray[np.uint8]
    target: Floats  # (K, 2) in pixels of the crop
    own: Floats  # (L, 2) in pixels of the crop
    to_frame: Floats  # (2, 3), crop to frame
    norm: float  # distance of the eye centres in the crop, pixels, at least a quarter of the face


class FaceSampler:
    """Batches as a pure function of (seed, step).

    Parameters
    ----------
    store : the faces
    config : sizes, jitter, rotation, batch and the shares of pseudo-labelled faces and of other mark-ups
    seed : another seed gives other batches
    """

    def __init__(self, store: FaceStore, config: Config, seed: int = 0) -> None:
        self.store, self.config, self.seed = store, config, seed
        middle = (config.size - 1) / 2
        self.upright = (store.mean - 0.5) / config.frame_scale * config.size + middle
        sizes = np.array([len(store.groups[kind]) for kind in store.others])
        self.shares = np.sqrt(sizes) / np.sqrt(sizes).sum() if len(sizes) else sizes

    def choice(self, step: int) -> list[Chosen]:
        """Return the faces of a batch: of the primary mark-up, labelled by a model, of the other mark-ups.

        Every face of the first two kinds comes once before any comes again; the others are drawn at random,
        each set in proportion to the square root of its size.
        """
        batch, store = self.config.batch, self.store
        others = round(batch * self.config.others) if store.others else 0
        pseudo = round(batch * self.config.pseudo_labelled) if store.pseudo_labelled else 0
        count = batch - others - pseudo
        pool = store.groups[store.primary]
        chosen = [Chosen(store.primary, pool[i]) for i in self._walk(len(pool), step, count, 1)]
        pool_of_model = store.pseudo_labelled
        numbers = self._walk(len(pool_of_model), step, pseudo, 4)
        chosen += [Chosen(*pool_of_model[i]) for i in sorted(numbers)]
        rng = np.random.default_rng((self.seed, 2, step))
        for number in sorted(rng.choice(len(self.shares), others, p=self.shares)) if others else ():
            kind = store.others[number]
            face = store.groups[kind][int(rng.integers(len(store.groups[kind])))]
            chosen.append(Chosen(kind, face, own_head=True))
        return chosen

    def _walk(self, total: int, step: int, count: int, stream: int) -> Iterator[int]:
        for position in range(step * count, (step + 1) * count):
            epoch, place = divmod(position, total)
            yield int(np.random.default_rng((self.seed, stream, epoch)).permutation(total)[place])

    def batch(self, step: int) -> Batch:
        """Return batch `step`: `crop` (B, 3, C, C), `frame` (B, 3, S, S), `to_frame` (B, 2, 3) and, in
        pixels of the crop, `target` (B, K, 2) and `norm` (B,).

        For each further mark-up, `own:NAME` (n, L, 2) are its points in pixels of the crop, and `rows:NAME`
        (2,) the first of its rows and the one after the last.
        """
        views: list[View] = []
        batch: Batch = {}
        for (kind, own_head), members in groupby(self.choice(step), key=lambda one: (one.kind, one.own_head)):
            start = len(views)
            for one in members:
                rng = np.random.default_rng((self.seed, 3, step, len(views)))
                donor = views[-1].crop if views else None
                views.append(self.view(kind, one.face, rng, donor))
            if own_head:
                batch[f"own:{kind.name}"] = np.stack([view.own for view in views[start:]]).astype(np.float32)
                batch[f"rows:{kind.name}"] = np.array([start, len(views)], np.float32)
        return batch | self.packed(views)

    def packed(self, views: Sequence[View]) -> Batch:
        """Return what all views of a batch have, as arrays."""
        return {
            "crop": channels_first(np.stack([view.crop for view in views])),
            "frame": channels_first(np.stack([view.frame for view in views])),
            "target": np.stack([view.target for view in views]).astype(np.float32),
            "to_frame": np.stack([view.to_frame for view in views]).astype(np.float32),
            "norm": np.array([view.norm for view in views], np.float32),
        }

    def view(
        self, kind: MarkUp, face: StoredFace, rng: np.random.Generator, donor: NDArray[np.uint8] | None
    ) -> View:
        """Return a face turned, stretched, framed with a detector's errors, mirrored and recoloured."""
        matrix = self._to_crop(face, rng)
        mirrored = self.store.markup.sides and bool(rng.random() < 0.5)
        if mirrored:
            matrix = compose(matrix, np.array([[-1.0, 0, self.config.crop_size - 1], [0, 1, 0]]))
        target, outline, own = (apply(matrix, p) for p in (face.target, face.outline, face.own))
        if mirrored:
            target, outline = (p[list(self.store.markup.mirror)] for p in (target, outline))
            own = own[list(kind.mirror)] if kind.sides else np.full_like(own, np.nan)
        crop = change_pixels(rng, self._warped(face.image, matrix, self.config.crop_size), APPEARANCE, donor)
        to_frame = compose(similarity(outline, self.upright), self._error(rng))
        frame = self._warped(crop, to_frame, self.config.size)
        return View(crop, frame, target, own, to_frame, self._norm(outline))

    def plain(self, face: StoredFace) -> View:
        """Return a face as it is, for validation."""
        matrix = self._framing(face.outline)
        crop = self._warped(face.image, matrix, self.config.crop_size)
        target, outline = apply(matrix, face.target), apply(matrix, face.outline)
        to_frame = similarity(outline, self.upright)
        frame = self._warped(crop, to_frame, self.config.size)
        return View(crop, frame, target, target, to_frame, self._norm(outline))

    def _to_crop(self, face: StoredFace, rng: np.random.Generator) -> Floats:
        """Return the map from stored to input crop: turn, stretch, a detector's box of the turned face."""
        angle = math.radians(float(np.clip(rng.normal(0, self.config.rotation), -90, 90)))
        if rng.random() < self.config.any_angle:
            angle = float(rng.uniform(-math.pi, math.pi))
        stretch, cos, sin = math.exp(rng.normal(0, 0.05)), math.cos(angle), math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])
        turn = np.column_stack([linear, np.zeros(2)])
        loose = 2.0 if rng.random() < LOOSE else 1.0
        offset, zoom = rng.normal(0, 0.05 * loose, 2), math.exp(rng.normal(0, 0.08 * loose))
        return compose(turn, self._framing(apply(turn, face.outline), offset, zoom))

    def _framing(
        self, outline: Floats, offset: Floats | tuple[float, float] = (0.0, 0.0), zoom: float = 1.0
    ) -> Floats:
        """Return the map to the crop about an outline's box, moved by `offset` boxes, enlarged by `zoom`."""
        box = Box.around(outline)
        moved = box.shifted(*(np.asarray(offset) * box.size))
        return square_matrix(moved, self.config.crop_scale / zoom, self.config.crop_size)

    def _error(self, rng: np.random.Generator) -> Floats:
        """Return a small similarity about the middle of the frame: the error of a first look."""
        spread = self.config.jitter * (2.5 if rng.random() < LOOSE else 1.0)
        angle, zoom = math.radians(rng.normal(0, 4 * spread)), math.exp(rng.normal(0, 0.045 * spread))
        shift = rng.normal(0, 0.02 * spread, 2) * self.config.size / self.config.frame_scale
        middle = np.full(2, (self.config.size - 1) / 2)
        linear = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return np.column_stack([linear, middle + shift - linear @ middle])

    def _norm(self, outline: Floats) -> float:
        size = Box.around(outline).size
        if self.store.markup.left_eye is None or self.store.markup.right_eye is None:
            return 0.4 * size
        left, right = self.store.markup.eye_centers(outline)
        return max(float(np.hypot(*(left - right))), 0.25 * size)

    @staticmethod
    def _warped(image: NDArray[np.uint8], matrix: Floats, size: int) -> NDArray[np.uint8]:
        return as_pixels(stored_warp(image, matrix, (size, size)))
