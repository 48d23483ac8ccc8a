"""Faces as tensors, changed by the batch: for networks so small that changing one picture at a time would
take longer than learning from it.

A face is stored as a square crop of `REACH` face boxes at `FACE` pixels a box. A batch turns, stretches and
mirrors faces, frames each as a detector would frame the turned face (the tight box of its turned outline,
moved and scaled by the detector's scatter) and samples the crop once, bilinear. A batch is a pure function
of (seed, step).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meanshape.core.errors import DataSetError, ImageError
from meanshape.core.geometry import apply
from meanshape.core.image import warp
from meanshape.core.markup import MarkUp
from meanshape.core.types import Box, Sample
from meanshape.datasets.parts.boxes import outline_from_five
from meanshape.training.sampling import inter_pupil, square_matrix

Floats = NDArray[np.float64]
Batch = dict[str, NDArray[np.float32]]

FACE, REACH = 48, 2.4
SIDE = round(FACE * REACH)
OUTLINE = 32
"""Points that stand for a face's outline."""
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Changes:
    """How faces of a batch are changed. Lengths in face boxes, angles in degrees, the rest probabilities."""

    turn: float = 18.0  # standard deviation
    shift: float = 0.03  # of the box, as a detector scatters
    scale: float = 0.035  # its logarithm
    loose: float = 0.25  # share of faces whose box scatters 2.5 times as much
    stretch: float = 0.06  # logarithm of width over height
    flip: float = 0.5
    light: float = 0.7
    grey: float = 0.15
    blur: float = 0.35
    noise: float = 0.2
    occluder: float = 0.25

    @classmethod
    def none(cls) -> Changes:
        """Return no changes at all."""
        return cls(*(0.0,) * len(cls.__dataclass_fields__))


class FaceTensors:
    """Labelled faces in memory.

    Attributes
    ----------
    images : uint8 (N, C, SIDE, SIDE)
    points : (N, K, 2) in pixels of the crop, NaN where not annotated
    outlines : (N, OUTLINE, 2), whose tight box is the canonical face box
    norms : (N,) inter-pupil distance, at least a quarter of the box
    kept : the samples that these are
    """

    def __init__(self, samples: Sequence[Sample], markup: MarkUp, channels: int = 3) -> None:
        """Decode, crop and keep the faces that have points; pictures that cannot be read are left out."""
        self.markup = markup
        usable = [s for s in samples if s.shape is not None and np.isfinite(s.shape.points).any()]
        with ThreadPoolExecutor(2) as pool:
            rows = [row for row in pool.map(lambda s: _store(s, channels), usable) if row is not None]
        if not rows:
            raise DataSetError(f"no usable face among {len(samples)} samples: each needs a picture and points")
        self.kept = [row[0] for row in rows]
        self.images = torch.from_numpy(np.stack([row[1] for row in rows]))
        self.points = np.stack([row[2] for row in rows])
        self.outlines = np.stack([row[3] for row in rows])
        ipd = np.array([inter_pupil(markup, points) for points in self.points])
        self.norms = np.maximum(np.nan_to_num(ipd), 0.25 * FACE)

    def __len__(self) -> int:
        return len(self.images)

    def crops(self, indices: NDArray[np.int64], matrices: Floats, size: int) -> Tensor:
        """Crops (B, C, size, size) in 0..255 by matrices (B, 2, 3) from stored pixels to crop pixels."""
        images = self.images[torch.from_numpy(indices)].float()
        return sample(images, torch.from_numpy(inverted(matrices)).float(), size)


def sample(images: Tensor, backward: Tensor, size: int) -> Tensor:
    """Bilinear crops of images (B, C, H, W): matrices (B, 2, 3) take crop pixels to image pixels."""
    line = torch.arange(size, dtype=images.dtype)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, size * size, 2)
    points = grid @ backward[:, :, :2].transpose(1, 2) + backward[:, None, :, 2]
    sides = points.new_tensor([images.shape[-1], images.shape[-2]])
    normed = ((2 * points + 1) / sides - 1).reshape(-1, size, size, 2)
    return functional.grid_sample(
        images, normed, mode="bilinear", padding_mode="border", align_corners=False
    )


