"""Predict with TCDCN: numpy and ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.boxes import BoxLike, box_in
from meanshape.core.errors import MissingExtra
from meanshape.core.image import ImageLike, read_image
from meanshape.core.regular import read_text
from meanshape.core.types import Sample
from meanshape.core.weights import Files
from meanshape.methods.base import Progress
from meanshape.methods.shared.arrays import load_points
from meanshape.methods.shared.square_crop import SquareCropModel
from meanshape.methods.tcdcn.config import TASKS, Config
from meanshape.training.changes import Changes
from meanshape.training.sampling import square_mean

MEAN, LOG = "mean.npy", "tasks.json"


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
            from meanshape.methods.tcdcn import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training TCDCN") from error
        assert self.markup is not None
        mean = square_mean(train, self.markup)
        self._module, stops, self.learnt = training.fit(
            self.config, mean, self.markup, self.tasks, train, valid,
            seed=seed, folder=self.run_folder, initial=self.initial, progress=progress,
        )  # fmt: skip
        self.stops = {task: stops.get(task, "never") for task in self.tasks}
        self._mean, self._session = mean, None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.tcdcn import training

        assert self.markup is not None and self._mean is not None
        module = self._trained()
        np.save(folder / MEAN, self._mean)
        log = {"learnt": self.learnt, "stopped at step": self.stops, "of": self.config.steps}
        (folder / LOG).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
        training.save(module, folder, self.markup, self.tasks)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        log = json.loads(read_text(folder / LOG))
        self.learnt, self.stops = log["learnt"], log["stopped at step"]
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Points (N, K, 2) in pixels of the crops (N, S, S, 3), then the probabilities of each task."""
        if self._session is not None:
            return self._session({"pixels": crops})
        from meanshape.methods.tcdcn import training

        return training.run(self._module, crops)

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
