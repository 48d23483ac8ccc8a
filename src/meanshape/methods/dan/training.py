"""How DAN learns: stage by stage, the earlier ones frozen (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.dan.network import DANNet, Stage
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state, start_from
from meanshape.training.loop import Batch, Schedule, Trainer, channels_last, named
from meanshape.training.losses import LOSSES, localisation_loss, masked_mean, point_distances
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.dan.config import Config

GRAPH = "model.onnx"
PARTIAL_WEIGHT = 0.5
"""Of the loss on samples of another mark-up."""


def build(config: Config, mean: NDArray[np.float64]) -> DANNet:
    """The torch module of a configuration."""
    module = DANNet(
        torch.from_numpy(mean),
        crop_size=config.crop_size,
        crop_scale=config.crop_scale,
        sizes=config.sizes,
        widths=config.widths,
        frame_scale=config.frame_scale,
        channels=config.channels,
        features=config.features,
        dropout=config.dropout,
        heatmap_stride=config.heatmap_stride,
        use_heatmap=config.use_heatmap,
        use_features=config.use_features,
    )
    for stage in module.stages:
        cast(Stage, stage).bf16 = config.bf16
    channels_last(module)
    return module


class StageTask:
    """Stage ``index`` of the cascade: its batches, its loss, and its error on the validation faces."""

    def __init__(self, index: int, sampler: CropSampler, valid: CropBank | None, config: Config) -> None:
        self.index, self.sampler, self.config = index, sampler, config
        self.valid = sampler if valid is None else replace(sampler, bank=valid)
        self.shape_loss = LOSSES[config.loss]
        self.observe: Tensor | None = None  # (L, K): what a sample of the other mark-up shows of a shape
        if sampler.bank.partial is not None:
            markup = sampler.bank.markup
            weights = markup.conversion(sampler.bank.partial).weights(len(markup))
            self.observe = torch.tensor(weights, dtype=torch.float32)  # copied: they are not writable

    def batch(self, step: int) -> Batch:
        """Augmented crops of batch ``step``."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Point error over inter-pupil distance, after the inverse transform, shaped by the loss."""
        assert isinstance(module, DANNet)
        for stage in module.stages[: self.index]:
            stage.eval()
        shape = module(batch["image"], stages=self.index + 1)[-1]
        loss = self._mean(shape, batch["points"], batch["norm"])
        share = self.sampler.partial_share
        if self.observe is not None and share:
            seen = torch.einsum("lk,nkd->nld", self.observe, shape)
            partial = self._mean(seen, batch["partial"], batch["norm"])
            loss = (1 - share) * loss + share * PARTIAL_WEIGHT * partial
        located = self._localise(module, batch["points"])
        return loss + self.config.localisation * located if self.config.localisation else loss

    def _localise(self, module: DANNet, points: Tensor) -> Tensor:
        stage = module.stages[self.index]
        assert isinstance(stage, Stage) and stage.located is not None
        (matrix, shift), located = module.frame, stage.located
        stage.located = None  # a module that holds results cannot be copied
        return localisation_loss(located, points @ matrix + shift, module.sizes[self.index])

    def _mean(self, shape: Tensor, target: Tensor, norm: Tensor) -> Tensor:
        distances, known = point_distances(shape, target, norm)
        return masked_mean(self.shape_loss(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """NME over inter-pupil distance in percent (on some training faces where there are no validation
        faces).
        """
        assert isinstance(module, DANNet)
        total = len(self.valid.bank) if self.valid is not self.sampler else min(64, len(self.sampler.bank))
        errors = []
        with torch.no_grad():
            for start in range(0, total, 50):
                batch = self.valid.plain(start, min(50, total - start))
                shape = module(torch.from_numpy(batch["image"]), stages=self.index + 1)[-1]
                distances, known = point_distances(
                    shape, torch.from_numpy(batch["points"]), torch.from_numpy(batch["norm"])
                )
                errors.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
        return {"error": 100 * float(torch.cat(errors).mean())}


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None, progress:
    Progress,
) -> DANNet:  # fmt: skip
    """Train the stages in turn, each resuming from its checkpoint in ``folder`` if there is one."""
    torch.manual_seed(seed)
    module = build(config, mean)
    loaded: set[str] = set()
    if initial is not None:
        loaded = start_from(module, initial)
    bank = CropBank(train, markup)
    valid_bank = CropBank(valid, markup) if valid else None
    for index in range(len(config.sizes)):
        schedule = stage_schedule(config, index)
        if schedule is None:
            continue
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        stage = module.stages[index].requires_grad_(True)
        if index and f"stages.{index}.fc2.weight" not in loaded:
            assert isinstance(stage, Stage)
            stage.start_from(cast(Stage, module.stages[index - 1]))
        if index and config.use_features:
            module.feature_images[index - 1].requires_grad_(True)
        share = (
            config.partial_share[min(index, len(config.partial_share) - 1)] if config.partial_share else 0.0
        )
        sampler = CropSampler(
            bank,
            config.crop_size,
            config.crop_scale,
            config.batch,
            config.augmentation,
            seed + index,
            share,
            config.soft_share,
        )
        name = f"stage{index + 1}"
        trainer = Trainer(module, StageTask(index, sampler, valid_bank, config), schedule, folder, name, seed)
        trainer.run(named(progress, name))
        if trainer.stopped:
            break
    return module.eval()


def stage_schedule(config: Config, index: int) -> Schedule | None:
    """The schedule of a stage; None where it gets no time."""
    minutes = config.minutes[index] if index < len(config.minutes) and not config.steps else 0.0
    steps = config.steps[index] if index < len(config.steps) else 0
    if not minutes and not steps:
        return None
    return Schedule.of(
        config,
        constant=config.constant_rate,
        minutes=minutes or None,
        steps=steps or None,
        patience=config.patience,
    )


class FirstStages(nn.Module):
    """The first stages of a cascade."""

    def __init__(self, module: DANNet, count: int) -> None:
        super().__init__()
        self.module, self.count = module, count

    def forward(self, image: Tensor) -> list[Tensor]:
        """Their shapes."""
        shapes: list[Tensor] = self.module(image, stages=self.count)
        return shapes


def save(module: DANNet, folder: Path, markup: MarkUp) -> None:
    """The graph that users run and the torch weights that training goes on from, both in half precision."""
    stages = [f"stage{i + 1}" for i in range(len(module.sizes))]
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.crop_scale),
    }
    size = (module.crop_size, module.crop_size)
    export(module, folder / GRAPH, size=size, outputs=stages, metadata=metadata)
    for index in range(1, len(stages)):  # a graph of its own: ONNX Runtime would compute every stage
        first = FirstStages(module, index)
        export(
            first, folder / f"{stages[index - 1]}.onnx", size=size, outputs=stages[:index], metadata=metadata
        )
    save_state(module, folder / STATE)