def inverted(matrices: Floats) -> Floats:
    """The inverses of matrices (B, 2, 3)."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2)


def moved(matrices: Floats, points: Floats) -> Floats:
    """Points (B, K, 2) by one matrix (2, 3) each."""
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def _store(sample: Sample, channels: int) -> tuple[Sample, NDArray[np.uint8], Floats, Floats] | None:
    assert sample.shape is not None
    outline = outline_of(sample)
    matrix = square_matrix(Box.around(outline), REACH, SIDE)
    try:
        image = warp(sample.pixels(), matrix, (SIDE, SIDE))
    except ImageError:
        return None
    if channels == 1:
        image = np.rint(image @ np.array(GREY))[..., None].astype(np.uint8)
    stored = np.ascontiguousarray(image.transpose(2, 0, 1))
    return sample, stored, apply(matrix, sample.shape.points), apply(matrix, outline)


def outline_of(sample: Sample) -> Floats:
    """Points (OUTLINE, 2) that follow the face when it turns, and whose tight box is its box.

    Five points: jaw and brows as they let expect them. Else the ellipse in the sample's box.
    """
    assert sample.shape is not None
    points = sample.shape.points
    if sample.shape.markup.name == "mtfl5" and np.isfinite(points).all():
        outline = np.vstack([outline_from_five(points), points])
        return outline[np.linspace(0, len(outline) - 1, OUTLINE).round().astype(int)]
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


@dataclass(frozen=True, slots=True)
class TensorSampler:
    """Batches of changed faces: crops of `scale` face boxes on `size` pixels."""

    faces: FaceTensors
    size: int
    scale: float
    batch_size: int
    changes: Changes
    seed: int = 0

    def indices(self, step: int) -> NDArray[np.int64]:
        """Which faces make batch `step`: all once, in a new order, before any comes again."""
        count = len(self.faces)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        result = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(positions // count):
            mine = positions // count == epoch
            order = np.random.default_rng((self.seed, 0, int(epoch))).permutation(count)
            result[mine] = order[positions[mine] % count]
        return result

    def batch(self, step: int) -> Batch:
        """image (B, C, S, S), points (B, K, 2) in crop pixels, norm (B,), index and flip (B,)."""
        rng = np.random.default_rng((self.seed, 1, step))
        indices = self.indices(step)
        matrices, flip = self.matrices(rng, indices)
        return self.cut(rng, indices, matrices, flip)

    def matrices(self, rng: np.random.Generator, indices: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
        """Stored crop -> crop, for faces turned, stretched, framed with a detector's scatter and mirrored."""
        changes, count = self.changes, len(indices)
        turned = turns(rng, count, changes)
        matrices = composed(
            turned, frames(moved(turned, self.faces.outlines[indices]), self.scale, self.size)
        )
        spread = np.where(rng.random(count) < changes.loose, 2.5, 1.0)[:, None]
        offset = rng.normal(0, 1, (count, 2)) * spread * changes.shift * self.size / self.scale
        factor = np.exp(rng.normal(0, 1, (count, 1)) * spread * changes.scale)
        middle = (self.size - 1) / 2
        matrices[:, :, :2] *= factor[:, :, None]
        matrices[:, :, 2] = (matrices[:, :, 2] - middle) * factor + middle + offset
        flip = rng.random(count) < changes.flip
        matrices[flip, 0] *= -1
        matrices[flip, 0, 2] += self.size - 1
        return matrices, flip

    def cut(
        self, rng: np.random.Generator, indices: NDArray[np.int64], matrices: Floats, flip: NDArray[np.bool_]
    ) -> Batch:
        """The batch of these faces by these maps."""
        points = moved(matrices, self.faces.points[indices])
        points[flip] = points[flip][:, list(self.faces.markup.mirror)]
        scale = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
        image = change(rng, self.faces.crops(indices, matrices, self.size), self.changes)
        return {
            "image": image.numpy(),
            "points": points.astype(np.float32),
            "norm": (self.faces.norms[indices] * scale).astype(np.float32),
            "index": indices.astype(np.float32),
            "flip": flip.astype(np.float32),
        }

    def plain(self, start: int, count: int) -> Batch:
        """Faces start ... start + count - 1 in the frames of their outlines, unchanged."""
        indices = np.arange(start, min(start + count, len(self.faces)))
        matrices = frames(self.faces.outlines[indices], self.scale, self.size)
        points = moved(matrices, self.faces.points[indices])
        return {
            "image": self.faces.crops(indices, matrices, self.size).numpy(),
            "points": points.astype(np.float32),
            "norm": (self.faces.norms[indices] * matrices[:, 0, 0]).astype(np.float32),
            "index": indices.astype(np.float32),
            "flip": np.zeros(len(indices), np.float32),
        }


