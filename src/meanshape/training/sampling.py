"""Faces decoded and cropped once into memory; every batch is a pure function of (seed, step), so resuming
needs only the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError
from meanshape.core.geometry import apply, compose
from meanshape.core.markup import MarkUp
from meanshape.core.reflection import stored_warp
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.training.augment import Augmentation, as_pixels, change_pixels, jitter_matrix
from meanshape.training.crops import CropStore, refuse_none

Float = NDArray[np.float64]
Batch = dict[str, NDArray[np.float32]]

FACE = 112  # pixels of sqrt(width * height) of the face box in a stored crop
REACH = 2.2  # side of a stored crop in face boxes


def inter_pupil(markup: MarkUp, points: Float) -> float:
    """Distance of the eye centres; NaN where an eye is not annotated."""
    left, right = markup.eye_centers(points)
    return float(np.hypot(*(left - right)))


def loss_norm(markup: MarkUp, points: Float, face: float = FACE) -> float:
    """Inter-pupil distance in a stored crop, at least a quarter of the face: profiles would weigh without
    bound. Four tenths of it, about what it is, where a mark-up has no eyes.
    """
    if markup.left_eye is None or markup.right_eye is None:
        return 0.4 * face
    return max(inter_pupil(markup, points), 0.25 * face)


def square_mean(samples: Sequence[Sample], markup: MarkUp) -> Float:
    """Mean shape (K, 2) in the unit square about the box's centre with the box's size as side, made
    symmetric.
    """
    placed = [
        (s.shape.points - s.box.center) / s.box.size + 0.5
        for s in samples
        if s.shape is not None and s.box is not None
    ]
    mean = np.nanmean(np.stack(placed), 0)
    if not markup.sides:
        return np.asarray(mean)
    mirrored = mean[list(markup.mirror)] * (-1, 1) + (1, 0)
    return np.asarray((mean + mirrored) / 2)


LABELLED, PARTIAL, SOFT = range(3)


@dataclass(frozen=True, slots=True)
class StoredFace:
    """One face: a square crop, its points in that crop and what they are worth in the loss."""

    image: NDArray[np.uint8]
    points: Float  # (K, 2) of the target mark-up, NaN where not annotated
    partial: Float  # (L, 2) of the partial mark-up, NaN where not used
    norm: float  # inter-pupil distance in pixels of the crop
    kind: int = LABELLED


class CropBank:
    """Labels of the faces in a `CropStore` of 2.2 face boxes at 112 pixels a face.

    Parameters
    ----------
    samples
        Labelled faces. Those of the target mark-up teach all points; those of another one teach through the
        conversion of the target to it (a loss on its points), as long as all such samples share one
        mark-up. Shapes with a confidence count as self-labelled: a model placed their points.
    markup
        The target mark-up.
    face, reach
        Pixels of a face box in a stored crop, and the crop's side in face boxes.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        markup: MarkUp,
        *,
        face: int = FACE,
        reach: float = REACH,
    ):
        self.markup, self.face, self.reach = markup, face, reach
        others = {s.shape.markup for s in samples if s.shape is not None} - {markup}
        if len(others) > 1:
            names = sorted(other.name for other in others)
            raise DataSetError(f"one further mark-up beside {markup.name} can be learnt from, got {names}")
        self.partial = next(iter(others), None)
        usable = [s for s in samples if s.shape is not None and s.box is not None]
        boxes = [s.box for s in usable if s.box is not None]
        store = CropStore(usable, boxes, round(reach * face), reach)
        refuse_none(store, samples, "a picture, points and a box")
        self.broken = store.broken
        shapes = [s.shape for s in usable if s.shape is not None]
        placed = store.placed([shape.points for shape in shapes])
        self.faces = [
            self._labelled(image, shapes[number], points)
            for image, number, points in zip(store.images, store.kept, placed, strict=True)
        ]
        self.kinds = np.array([face.kind for face in self.faces])

    def __len__(self) -> int:
        return len(self.faces)

    def _labelled(self, image: NDArray[np.uint8], shape: Shape, points: Float) -> StoredFace:
        norm = loss_norm(shape.markup, points, self.face)
        if shape.markup != self.markup:
            lost = np.full((len(self.markup.points), 2), np.nan)
            return StoredFace(image, lost, points, norm, PARTIAL)
        kind = LABELLED if shape.confidence is None else SOFT
        return StoredFace(image, points, np.full((1, 2), np.nan), norm, kind)

    def crop(
        self, index: int, size: int, scale: float, jitter: Float | None = None, flip: bool = False
    ) -> tuple[NDArray[np.uint8], Float, Float, float]:
        """Crop of ``scale`` boxes on size x size pixels, moved by ``jitter`` about its centre: image, points,
        partial, norm.
        """
        face = self.faces[index]
        flip = flip and self.markup.sides  # else nobody knows what a mirror makes of the points
        side, factor = face.image.shape[0], size / (scale * self.face)
        middle = (side - 1) / 2
        matrix = np.array([[factor, 0, -factor * middle], [0, factor, -factor * middle]])
        if jitter is not None:
            matrix = compose(matrix, jitter)
        matrix = matrix + np.array([[0, 0, (size - 1) / 2], [0, 0, (size - 1) / 2]])
        if flip:
            matrix = compose(matrix, np.array([[-1.0, 0, size - 1], [0, 1, 0]]))
        image = as_pixels(stored_warp(face.image, matrix, (size, size)))
        points, partial = apply(matrix, face.points), apply(matrix, face.partial)
        if flip:
            points = points[list(self.markup.mirror)]
            if self.partial is not None and len(partial) > 1:
                partial = partial[list(self.partial.mirror)]
        return image, points, partial, face.norm * float(np.hypot(matrix[0, 0], matrix[1, 0]))


