"""A faster cascade before the joint stage, derived from a trained DAN and fine-tuned.

DAN's first stage only has to align the face for the second, but costs as much: a lean one takes a fifth of
the time. The second stage does without the feature image, and its first two poolings move ahead of the second
convolution of their pairs, which then costs a quarter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from meanshape.methods.base import Progress
from meanshape.methods.dan.network import DANNet, Stage
from meanshape.methods.dan.training import StageTask
from meanshape.training.loop import Schedule, Task, Trainer, channels_last, named
from meanshape.training.orthogonal import Orthogonal
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.emotional_dan.config import Config

EARLIER = 2
"""Number of the second stage's poolings that move ahead."""
FEATURES = 128
"""Width of the lean stage's fc1."""


class LeanStage(nn.Module):
    """A first stage of few strided convolutions: features (N, F) and an update (N, outputs), as `Stage`.

    The first convolution, the first of each following pair and the last have stride 2.
    """

    def __init__(self, channels: int, maps: tuple[int, ...], size: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, count in enumerate(maps):
            for stride in (2, 1) if 0 < index < len(maps) - 1 else (2,):
                conv = nn.Conv2d(channels, count, 3, stride, 1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, nn.BatchNorm2d(count), nn.ReLU()]
                channels = count
        flat = channels * (size // 2 ** len(maps)) ** 2
        self.lean = nn.Sequential(*layers, nn.Flatten())
        self.fc1 = nn.Sequential(nn.Linear(flat, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.fc2 = nn.Linear(FEATURES, outputs)
        nn.init.normal_(self.fc2.weight, std=0.01)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of fc1 and the update of fc2."""
        features = self.fc1(self.lean(image))
        return features, self.fc2(features)


def has_lean_stage(cascade: DANNet) -> bool:
    """Return whether the cascade's first stage is lean."""
    return isinstance(cascade.stages[0], LeanStage)


def use_lean_stage(cascade: DANNet, maps: tuple[int, ...]) -> None:
    """Replace the first stage by an untrained lean one, and make the later stages cheaper."""
    outputs = cast(Stage, cascade.stages[0]).fc2.out_features
    cascade.stages[0] = LeanStage(cascade.channels, maps, cascade.sizes[0], outputs)
    for stage in list(cascade.stages)[1:]:
        assert isinstance(stage, Stage)
        stage.trunk = nn.Sequential(*_halved_earlier(list(stage.trunk)))
        if cascade.use_features:
            _forget_last_input(stage.trunk)
    cascade.use_features, cascade.feature_images = False, nn.ModuleList()
    channels_last(cascade)


def _halved_earlier(layers: list[nn.Module]) -> list[nn.Module]:
    """Return layers with their first poolings moved ahead of the convolution, norm and ReLU before them."""
    pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    for pool in pools[:EARLIER]:
        layers.insert(pool - 3, layers.pop(pool))
    return layers


def _forget_last_input(trunk: nn.Sequential) -> None:
    """Remove a stage's last input channel, the feature image."""
    norm, conv = cast(nn.BatchNorm2d, trunk[0]), cast(nn.Conv2d, trunk[1])
    count = norm.num_features - 1
    trunk[0] = nn.BatchNorm2d(count)
    trunk[1] = nn.Conv2d(count, conv.out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        for name, value in norm.state_dict().items():
            trunk[0].state_dict()[name].copy_(value[:count] if value.ndim else value)
        cast(Tensor, trunk[1].weight).copy_(conv.weight[:, :count])


class LeanTask(StageTask):
    """The lean first stage's task: the points' loss without the localisation loss."""

    def _localise(self, module: DANNet, points: Tensor) -> Tensor:
        return points.new_zeros(())


class ShortTrainer(Trainer):
    """The training loop with Muon for the convolutions."""

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        schedule: Schedule,
        folder: Path | None,
        name: str,
        relative_step: float,
    ) -> None:
        super().__init__(module, task, schedule, None, name, 0)
        weights = [p for p in module.parameters() if p.requires_grad]
        convolutions, rest = [p for p in weights if p.ndim == 4], [p for p in weights if p.ndim != 4]
        mixed = Orthogonal(convolutions, rest, schedule.rate, relative_step, schedule.weight_decay)
        self.optimiser = cast(torch.optim.AdamW, mixed)
        self.folder = folder
        self._resume()


def train_lean_cascade(
    cascade: DANNet,
    sampler: CropSampler,
    valid: CropBank | None,
    config: Config,
    folder: Path | None,
    progress: Progress,
) -> None:
    """Train the lean first stage, then fine-tune the second after it."""
    relative_steps = (0.02, 0.01)
    for index, (steps, relative_step) in enumerate(zip(config.quick_steps, relative_steps, strict=True)):
        if not steps:
            continue
        batches = replace(sampler, seed=sampler.seed + index)
        task = (LeanTask, StageTask)[index](index, batches, valid, config.cascade)
        schedule = Schedule(steps=steps, rate=config.cascade.rate, warmup=100, weight_decay=0.02, ema=0.998)
        cascade.requires_grad_(False)
        cascade.stages[index].requires_grad_(True)
        name = ("lean", "second")[index]
        ShortTrainer(cascade, task, schedule, folder, name, relative_step).run(named(progress, name))
    cascade.requires_grad_(False).eval()
