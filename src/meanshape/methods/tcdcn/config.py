"""Settings and presets of TCDCN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.training.tensor_augmentation import TensorAugmentation

TASKS = {
    "gender": ("male", "female"),
    "smile": ("smiling", "not smiling"),
    "glasses": ("glasses", "no glasses"),
    "pose": ("left profile", "left", "frontal", "right", "right profile"),
}
"""The tasks and their labels, in MTFL's words and order."""
CROP_SCALE = 1.6
"""Side of the input crop in face boxes: a face turned by 45 degrees stays inside."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a TCDCN. Defaults are the shipped model's."""

    crop_size: int = 64  # side of the input crop, pixels
    size: int = 40  # side of the network's crop, pixels
    looks: int = 2  # passes: on the box's crop, then on crops aligned with the points found
    widths: tuple[int, ...] = (24, 64, 96, 96)  # channels of the four convolutions
    kernels: tuple[int, ...] = (5, 3, 3, 2)  # kernel sizes of the four convolutions
    features: int = 128
    activation: str = "relu"
    norm: bool = True  # batch normalisation
    tasks: tuple[str, ...] = tuple(TASKS)
    # training
    stopping: bool = True  # task-wise early stopping
    check_every: int = 250  # steps between two checks of the stopping rule
    window: int = 8  # checks in the stopping rule's window
    threshold: float = 1e4  # epsilon of the stopping rule
    refit: int = 600  # batches that the tasks' heads are refitted on at the end; 0: no refit
    loss: str = "wing"
    upright: float = 0.4  # share of training faces in aligned crops, as in the second pass
    batch: int = 64
    steps: int = 8000
    rate: float = 2e-3
    ema: float = 0.999
    warmup: int = 300

    structure: ClassVar[tuple[str, ...]] = (
        "crop_size",
        "size",
        "looks",
        "widths",
        "kernels",
        "features",
        "activation",
        "norm",
        "tasks",
    )
    built_in: ClassVar[Mapping[str, Any]] = {
        "crop_scale": CROP_SCALE,
        "scale": 1.1,
        "channels": 1,
        "task_weight": 0.01,
        "constant_rate": False,
        "weight_decay": 0.02,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"changes": TensorAugmentation().stored()}

    def __post_init__(self) -> None:
        """Check what would fail late."""
        if unknown := [task for task in self.tasks if task not in TASKS]:
            raise ConfigError(f"tasks are {', '.join(TASKS)}, not {unknown[0]!r}")
        if not len(self.widths) == len(self.kernels) == 4 or self.looks < 1:
            raise ConfigError(
                f"wanted four widths and kernels, looks of 1 or more; "
                f"got {self.widths}, {self.kernels}, {self.looks}"
            )
        if self.activation not in ("relu", "abs_tanh") or self.loss not in ("point", "wing", "squared"):
            raise ConfigError(
                f"activation is relu or abs_tanh, loss point, wing or squared; "
                f"got {self.activation!r}, {self.loss!r}"
            )

    @property
    def crop_scale(self) -> float:
        """Side of the input crop, face boxes."""
        return CROP_SCALE


PAPER = Config(
    looks=1,
    upright=0.0,
    widths=(16, 48, 64, 64),
    features=100,
    activation="abs_tanh",
    norm=False,
    loss="squared",
    refit=0,
    rate=1e-3,
)


POINTS68 = Config(
    size=60, crop_size=96, widths=(20, 48, 64, 80), kernels=(5, 5, 3, 3), features=512, batch=32, steps=4000
)  # fmt: skip
"""The network of the later version (TPAMI 2016), for 68 points: first with MTFL's tasks, then on 300-W."""


PRESETS = {"paper": PAPER, "points68": POINTS68}
