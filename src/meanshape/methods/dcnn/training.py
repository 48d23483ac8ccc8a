"""How the cascade learns: level by level, each on the errors that the levels before it make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.dcnn.network import FACES, DCNNNet, fused
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state, start_from
from meanshape.training.loop import Batch, Schedule, Trainer, named
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.dcnn.config import Config

GRAPH = "model.onnx"
FACE, REACH = 80, 2.0  # pixels of a face box in memory, and the side of what is kept, in boxes
EYES = 0.47  # of the side of the box, about the distance of the eyes: what the losses are scaled by
OUTPUTS = ("level1", "level2", "level3")
LOOKS, JITTER = 2, (0.015, 0.01)
"""Patches that levels 2 and 3 learn from at a time, the first where the level before points; the other misses
that by so much (deviation at each level, in boxes).
"""
WEIGHT_DECAY = 0.01


def build(config: Config, mean: NDArray[np.float64]) -> DCNNNet:
    """The torch module of a configuration."""
    return DCNNNet(
        torch.from_numpy(mean),
        crop_size=config.crop_size,
        crop_scale=config.crop_scale,
        channels=config.channels,
        maps=config.maps,
        hidden=config.hidden,
        patch_maps=config.patch_maps,
        patch_hidden=config.patch_hidden,
        local=config.local,
    )


class LevelTask:
    """One level: its batches, the mean loss of its networks, and the error after it."""

    def __init__(self, level: int, sampler: CropSampler, valid: CropBank | None, config: Config) -> None:
        self.level, self.sampler, self.config, self.valid = level, sampler, config, valid
        self.shape_loss = LOSSES[config.loss]

    def batch(self, step: int) -> Batch:
        """Augmented crops of batch ``step``, and how far the patches of later levels miss beside."""
        batch = self.sampler.batch(step)
        if self.level > 1:
            rng = np.random.default_rng((self.sampler.seed, 5, step))
            size = (LOOKS, len(batch["image"]), 5, 2)
            noise = rng.normal(0, JITTER[self.level - 2], size)
            noise[0] = 0  # once exactly where the levels before err
            batch["noise"] = noise.astype(np.float32)
        return batch

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Point error over the eye distance of a mean face, shaped by the loss, averaged over networks."""
        assert isinstance(module, DCNNNet)
        image, points = module.prepare(batch["image"]), batch["points"]
        if self.level == 1:
            answers = module.face_points(image)
            losses = [
                self._mean(module, answer, points[:, list(chosen)])
                for answer, (_, _, chosen) in zip(answers, FACES, strict=True)
            ]
            return torch.stack(losses).mean() + self._mean(module, fused(answers), points)
        with torch.no_grad():
            before = module(batch["image"], levels=self.level - 1)[-1]
        losses = []
        for noise in batch["noise"]:
            start = before + noise * module.side
            found = start[:, :, None] + module.point_offsets(self.level, image, start)
            losses += [self._mean(module, found[:, :, i], points) for i in (0, 1)]
            losses += [self._mean(module, found.mean(2), points)] * 2
        return torch.stack(losses).mean()

    def _mean(self, module: DCNNNet, found: Tensor, points: Tensor) -> Tensor:
        norm = torch.full((len(found),), EYES * module.side)
        distances, known = point_distances(found, points, norm)
        return masked_mean(self.shape_loss(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Error in percent of the box's side: the mean, and of each point."""
        assert isinstance(module, DCNNNet)
        bank = self.valid or self.sampler.bank
        sampler = CropSampler(
            bank, self.sampler.size, self.sampler.scale, 1, self.config.augmentation, self.sampler.seed
        )
        total = len(bank) if self.valid else min(64, len(bank))
        rows = []
        with torch.no_grad():
            for start in range(0, total, 64):
                batch = sampler.plain(start, min(64, total - start))
                shape = module(torch.from_numpy(batch["image"]), levels=self.level)[-1]
                rows.append((shape - torch.from_numpy(batch["points"])).norm(dim=-1) / module.side)
        each = 100 * torch.nanmean(torch.cat(rows), 0)
        return {"error": float(torch.nanmean(each))} | {f"point{i}": float(e) for i, e in enumerate(each)}


def fit(
    config: Config, mean: NDArray[np.float64], train: Sequence[Sample], valid: Sequence[Sample] | None, *,
    seed: int, folder: Path | None, initial: Path | None, progress: Progress,
) -> DCNNNet:  # fmt: skip
    """Train the levels in turn, each resuming from its checkpoint in ``folder`` if there is one."""
    torch.manual_seed(seed)
    module = build(config, mean)
    if initial is not None:
        start_from(module, initial)
    first = train[0].shape
    assert first is not None
    bank = CropBank(train, first.markup, face=FACE, reach=REACH)
    valid_bank = CropBank(valid, first.markup, face=FACE, reach=REACH) if valid else None
    for level in (1, 2, 3):
        schedule = schedule_of(config, level)
        if schedule is None:
            continue
        module.requires_grad_(False)
        trained: nn.Module = module.faces if level == 1 else module.levels[level - 2]
        trained.requires_grad_(True)
        sampler = CropSampler(
            bank, config.crop_size, config.crop_scale, config.batch, config.augmentation, seed + level
        )
        task = LevelTask(level, sampler, valid_bank, config)
        trainer = Trainer(module, task, schedule, folder, f"level{level}", seed)
        trainer.run(named(progress, f"level {level}"))
        if trainer.stopped:
            break
    return module.eval()


def schedule_of(config: Config, level: int) -> Schedule | None:
    """The schedule of a level; None where it gets no step."""
    steps = config.steps[level - 1]
    if not steps:
        return None
    return Schedule.of(config, steps=steps, weight_decay=WEIGHT_DECAY, validate_every=120.0)


def save(module: DCNNNet, folder: Path, markup: str) -> None:
    """The graph that users run and the torch weights that training goes on from, both in half precision."""
    size = (module.crop_size, module.crop_size)
    export(module, folder / GRAPH, size=size, outputs=OUTPUTS, metadata={"markup": markup})
    save_state(module, folder / STATE)
