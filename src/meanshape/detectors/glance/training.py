"""Training: losses, batches, hard-negative mining, and from samples to a folder of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.core.errors import ConfigError
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.detectors.glance.compose import Composer
from meanshape.detectors.glance.config import Config
from meanshape.detectors.glance.grid import MULTIPLE, Floats, grid
from meanshape.detectors.glance.network import GlanceNet, folded
from meanshape.detectors.glance.photos import gather, people_free
from meanshape.detectors.glance.targets import IGNORED, assign
from meanshape.methods.onnx.export import export
from meanshape.training.loop import Batch, Schedule, Trainer, channels_last

MIRROR = (1, 0, 2, 4, 3)
FLOOR = 0.3
"""The score to learn where a face's box is all wrong; 1 where it is right."""
SPREAD = 0.05  # faces, from which an error of a point counts linearly
RECENT = 125  # steps back to which a mirrored picture belongs
SCALES = (1.0, 0.6, 1.5)  # of the photos without people, one after the other
FORGOTTEN = 0.8  # of a photo's difficulty, from one measurement to the next
MINED = 1000  # steps between two of them
HELD = 6  # batches that the validation figure is the loss of
FRESH = 9  # pictures of a batch, at most, that are new; the others are earlier ones, mirrored
BOX_WEIGHT = 2.0  # of the box's loss; that of the score and that of the points weigh 1
WEIGHT_DECAY = 0.02

Picture = tuple[Pixels, Floats, Floats]


class Task:
    """Batches and losses for the training loop."""

    def __init__(self, compose: Composer, held: Composer, config: Config, seed: int) -> None:
        """Keep the sources of pictures; `held` composes those that measure."""
        self.compose, self.held, self.config, self.seed = compose, held, config, seed
        cells = grid(config.side, config.side)
        self.centers = torch.tensor(cells.centers, dtype=torch.float32)
        self.units = torch.tensor(cells.units, dtype=torch.float32)[:, None]
        self._made: dict[tuple[int, int], Picture] = {}
        self._mined = 0

    def batch(self, step: int) -> Batch:
        """Return the pictures of a step: new ones, and mirror images of earlier ones."""
        fresh = min(FRESH, self.config.batch)
        new = [self._picture(step, i) for i in range(fresh)]
        rng = np.random.default_rng((self.seed, step, self.config.batch))
        for _ in range(self.config.batch - fresh):
            earlier = int(rng.integers(max(0, step - RECENT), step + 1))
            new.append(mirrored(self._picture(earlier, int(rng.integers(fresh)))))
        for key in [key for key in self._made if key[0] < step - RECENT]:
            del self._made[key]
        return self._arrays(new)

    def _picture(self, step: int, number: int) -> Picture:
        key = step, number
        if key not in self._made:
            self._made[key] = self.compose(np.random.default_rng((self.seed, *key)))
        return self._made[key]

    def _arrays(self, pictures: Sequence[Picture]) -> Batch:
        """Return pixels, which cells count (N, A), and image, cell, box and points of each positive cell."""
        rows, counts = [], []
        for number, (_, faces, ignored) in enumerate(pictures):
            owner = assign(faces[:, :4], ignored, self.config.side)
            counts.append(owner != IGNORED)
            for cell in np.flatnonzero(owner >= 0):
                rows.append([number, cell, *faces[owner[cell]]])
        return {
            "pixels": np.stack([p[0] for p in pictures]).transpose(0, 3, 1, 2).astype(np.float32),
            "counts": np.stack(counts).astype(np.float32),
            "rows": np.array(rows, np.float32).reshape(-1, 16),
        }

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the sum of the losses of scores, boxes and points, per positive cell."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            answer = module(batch["pixels"].contiguous(memory_format=torch.channels_last))
        answer, rows = answer.float().transpose(1, 2), batch["rows"]
        number, cell = rows[:, 0].long(), rows[:, 1].long()
        said, unit, count = answer[number, cell], self.units[cell], max(len(rows), 1)
        middle = self.centers[cell] + said[:, 1:3] * unit
        half = torch.exp(said[:, 3:5].clamp(-5, 5)) * unit / 2
        boxes, right = box_losses(torch.cat([middle - half, middle + half], 1), rows[:, 2:6])
        wanted = torch.zeros(answer.shape[:2])
        wanted[number, cell] = FLOOR + (1 - FLOOR) * right.detach()
        points = self.centers[cell][:, None] + said[:, 5:].reshape(-1, 5, 2) * unit[:, None]
        total = score_loss(answer[..., 0], wanted, batch["counts"]) / count
        total = total + BOX_WEIGHT * boxes.sum() / count
        return total + points_loss(points, rows[:, 2:]) / count

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return the mean loss of a fixed set of batches; also mine hard negatives."""
        self.mine(module)
        losses = []
        with torch.no_grad():
            for step in range(HELD):
                seeds = [(self.seed + 1, step, i) for i in range(self.config.batch)]
                arrays = self._arrays([self.held(np.random.default_rng(seed)) for seed in seeds])
                losses.append(float(self.loss(module, {k: torch.from_numpy(v) for k, v in arrays.items()})))
        return {"error": float(np.mean(losses))}

    def mine(self, module: nn.Module) -> None:
        """Update the difficulty of each photo without people: its highest score, at one scale per call."""
        scale, mirror = SCALES[self._mined % len(SCALES)], self._mined % 2 == 1
        self._mined += 1
        scores = np.empty(len(self.compose.empty))
        with torch.no_grad():
            for number, photo in enumerate(self.compose.empty):
                pixels = framed(photo.pixels[:, ::-1] if mirror else photo.pixels, scale)
                answer = module(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
                scores[number] = torch.sigmoid(answer[0, 0].max())
        self.compose.difficulty = np.maximum(FORGOTTEN * self.compose.difficulty, scores)


def framed(pixels: Pixels, scale: float) -> Pixels:
    """Return an image scaled and padded with grey to multiples of 32."""
    size = [max(MULTIPLE, round(length * scale)) for length in pixels.shape[1::-1]]
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    high, wide = (-(-length // MULTIPLE) * MULTIPLE for length in small.shape[:2])
    whole = np.full((high, wide, 3), 128, np.uint8)
    whole[: small.shape[0], : small.shape[1]] = small
    return whole


def box_losses(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the complete-IoU loss (N,) of boxes, and their intersection over union (N,)."""
    shared = (torch.minimum(boxes[:, 2:], wanted[:, 2:]) - torch.maximum(boxes[:, :2], wanted[:, :2])).clamp(
        min=0
    )
    sides, true = boxes[:, 2:] - boxes[:, :2], wanted[:, 2:] - wanted[:, :2]
    overlap = shared.prod(1)
    right = overlap / (sides.prod(1) + true.prod(1) - overlap)
    hull = torch.maximum(boxes[:, 2:], wanted[:, 2:]) - torch.minimum(boxes[:, :2], wanted[:, :2])
    apart = (boxes[:, :2] + boxes[:, 2:] - wanted[:, :2] - wanted[:, 2:]).square().sum(1) / 4
    form = torch.atan(true[:, 0] / true[:, 1]) - torch.atan(sides[:, 0] / sides[:, 1])
    form = 4 / np.pi**2 * form.square()
    weight = (form / (1 - right + form + 1e-6)).detach()
    return 1 - right + apart / hull.square().sum(1) + weight * form, right


