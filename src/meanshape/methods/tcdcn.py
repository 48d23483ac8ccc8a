"""TCDCN: Tasks-Constrained Deep Convolutional Network (Zhang, Luo, Loy, Tang, ECCV 2014).

What a face is like (gender, smile, glasses, where the head points) helps to say where its points are. One
small network on a grey crop of 40 x 40 pixels, four convolutions and 100 features, feeds a linear head for
the points and a logistic one for each task. The objective is

    sum_i 1/2 |y_i - f(x_i; W)|^2  -  sum_i sum_a lambda_a y_i^a log p(y_i^a | x_i; W^a)  +  |W|^2,

and each task is dropped once it has taught what it can (`nets/tcdcn_stopping.py`); the points never stop.

What differs from the paper is a value of `Config`, and `PRESETS["paper"]` has the paper's: wider maps with
batch normalisation, wing loss over the eye distance, two looks (the second at the face brought upright by the
first, by the same network), and heads that are fitted anew on the finished features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.boxes import BoxLike, box_in
from meanshape.core.errors import ConfigError, MissingExtra
from meanshape.core.image import ImageLike, read_image
from meanshape.core.regular import read_text
from meanshape.core.types import Sample
from meanshape.core.weights import Files
from meanshape.methods.base import Progress
from meanshape.methods.parts.arrays import load_points
from meanshape.methods.parts.square_crop import SquareCropModel
from meanshape.training.changes import Changes
from meanshape.training.sampling import square_mean

MEAN, LOG = "mean.npy", "tasks.json"
TASKS = {
    "gender": ("male", "female"),
    "smile": ("smiling", "not smiling"),
    "glasses": ("glasses", "no glasses"),
    "pose": ("left profile", "left", "frontal", "right", "right profile"),
}
"""The tasks and their labels, in MTFL's words and order."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a TCDCN is trained. Defaults are the shipped model's."""

    crop_size: int = 64  # side of the input crop, pixels
    crop_scale: float = 1.6  # and in face boxes: a face turned by 45 degrees stays inside
    size: int = 40  # side of what the network sees, pixels
    scale: float = 1.1  # and in face boxes
    looks: int = 2
    channels: int = 1
    widths: tuple[int, ...] = (24, 64, 96, 96)  # maps of the four convolutions
    kernels: tuple[int, ...] = (5, 3, 3, 2)  # and their sides
    features: int = 128
    activation: str = "relu"
    norm: bool = True  # batch normalisation
    tasks: tuple[str, ...] = tuple(TASKS)
    task_weight: float = 0.01  # lambda, the same for all
    stopping: bool = True  # task by task
    check_every: int = 250  # steps between two checks of the rule
    window: int = 8  # checks
    threshold: float = 1e4  # epsilon
    refit: int = 600  # batches on whose features the tasks' heads are fitted anew at the end; 0: they stay
    loss: str = "wing"
    upright: float = 0.4  # share of training faces framed as the second look frames them
    batch: int = 64
    steps: int = 8000
    rate: float = 2e-3
    constant_rate: bool = False
    weight_decay: float = 0.02
    ema: float = 0.999
    warmup: int = 300
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        """Check what would fail late."""
        if unknown := [task for task in self.tasks if task not in TASKS]:
            raise ConfigError(f"tasks are {', '.join(TASKS)}, not {unknown[0]!r}")
        if not len(self.widths) == len(self.kernels) == 4 or self.looks < 1 or self.channels not in (1, 3):
            raise ConfigError(
                f"wanted four widths and kernels, looks of 1 or more, channels 1 or 3; "
                f"got {self.widths}, {self.kernels}, {self.looks}, {self.channels}"
            )
        if self.activation not in ("relu", "abs_tanh") or self.loss not in ("point", "wing", "squared"):
            raise ConfigError(
                f"activation is relu or abs_tanh, loss point, wing or squared; "
                f"got {self.activation!r}, {self.loss!r}"
            )


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


class TCDCN(SquareCropModel):
    """Points and labels of appearance from one small network, run as one ONNX graph."""

    name: ClassVar[str] = "tcdcn"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self.stops: dict[str, Any] = {}  # at which step each task stopped
        self.learnt: list[str] = []  # the tasks that training had labels for
        self._mean: NDArray[np.float64] | None = None

    @property
    def tasks(self) -> dict[str, tuple[str, ...]]:
        """The labels of each task that the model learns."""
        return {task: TASKS[task] for task in self.config.tasks}

    @classmethod
    def tiny(cls) -> Self:
        """Return a network for a few dozen faces."""
        changes = Changes(turn=5, light=0, grey=0, blur=0, noise=0, occluder=0, loose=0)
        return cls(
            Config(
                widths=(8, 16, 32, 32), features=64, batch=16, steps=300, rate=4e-3, warmup=10,
                looks=1, upright=0.0, ema=0.95, refit=4,
                changes=changes,
            )
        )  # fmt: skip

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.nets import tcdcn_training
        except ImportError as error:
            raise MissingExtra.of("train", "Training TCDCN") from error
        assert self.markup is not None
        mean = square_mean(train, self.markup)
        self._module, stops, self.learnt = tcdcn_training.fit(
            self.config, mean, self.markup, self.tasks, train, valid,
            seed=seed, folder=self.run_folder, initial=self.initial, progress=progress,
        )  # fmt: skip
        self.stops = {task: stops.get(task, "never") for task in self.tasks}
        self._mean, self._session = mean, None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.nets import tcdcn_training

        assert self.markup is not None and self._mean is not None
        module = self._trained()
        np.save(folder / MEAN, self._mean)
        log = {"learnt": self.learnt, "stopped at step": self.stops, "of": self.config.steps}
        (folder / LOG).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
        tcdcn_training.save(module, folder, self.markup, self.tasks)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        log = json.loads(read_text(folder / LOG))
        self.learnt, self.stops = log["learnt"], log["stopped at step"]
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Points (N, K, 2) in pixels of the crops (N, S, S, 3), then the probabilities of each task."""
        if self._session is not None:
            return self._session({"pixels": crops})
        from meanshape.methods.nets import tcdcn_training

        return tcdcn_training.run(self._module, crops)

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops)[0]

    def attributes(self, image: ImageLike, box: BoxLike | None = None) -> dict[str, dict[str, float]]:
        """Return the probability of each label of each task that was learnt, for the face in the box.

        Labels are words of annotators for an appearance. All labels of a task count as equally frequent
        beforehand.
        """
        self._fitted()
        pixels = read_image(image)
        crop, _ = self._crop(pixels, box_in(pixels, box))
        answers = self._run(crop[None])[1:]
        return {
            task: dict(zip(labels, answer[0].astype(float).tolist(), strict=True))
            for (task, labels), answer in zip(self.tasks.items(), answers, strict=True)
            if task in self.learnt
        }


MODEL = TCDCN
