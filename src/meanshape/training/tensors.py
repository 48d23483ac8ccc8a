"""Faces as tensors, changed by the batch: for networks so small that changing one picture at a time would
take longer than learning from it.

A face is stored as a square crop of `REACH` face boxes at `FACE` pixels a box. A batch turns, stretches and
mirrors faces, frames each as a detector would frame the turned face (the tight box of its turned outline,
moved and scaled by the detector's scatter) and samples the crop once, bilinear. A batch is a pure function
of (seed, step).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError
from meanshape.core.face_box import full
from meanshape.core.geometry import Matrix
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.datasets.parts.boxes import outline_from_five
from meanshape.training.crops import CropStore, coloured, refuse_none
from meanshape.training.sampling import inter_pupil
from meanshape.training.tensor_augmentation import TensorAugmentation

Floats = NDArray[np.float64]
Batch = dict[str, NDArray[np.float32]]

FACE, REACH = 48, 2.4
SIDE = round(FACE * REACH)
OUTLINE = 32
"""Points that stand for a face's outline."""
CONTOUR = (*range(27), 30, 33, 48, 54, 57)
"""Those of the 68: jaw, brows, and some that a tilted head may bring to the border."""
GREY = (0.299, 0.587, 0.114)


class FaceTensors:
    """Labels of the faces in a `CropStore`.

    Attributes
    ----------
    images : N crops, uint8 (SIDE, SIDE, C)
    points : (N, K, 2) in pixels of the crop, NaN where not annotated
    outlines : (N, OUTLINE, 2), whose tight box is the canonical face box
    norms : (N,) inter-pupil distance, at least a quarter of the box
    kept : the samples that these are
    """

    def __init__(self, samples: Sequence[Sample], markup: MarkUp, channels: int = 3) -> None:
        """Decode, crop and keep the faces that have points; pictures that cannot be read are left out."""
        self.markup = markup
        usable = [s for s in samples if s.shape is not None and np.isfinite(s.shape.points).any()]
        outlines = [outline_of(sample) for sample in usable]
        boxes = [Box.around(outline) for outline in outlines]
        store = CropStore(usable, boxes, SIDE, REACH, partial(_cut, channels=channels))
        refuse_none(store, samples, "a picture and points")
        self.kept = [usable[number] for number in store.kept]
        self.images = store.images
        self.points = np.stack(store.placed([s.shape.points for s in usable if s.shape is not None]))
        self.outlines = np.stack(store.placed(outlines))
        ipd = np.array([inter_pupil(markup, points) for points in self.points])
        self.norms = np.maximum(np.nan_to_num(ipd), 0.25 * FACE)

    def __len__(self) -> int:
        return len(self.images)

    def crops(self, indices: NDArray[np.int64], matrices: Floats, size: int) -> Tensor:
        """Crops (B, C, size, size) in 0..255 by matrices (B, 2, 3) from stored pixels to crop pixels."""
        backward = inverted(matrices)
        result = np.empty((len(indices), size, size, self.images[0].shape[2]), np.uint8)
        for row, index in enumerate(indices):
            cv2.warpAffine(
                self.images[index],
                backward[row],
                (size, size),
                dst=result[row],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return torch.from_numpy(result).permute(0, 3, 1, 2).float()


def inverted(matrices: Floats) -> Floats:
    """The inverses of matrices (B, 2, 3)."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2)


def moved(matrices: Floats, points: Floats) -> Floats:
    """Points (B, K, 2) by one matrix (2, 3) each."""
    return np.asarray(points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2])


def _cut(pixels: NDArray[np.uint8], matrix: Matrix, side: int, *, channels: int) -> NDArray[np.uint8]:
    """Return a crop (side, side, 3), or (side, side, 1) in grey."""
    image = coloured(pixels, matrix, side)
    if channels == 1:
        image = np.rint(image @ np.array(GREY))[..., None].astype(np.uint8)
    return np.ascontiguousarray(image)


def outline_of(sample: Sample) -> Floats:
    """Points (OUTLINE, 2) that follow the face when it turns, and whose tight box is its box.

    68 points: jaw and brows; five: jaw and brows as they let expect them; else the ellipse in its box.
    """
    assert sample.shape is not None
    points = sample.shape.points
    if sample.shape.markup.name == "mtfl5" and np.isfinite(points).all():
        outline = np.vstack([outline_from_five(points), points])
        rows = np.linspace(0, len(outline) - 1, OUTLINE).round().astype(int)
        return np.asarray(outline[rows])
    whole = full(sample.shape)
    if whole is not None and np.isfinite(whole.points).all():
        return whole.points[list(CONTOUR)]
    box = sample.box or sample.shape.box()
    angle = np.arange(OUTLINE) * (2 * np.pi / OUTLINE)
    half = np.array([box.width, box.height]) / 2
    return np.asarray(np.array(box.center) + half * np.stack([np.cos(angle), np.sin(angle)], 1))


def frames(outlines: Floats, scale: float, size: int) -> Floats:
    """Matrices (B, 2, 3): the square of `scale` box sizes about the tight box of each outline, on size x
    size pixels.
    """
    low, high = outlines.min(1), outlines.max(1)
    factor = size / (scale * np.sqrt((high - low).prod(1)))
    matrices = np.zeros((len(outlines), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = factor
    matrices[:, :, 2] = (size - 1) / 2 - factor[:, None] * (low + high) / 2
    return matrices


def composed(first: Floats, then: Floats) -> Floats:
    """Matrices (B, 2, 3) that do one thing and then the other."""
    linear = then[:, :, :2] @ first[:, :, :2]
    return np.concatenate([linear, then[:, :, :2] @ first[:, :, 2:] + then[:, :, 2:]], axis=2)


def similarities(source: Floats, target: Floats) -> Floats:
    """The least-squares similarities (B, 2, 3) that take shapes (B, K, 2) to a shape (K, 2) or (B, K, 2)."""
    middle, goal = source.mean(1), target.mean(-2)
    first = (source - middle[:, None]) @ (1, 1j)
    second = (target - goal[..., None, :]) @ (1, 1j)
    factor = (first.conj() * second).sum(1) / np.maximum((np.abs(first) ** 2).sum(1), 1e-9)
    linear = np.stack([factor.real, -factor.imag, factor.imag, factor.real], 1).reshape(-1, 2, 2)
    shift = goal.reshape(-1, 2, 1) - linear @ middle[:, :, None]
    return np.concatenate([linear, shift], axis=2)


@dataclass(frozen=True, slots=True)
class TensorSampler:
    """Augmented batches: crops of `scale` face boxes, resized to `size` pixels."""

    faces: FaceTensors
    size: int
    scale: float
    batch_size: int
    augmentation: TensorAugmentation
    seed: int = 0
    upright: float = 0.0  # share of faces aligned by their points, as in a second pass
    mean: Floats | None = None  # mean shape (K, 2) in the unit square around the box, to align with
    excluded: NDArray[np.bool_] | None = None  # faces (N,) that are left out

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return the faces (B,) of batch `step`: each epoch is a new permutation of all faces."""
        pool = np.arange(len(self.faces)) if self.excluded is None else np.flatnonzero(~self.excluded)
        count = len(pool)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        result = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(positions // count):
            mine = positions // count == epoch
            order = np.random.default_rng((self.seed, 0, int(epoch))).permutation(pool)
            result[mine] = order[positions[mine] % count]
        return result

    def batch(self, step: int) -> Batch:
        """Return image (B, C, S, S), points (B, K, 2) in crop pixels, norm, index and flip (B,)."""
        rng = np.random.default_rng((self.seed, 1, step))
        indices = self.indices(step)
        matrices, flip = self.matrices(rng, indices)
        return self.cut(rng, indices, matrices, flip)

    def matrices(
        self, rng: np.random.Generator, indices: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return maps (B, 2, 3) from stored crops to augmented crops, and which are mirrored (B,)."""
        augmentation, count = self.augmentation, len(indices)
        turned = random_affine(rng, count, augmentation)
        matrices = composed(
            turned, frames(moved(turned, self.faces.outlines[indices]), self.scale, self.size)
        )
        spread = np.where(rng.random(count) < augmentation.outliers, 2.5, 1.0)[:, None]
        offset = rng.normal(0, 1, (count, 2)) * spread * augmentation.shift * self.size / self.scale
        factor = np.exp(rng.normal(0, 1, (count, 1)) * spread * augmentation.scale)
        middle = (self.size - 1) / 2
        if self.upright and self.mean is not None:
            self._align(rng, indices, turned, matrices)
        matrices[:, :, :2] *= factor[:, :, None]
        matrices[:, :, 2] = (matrices[:, :, 2] - middle) * factor + middle + offset
        flip = rng.random(count) < augmentation.flip
        matrices[flip, 0] *= -1
        matrices[flip, 0, 2] += self.size - 1
        return matrices, flip

    def _align(
        self, rng: np.random.Generator, indices: NDArray[np.int64], turned: Floats, matrices: Floats
    ) -> None:
        """Replace some matrices, in place, by the similarity from noisy points to the mean shape."""
        assert self.mean is not None
        points = moved(turned, self.faces.points[indices])
        chosen = (rng.random(len(points)) < self.upright) & np.isfinite(points).all((1, 2))
        points = points[chosen]
        points += rng.normal(0, 0.02 * FACE, (len(points), 1, 2)) + rng.normal(0, 0.015 * FACE, points.shape)
        target = (self.mean - 0.5) / self.scale * self.size + (self.size - 1) / 2
        matrices[chosen] = composed(turned[chosen], similarities(points, target))

    def cut(
        self, rng: np.random.Generator, indices: NDArray[np.int64], matrices: Floats, flip: NDArray[np.bool_]
    ) -> Batch:
        """Return the batch of faces `indices` (B,) under maps (B, 2, 3), mirrored where `flip` (B,)."""
        points = moved(matrices, self.faces.points[indices])
        points[flip] = points[flip][:, list(self.faces.markup.mirror)]
        scale = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
        image = augment(rng, self.faces.crops(indices, matrices, self.size), self.augmentation)
        return {
            "image": image.numpy(),
            "points": points.astype(np.float32),
            "norm": (self.faces.norms[indices] * scale).astype(np.float32),
            "index": indices.astype(np.float32),
            "flip": flip.astype(np.float32),
        }

    def plain(self, indices: NDArray[np.int64]) -> Batch:
        """Return faces in their boxes, without augmentation."""
        matrices = frames(self.faces.outlines[indices], self.scale, self.size)
        points = moved(matrices, self.faces.points[indices])
        return {
            "image": self.faces.crops(indices, matrices, self.size).numpy(),
            "points": points.astype(np.float32),
            "norm": (self.faces.norms[indices] * matrices[:, 0, 0]).astype(np.float32),
            "index": indices.astype(np.float32),
            "flip": np.zeros(len(indices), np.float32),
        }


def random_affine(rng: np.random.Generator, count: int, augmentation: TensorAugmentation) -> Floats:
    """Return random rotations and stretches (B, 2, 3) about the middle of the stored crop."""
    angle = np.radians(np.clip(rng.normal(0, 1, count) * augmentation.rotation, -75, 75))
    wide = np.exp(np.clip(rng.normal(0, 1, count) * augmentation.stretch, -0.5, 0.5))
    c, s = np.cos(angle), np.sin(angle)
    linear = np.stack([np.stack([c * wide, -s / wide], 1), np.stack([s * wide, c / wide], 1)], 1)
    middle = np.full((count, 2, 1), (SIDE - 1) / 2)
    return np.concatenate([linear, middle - linear @ middle], axis=2)


def augment(rng: np.random.Generator, images: Tensor, augmentation: TensorAugmentation) -> Tensor:
    """Apply occluders, colour, grey, blur and noise; the images are overwritten."""
    steps = (
        (_occluded, augmentation.occluder),
        (_lit, augmentation.colour),
        (_greyed, augmentation.grey if images.shape[1] == 3 else 0.0),
        (_blurred, augmentation.blur),
        (_noisy, augmentation.noise),
    )
    for step, share in steps:
        chosen = torch.from_numpy(np.flatnonzero(rng.random(len(images)) < share))
        if len(chosen):
            images[chosen] = step(rng, images[chosen])
    return images.clamp_(0, 255)


def _column(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).reshape(-1, 1, 1, 1)


def _noisy(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Add the same Gaussian noise to all channels, with a standard deviation of 2 to 12."""
    noise = rng.standard_normal((len(images), 1, *images.shape[-2:]), np.float32)
    return images + _column(rng.uniform(2, 12, len(images))) * torch.from_numpy(noise)


def _greyed(rng: np.random.Generator, images: Tensor) -> Tensor:
    return (images * torch.tensor(GREY).reshape(1, 3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def _lit(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Gamma, contrast, brightness, a cast."""
    count, channels = images.shape[:2]
    gamma, contrast = (_column(np.exp(rng.normal(0, 0.25, count))) for _ in range(2))
    brightness = _column(rng.normal(0, 0.1, count))
    images = ((images / 255).clamp(1e-3, 1) ** gamma - 0.5) * contrast + 0.5 + brightness
    if channels == 3:
        cast = np.exp(rng.normal(0, 0.08, (count, 3, 1, 1))).astype(np.float32)
        images = images * torch.from_numpy(cast)
    return images * 255


def _blurred(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Gaussian blur of 0.4 to 1.6 pixels."""
    sigma = rng.uniform(0.4, 1.6, len(images))[:, None]
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    weight = torch.from_numpy((kernel / kernel.sum(1, keepdims=True)).astype(np.float32))
    weight = weight.repeat_interleave(images.shape[1], 0)[:, None]
    groups = len(weight)
    flat = functional.pad(images, (3, 3, 3, 3), mode="reflect").contiguous().flatten(0, 1)[None]
    flat = functional.conv2d(flat, weight[:, :, None, :], groups=groups)
    flat = functional.conv2d(flat, weight[:, :, :, None], groups=groups)
    return flat[0].reshape(images.shape)


def _occluded(rng: np.random.Generator, images: Tensor) -> Tensor:
    """A rectangle or an ellipse covered with one colour or with a part of the next face."""
    count, channels, size = images.shape[:3]
    half = rng.uniform(0.06, 0.24, (count, 2)) * size
    centre = rng.uniform(0, size, (count, 2))
    line = np.arange(size)
    x = np.abs(line[None] - centre[:, :1]) / half[:, :1]
    y = np.abs(line[None] - centre[:, 1:]) / half[:, 1:]
    box = (x[:, None, :] <= 1) & (y[:, :, None] <= 1)
    ellipse = x[:, None, :] ** 2 + y[:, :, None] ** 2 <= 1
    mask = np.where((rng.random(count) < 0.5)[:, None, None], ellipse, box)
    colour = torch.from_numpy(rng.uniform(0, 255, (count, channels, 1, 1)).astype(np.float32))
    cover = torch.where(_column(rng.random(count)) < 0.5, images.roll(1, 0), colour)
    return torch.where(torch.from_numpy(mask)[:, None], cover, images)


def labels_of(faces: FaceTensors, tasks: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    """The class of each face in each task (N, T), -1 where it has none; an unknown label is an error."""
    table = np.full((len(faces), len(tasks)), -1, np.int64)
    for column, (task, names) in enumerate(tasks.items()):
        for row, face in enumerate(faces.kept):
            label = face.attributes.get(task)
            if label is None:
                continue
            if label not in names:
                raise DataSetError(f"{face.id}: {task} is {label!r}, wanted one of {', '.join(names)}")
            table[row, column] = names.index(label)
    return table