@dataclass(frozen=True, slots=True)
class CropSampler:
    """Batches of augmented crops from a bank: ``batch(step)`` is the same whenever it is asked for."""

    bank: CropBank
    size: int
    scale: float
    batch_size: int
    augmentation: Augmentation
    seed: int = 0
    partial_share: float = 0.25
    soft_share: float = 0.4

    def indices(self, step: int) -> NDArray[np.int64]:
        """Which faces make batch ``step``: without replacement within an epoch, each kind at its share."""
        pools = {kind: np.flatnonzero(self.bank.kinds == kind) for kind in (PARTIAL, SOFT, LABELLED)}
        kinds = [kind for kind, pool in pools.items() if len(pool)]
        shares = {PARTIAL: self.partial_share, SOFT: self.soft_share, LABELLED: 1.0}
        chosen, left = [], self.batch_size
        for kind in kinds:
            count = left if kind == kinds[-1] else round(self.batch_size * shares[kind])
            left -= count
            if count:
                chosen.append(self._walk(pools[kind], step, count, kind))
        return np.concatenate(chosen)

    def _walk(self, pool: NDArray[np.int64], step: int, count: int, stream: int) -> NDArray[np.int64]:
        positions = np.arange(step * count, (step + 1) * count)
        result = np.empty(count, np.int64)
        for epoch in np.unique(positions // len(pool)):
            order = np.random.default_rng((self.seed, stream, int(epoch))).permutation(pool)
            mine = positions // len(pool) == epoch
            result[mine] = order[positions[mine] % len(pool)]
        return result

    def batch(self, step: int) -> Batch:
        """image (B, 3, S, S) 0..255, points (B, K, 2), partial (B, L, 2), norm (B,)."""
        indices = self.indices(step)
        width = max((len(self.bank.faces[i].partial) for i in indices), default=1)
        images = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        points = np.empty((len(indices), len(self.bank.markup.points), 2), np.float32)
        partial = np.full((len(indices), width, 2), np.nan, np.float32)
        norm = np.empty(len(indices), np.float32)
        donor = None
        box_size = self.size / self.scale
        for row, index in enumerate(indices):
            rng = np.random.default_rng((self.seed, 3, step, row))
            jitter = jitter_matrix(rng, self.augmentation, box_size)
            flip = bool(rng.random() < self.augmentation.flip)
            image, points[row], found, norm[row] = self.bank.crop(
                int(index), self.size, self.scale, jitter, flip
            )
            partial[row, : len(found)] = found
            images[row] = change_pixels(rng, image, self.augmentation, donor)
            donor = image
        return {"image": channels_first(images), "points": points, "partial": partial, "norm": norm}

    def plain(self, start: int, count: int) -> Batch:
        """Faces start ... start + count - 1 as they are, for validation."""
        crops = [
            self.bank.crop(i, self.size, self.scale) for i in range(start, min(start + count, len(self.bank)))
        ]
        return {
            "image": channels_first(np.stack([c[0] for c in crops])),
            "points": np.stack([c[1] for c in crops]).astype(np.float32),
            "norm": np.array([c[3] for c in crops], np.float32),
        }


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 as a view: memory stays channels-last, which convolutions
    like.
    """
    return images.astype(np.float32).transpose(0, 3, 1, 2)
