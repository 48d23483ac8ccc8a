"""Initialise EmotionalDAN's training: the module, weights to start from, and teachers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meanshape.core import toml
from meanshape.core.config import from_toml
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.regular import read_text
from meanshape.core.weights import Checked, read_card
from meanshape.methods.dan import training as dan_training
from meanshape.methods.dan.network import prepared
from meanshape.methods.emotional_dan.network import EmotionalDANNet
from meanshape.methods.emotional_dan.training.cascade import use_lean_stage
from meanshape.methods.onnx.state import start_from

if TYPE_CHECKING:
    from meanshape.methods.emotional_dan.config import Config

LABELS = "labels.txt"
HEAD = {"emotion.weight", "emotion.bias"}  # of the joint stage: other labels want another


def start(
    config: Config, mean: NDArray[np.float64], labels: Sequence[str], initial: Path | None
) -> EmotionalDANNet:
    """Return the module of a configuration, initialised from a DAN or an EmotionalDAN if one is given."""
    module = EmotionalDANNet(
        dan_training.build(config.cascade, mean),
        size=config.size,
        maps=config.maps,
        features=config.features,
        labels=max(1, len(labels)),  # the graph needs an output even without labels
        dropout=config.dropout,
        reduced=config.reduced,
        residual=config.residual,
        blocks=config.blocks,
        use_heatmap=config.use_heatmap,
        equalise=config.equalise,
        mirror=config.mirror,
    )
    anything: Any = module  # torch's types forget this argument
    anything.to(memory_format=torch.channels_last)
    if initial is not None:
        whole = method_of(initial) == "emotional_dan"
        quick = _counts(initial, "quick") if whole else ()
        if quick:
            if quick != config.quick:
                raise WeightsError(f"{initial}: its cascade is another than quick = {config.quick} asks for")
            use_lean_stage(module.cascade, config.quick)
        fresh = copy.deepcopy(module.joint)
        loaded = start_from(module if whole else module.cascade, initial)
        missing = {name for name, _ in fresh.named_parameters() if f"joint.{name}" not in loaded}
        if whole and missing - HEAD:
            module.joint = fresh  # the loaded joint stage has another architecture
            module.trust.fill_(1)
        if whole and missing:
            module.temperature.fill_(1)
    return module


def method_of(folder: Path | None) -> str | None:
    """Return the method whose weights a folder holds."""
    try:
        return None if folder is None else read_card(folder).method
    except WeightsError:
        return None


def _counts(folder: Path, name: str) -> tuple[int, ...]:
    """Return a tuple setting of a run folder's configuration; empty where the folder is older than it."""
    return tuple(toml.read(Checked(folder) / "config.toml").get(name, ()))


class Teachers:
    """Teachers for knowledge distillation, which see exactly the student's augmented and mixed faces.

    Source: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent".
    """

    def __init__(self, modules: Sequence[EmotionalDANNet]) -> None:
        self.modules = [module.requires_grad_(False).eval() for module in modules]

    @classmethod
    def of(
        cls, config: Config, initial: Path | None, mean: NDArray[np.float64], labels: Sequence[str]
    ) -> Self:
        """Return the teachers that a configuration names, or else the model that training starts from."""
        folders: list[Path | None] = [Path(name) for name in config.teachers] or [initial]
        modules = []
        for folder in folders:
            if folder is None or method_of(folder) != "emotional_dan":
                raise ConfigError(
                    "taught above 0 wants an emotional_dan that teaches: --init or --set teachers= "
                    "its run folder"
                )
            files = Checked(folder)
            if tuple(read_text(files / LABELS).split()) != tuple(labels):
                raise WeightsError(f"{folder}: it tells other labels apart than {', '.join(labels)}")
            own = from_toml(type(config), read_text(files / "config.toml"), where=str(folder), written=True)
            module = start(own, mean, labels, folder)
            asked = {f"joint.{name}" for name, _ in module.joint.named_parameters()}
            if asked - start_from(module, folder):
                raise WeightsError(
                    f"{folder}: its weights are not what its config.toml says; it cannot teach"
                )
            modules.append(module)
        return cls(modules)

    def predict(self, face: Tensor, placed: Tensor) -> Tensor:
        """Return probabilities (N, L) of grey faces (N, 1, S, S) with current shapes (N, K, 2).

        Each call draws one teacher, and the faces or their mirror images, so that the student learns the
        ensemble's mean at the cost of one.
        """
        teacher = self.modules[int(torch.randint(len(self.modules), ()))]
        ratio = teacher.size / face.shape[-1]
        with torch.no_grad():
            larger = functional.interpolate(face, size=(teacher.size, teacher.size), mode="bilinear")
            seen = teacher.with_heatmap(prepared(larger), (placed + 0.5) * ratio - 0.5)
            if torch.rand(()) < 0.5:
                seen = seen.flip(3)
            return torch.softmax(teacher.joint(seen)[1].float(), -1)