def turns(rng: np.random.Generator, count: int, changes: Changes) -> Floats:
    """Random turns and stretches (B, 2, 3) about the middle of the stored crop."""
    angle = np.radians(np.clip(rng.normal(0, 1, count) * changes.turn, -75, 75))
    wide = np.exp(np.clip(rng.normal(0, 1, count) * changes.stretch, -0.5, 0.5))
    c, s = np.cos(angle), np.sin(angle)
    linear = np.stack([np.stack([c * wide, -s / wide], 1), np.stack([s * wide, c / wide], 1)], 1)
    middle = np.full((count, 2, 1), (SIDE - 1) / 2)
    return np.concatenate([linear, middle - linear @ middle], axis=2)


def change(rng: np.random.Generator, images: Tensor, changes: Changes) -> Tensor:
    """Occluders, light, blur and noise: what leaves the points where they are."""
    if changes.occluder:
        images = _occlude(rng, images, changes.occluder)
    if changes.light:
        images = _light(rng, images, changes)
    if changes.blur:
        images = _blur(rng, images, changes.blur)
    if changes.noise:
        strength = _some(rng, len(images), changes.noise) * _column(rng.uniform(2, 12, len(images)))
        noise = rng.standard_normal((len(images), 1, *images.shape[-2:]), np.float32)
        images = images + strength * torch.from_numpy(noise)
    return images.clamp(0, 255)


def _column(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).reshape(-1, 1, 1, 1)


def _some(rng: np.random.Generator, count: int, share: float) -> Tensor:
    return _column((rng.random(count) < share).astype(np.float64))


def _light(rng: np.random.Generator, images: Tensor, changes: Changes) -> Tensor:
    """Gamma, contrast, brightness, a cast; grey at times."""
    count, channels = images.shape[:2]
    on = _some(rng, count, changes.light)
    gamma = torch.exp(on * _column(rng.normal(0, 0.25, count)))
    contrast = torch.exp(on * _column(rng.normal(0, 0.25, count)))
    brightness = on * _column(rng.normal(0, 0.1, count))
    images = ((images / 255).clamp(1e-3, 1) ** gamma - 0.5) * contrast + 0.5 + brightness
    if channels == 3:
        cast = np.exp(rng.normal(0, 0.08, (count, 3, 1, 1))).astype(np.float32)
        images = images * torch.where(on > 0, torch.from_numpy(cast), 1.0)
        grey = (images * torch.tensor(GREY).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        images = torch.where(_some(rng, count, changes.grey) > 0, grey, images)
    return images * 255


def _blur(rng: np.random.Generator, images: Tensor, share: float) -> Tensor:
    """Gaussian blur of 0.4 to 1.8 pixels on a share of the images."""
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    if not len(chosen):
        return images
    sigma = rng.uniform(0.4, 1.8, len(chosen))[:, None]
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    weight = torch.from_numpy((kernel / kernel.sum(1, keepdims=True)).astype(np.float32))
    part = images[torch.from_numpy(chosen)]
    channels = part.shape[1]
    flat = functional.pad(part, (3, 3, 3, 3), mode="reflect").flatten(0, 1)[None]
    weight = weight.repeat_interleave(channels, 0)
    groups = len(weight)
    flat = functional.conv2d(flat, weight[:, None, None, :], groups=groups)
    flat = functional.conv2d(flat, weight[:, None, :, None], groups=groups)
    images = images.clone()
    images[torch.from_numpy(chosen)] = flat[0].reshape(part.shape)
    return images


def _occlude(rng: np.random.Generator, images: Tensor, share: float) -> Tensor:
    """Cover a rectangle or an ellipse with one colour or with a part of the next face."""
    count, channels, size = images.shape[:3]
    half = rng.uniform(0.06, 0.24, (count, 2)) * size
    centre = rng.uniform(0, size, (count, 2))
    line = np.arange(size)
    x = np.abs(line[None] - centre[:, :1]) / half[:, :1]
    y = np.abs(line[None] - centre[:, 1:]) / half[:, 1:]
    box = (x[:, None, :] <= 1) & (y[:, :, None] <= 1)
    ellipse = x[:, None, :] ** 2 + y[:, :, None] ** 2 <= 1
    round_ones = (rng.random(count) < 0.5)[:, None, None]
    mask = np.where(round_ones, ellipse, box) & (rng.random(count) < share)[:, None, None]
    colour = torch.from_numpy(rng.uniform(0, 255, (count, channels, 1, 1)).astype(np.float32))
    cover = torch.where(_some(rng, count, 0.5) > 0, images.roll(1, 0), colour)
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