def score_loss(logits: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Return the quality focal loss, summed over the cells that count."""
    off = (wanted - torch.sigmoid(logits)).square()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (entropy * off * counts).sum()


def points_loss(points: Tensor, rows: Tensor) -> Tensor:
    """Return the summed smooth L1 loss of points (N, 5, 2), in faces; rows: box and points or NaN."""
    known = torch.isfinite(rows[:, 4:]).all(1)
    size = (rows[known, 2:4] - rows[known, :2]).prod(1).sqrt()[:, None, None]
    off = (points[known] - rows[known, 4:].reshape(-1, 5, 2)) / size
    return functional.smooth_l1_loss(off, torch.zeros_like(off), beta=SPREAD, reduction="sum")


def mirrored(picture: Picture) -> Picture:
    """Return a picture's mirror image with its faces and what to ignore."""
    pixels, faces, ignored = picture
    last = pixels.shape[1] - 1
    faces, ignored = faces.copy(), ignored.copy()
    for boxes in (faces, ignored):
        boxes[:, [0, 2]] = last - boxes[:, [2, 0]]
    points = faces[:, 4:].reshape(-1, 5, 2)[:, MIRROR]
    points[..., 0] = last - points[..., 0]
    faces[:, 4:] = points.reshape(len(faces), 10)
    return pixels[:, ::-1], faces, ignored


def learn(
    config: Config,
    samples: Sequence[Sample],
    valid: Sequence[Sample] | None,
    negatives: str | Path | None,
    folder: Path | None,
    seed: int,
    progress: Callable[[float, str], None],
) -> GlanceNet:
    """Train a network on samples; with a `folder`, an interrupted training goes on from there."""
    photos = gather(samples)
    if not sum(len(photo.heads) for photo in photos):
        raise ConfigError("a face detector learns from samples with points or boxes, and none has any")
    empty = people_free(Path(negatives)) if negatives is not None else []
    compose = Composer(photos, empty, config.side)
    held = Composer(gather(valid), empty, config.side) if valid else compose
    torch.manual_seed(seed)
    net = GlanceNet(config.channels)
    channels_last(net)
    schedule = Schedule(
        steps=config.steps, batch=config.batch, rate=config.learning_rate, warmup=min(300, config.steps // 5),
        weight_decay=WEIGHT_DECAY, ema=config.average, clip=5.0, validate_steps=MINED,
    )  # fmt: skip
    Trainer(net, Task(compose, held, config, seed), schedule, folder, "glance", seed).run(progress)
    return net


def write(net: GlanceNet, path: Path) -> None:
    """Write a trained network as an ONNX file for any picture whose sides are multiples of 32."""
    export(folded(net), path, size=(64, 64), outputs=["cells"], any_size=True)
