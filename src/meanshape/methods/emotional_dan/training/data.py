"""Faces with an emotion, cached as aligned grey frames, and batches that mix them with faces with points.

The cascade before the joint stage is frozen, so its shape is computed once per face. The cache holds the face
in a frame somewhat larger than the joint stage's, and the shape. That saves a quarter of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from meanshape.core.errors import WeightsError, writing
from meanshape.core.files import open_unlinked, replacing
from meanshape.core.markup import MarkUp
from meanshape.core.reflection import stored_warp
from meanshape.core.sample import Sample
from meanshape.methods.dan.network import warp as warp_frame
from meanshape.methods.emotional_dan.network import EmotionalDANNet
from meanshape.training.augment import Augmentation, as_pixels, jitter_matrix
from meanshape.training.checked import check_stored
from meanshape.training.crops import CropStore
from meanshape.training.layers import grey
from meanshape.training.sampling import Batch, CropSampler

MARGIN = 1.5  # side of a cached frame relative to the joint stage's
BATCH = 64
BLUR = (
    0.4,
    2.5,
)  # standard deviations, pixels of the joint stage's frame: up to that of a face 12 pixels wide
TRUNCATION = (-0.12, 0.06)  # how far the image's border cuts into the face's box at each side, face boxes


@dataclass(frozen=True, slots=True)
class EmotionBank:
    """Aligned faces in memory: frames (N, S, S), labels (N,), points (N, K, 2) in the joint stage's frame."""

    frames: NDArray[np.uint8]
    placed: NDArray[np.float32]
    labels: NDArray[np.int64]
    size: int
    mirror: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def augmented_face(
        self,
        index: int,
        jitter: NDArray[np.float64] | None = None,
        flip: bool = False,
        truncated: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """Return a jittered face: image (S, S), the cascade's shape (K, 2), and that shape jittered too.

        ``truncated`` are the rows and columns of the cached frame (top, bottom, left, right) that are
        replaced by reflection.
        """
        frame, placed = self.frames[index], self.placed[index]
        if any(truncated):
            side, (top, bottom, left, right) = frame.shape[0], truncated
            inner = frame[top : side - bottom, left : side - right]
            frame = as_pixels(cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REFLECT))
        middle, centre = (self.size - 1) / 2, (frame.shape[0] - 1) / 2
        moves = np.eye(2, 3) if jitter is None else jitter
        if flip:
            frame = frame[:, ::-1]
            placed = self._mirrored(placed)
        matrix = moves.copy()
        matrix[:, 2] += middle - moves[:, :2] @ (centre, centre)
        image = stored_warp(np.ascontiguousarray(frame), matrix, (self.size, self.size))
        target = (placed - middle) @ moves[:, :2].T + moves[:, 2] + middle
        return as_pixels(image), placed, target.astype(np.float32)

    def _mirrored(self, placed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return mirrored points (..., K, 2)."""
        turned = placed[..., list(self.mirror), :] * (-1, 1) + (self.size - 1, 0)
        return turned.astype(np.float32)

    def plain(
        self, start: int, count: int, flip: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return faces without augmentation, or mirrored: images (N, 1, size, size) and shapes."""
        seen = [self.augmented_face(i, flip=flip) for i in range(start, min(start + count, len(self)))]
        return np.stack([s[0] for s in seen])[:, None].astype(np.float32), np.stack([s[1] for s in seen])


def build(
    module: EmotionalDANNet,
    samples: Sequence[Sample],
    labels: Sequence[str],
    markup: MarkUp,
    cache: Path | None,
) -> EmotionBank:
    """Run the cascade over labelled faces; with a ``cache`` file, once for a run and its resumptions."""
    if cache is not None and cache.exists():
        return _read_cache(cache, module.size, markup, len(labels))
    frames, placed, numbers = [], [], []
    with ThreadPoolExecutor(1) as pool:
        parts = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
        for crops, found in pool.map(lambda part: _crops(module, part), parts):
            if not found:
                continue
            frame, points = _aligned_frames(module, crops)
            frames.append(frame)
            placed.append(points)
            numbers += [labels.index(sample.attributes["emotion"]) for sample in found]
    bank = EmotionBank(
        np.concatenate(frames), np.concatenate(placed), np.array(numbers), module.size, markup.mirror
    )
    if cache is not None:
        with writing(cache), replacing(cache) as file:  # torchrun's processes each make one
            np.savez(file, frames=bank.frames, placed=bank.placed, labels=bank.labels)
    return bank


def _read_cache(cache: Path, size: int, markup: MarkUp, labels: int) -> EmotionBank:
    """Return the bank that this run cached before."""
    try:
        with open_unlinked(cache) as file:
            check_stored(file)
            with np.load(file, allow_pickle=False) as kept:
                frames, placed, numbers = kept["frames"], kept["placed"], kept["labels"]
        count, side = frames.shape[:2]
        for array, kind, shape in (
            (frames, "u", (count, side, side)),
            (placed, "f", (count, len(markup), 2)),
            (numbers, "i", (count,)),
        ):
            if array.dtype.kind != kind or array.shape != shape:
                raise ValueError(f"arrays {frames.shape}, {placed.shape} and {numbers.shape}")
        known = count and side and ((numbers >= 0) & (numbers < labels)).all()
        if not known or not np.isfinite(placed).all() or frames.dtype != np.uint8:
            raise ValueError("values of no frames")
        return EmotionBank(frames, placed, numbers, size, markup.mirror)
    except Exception as error:  # NumPy raises what zip files, its own format and it itself raise
        raise WeightsError(f"{cache}: no frames that can be read ({error}); remove it") from error


def _crops(module: EmotionalDANNet, part: Sequence[Sample]) -> tuple[NDArray[np.uint8], list[Sample]]:
    """Return the crops, as in prediction, of the samples with a readable image, and these samples."""
    boxes = [sample.box for sample in part if sample.box is not None]
    store = CropStore(part, boxes, module.cascade.crop_size, module.cascade.crop_scale)
    found = [part[number] for number in store.kept]
    return np.stack(store.images) if found else np.empty(0, np.uint8), found


def _aligned_frames(
    module: EmotionalDANNet, crops: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return aligned frames, ``MARGIN`` times the joint stage's, and shapes in the joint stage's frame."""
    with torch.no_grad():
        image = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        shape = module.cascade(image)[-1]
        matrix, shift = module.frame(shape)
        side = 2 * round(module.size * MARGIN / 2)
        wide = warp_frame(grey(image), matrix, shift + (side - module.size) / 2, side)[:, 0]
        return wide.round().clamp(0, 255).to(torch.uint8).numpy(), (shape @ matrix + shift).numpy()


@dataclass(frozen=True, slots=True)
class JointSampler:
    """Batches of faces with points and of faces with an emotion; ``batch(step)`` is deterministic.

    The former come as crops, the latter as frames. ``augmentation`` applies to both in the joint stage's
    frame, on top of the crops' own.
    """

    points: CropSampler
    emotions: EmotionBank | None
    count: int  # of faces with an emotion in a batch
    augmentation: Augmentation
    size: int
    frame_scale: float
    classes: int
    seed: int
    truncation: float = 0.0  # share of faces with an emotion that are truncated, as by an image's border

    def batch(self, step: int) -> Batch:
        """Return image, points, norm, jitter (with points); face, placed, target, label (with an emotion)."""
        batch = dict(self.points.batch(step))
        batch["jitter"] = np.stack(
            [
                self._jitter(np.random.default_rng((self.seed, 5, step, row)))
                for row in range(len(batch["norm"]))
            ]
        ).astype(np.float32)
        if self.emotions is not None and self.count:
            batch |= self._faces(self.emotions, step)
        return batch

    def _jitter(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return jitter_matrix(rng, self.augmentation, self.size / self.frame_scale)

    def _truncation(self, rng: np.random.Generator, side: int) -> tuple[int, int, int, int]:
        """Return the rows and columns to truncate (top, bottom, left, right), mostly none."""
        if rng.random() >= self.truncation:
            return 0, 0, 0, 0
        face = self.size / self.frame_scale
        top, bottom, left, right = (
            ((side - face) / 2 + face * rng.uniform(*TRUNCATION, 4)).round().astype(int)
        )
        return int(top), int(bottom), int(left), int(right)

    def _faces(self, bank: EmotionBank, step: int) -> Batch:
        faces = np.empty((self.count, 1, self.size, self.size), np.float32)
        placed = np.empty((self.count, *bank.placed.shape[1:]), np.float32)
        target = np.empty_like(placed)
        label = np.zeros((self.count, self.classes), np.float32)
        for row, index in enumerate(self._batch_indices(len(bank), step)):
            rng = np.random.default_rng((self.seed, 6, step, row))
            flip = bool(rng.random() < self.augmentation.flip)
            jitter, truncated = self._jitter(rng), self._truncation(rng, bank.frames.shape[1])
            face, placed[row], target[row] = bank.augmented_face(int(index), jitter, flip, truncated)
            faces[row, 0] = change_grey(rng, face, self.augmentation)
            label[row, bank.labels[index]] = 1
        return {"face": faces, "placed": placed, "target": target, "label": label}

    def _batch_indices(self, total: int, step: int) -> NDArray[np.int64]:
        """Return the faces of batch ``step``: without replacement within an epoch."""
        positions = np.arange(step * self.count, (step + 1) * self.count)
        orders = {
            epoch: np.random.default_rng((self.seed, 7, int(epoch))).permutation(total)
            for epoch in np.unique(positions // total)
        }
        return np.array([orders[p // total][p % total] for p in positions])


def change_grey(
    rng: np.random.Generator, face: NDArray[np.uint8], augmentation: Augmentation
) -> NDArray[np.float32]:
    """Apply brightness, contrast, gamma, blur, noise and a flat rectangle over a part of the face."""
    image: NDArray[np.float64] = face.astype(np.float64)
    if rng.random() < augmentation.colour:
        gamma, contrast = math.exp(rng.normal(0, 0.25)), math.exp(rng.normal(0, 0.2))
        image = ((image / 255) ** gamma - 0.5) * contrast + 0.5 + rng.normal(0, 0.1)
        image = np.clip(image, 0, 1) * 255
    if rng.random() < augmentation.blur:
        sigma = math.exp(rng.uniform(*np.log(BLUR)))
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float64)
    if rng.random() < augmentation.noise:
        image = np.clip(image + rng.normal(0, rng.uniform(2, 12), image.shape), 0, 255)
    if rng.random() < augmentation.occluder:
        size = image.shape[0]
        w, h = (int(v) for v in rng.uniform(0.1, 0.4, 2) * size)
        x, y = int(rng.uniform(0, size - w)), int(rng.uniform(0, size - h))
        image[y : y + h, x : x + w] = rng.uniform(0, 255)
    return image.astype(np.float32)
