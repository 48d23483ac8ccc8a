"""Predict with TCDCN: numpy and ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import BoxLike, box_in
from meanshape.core.image import ImageLike, read_image
from meanshape.core.regular import read_text
from meanshape.core.weights import Files
from meanshape.methods.shared.deep_model import DeepModel, Run, Samples
from meanshape.methods.tcdcn.config import TASKS, Config
from meanshape.training.sampling import square_mean

LOG = "tasks.json"


class TCDCN(DeepModel):
    """Points and labels of appearance from one small network, run as one ONNX graph."""

    name: ClassVar[str] = "tcdcn"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self.stops: dict[str, Any] = {}  # at which step each task stopped
        self.learnt: list[str] = []  # the tasks that training had labels for

    @property
    def tasks(self) -> dict[str, tuple[str, ...]]:
        """The labels of each task that the model learns."""
        return {task: TASKS[task] for task in self.config.tasks}

    @classmethod
    def tiny(cls) -> Self:
        """Return a network for a few dozen faces."""
        return cls(
            Config(
                widths=(8, 16, 32, 32), features=64, batch=16, steps=300, rate=4e-3, warmup=10,
                looks=1, upright=0.0, ema=0.95, refit=4,
            )
        )  # fmt: skip

    @property
    def _files(self) -> tuple[str, ...]:
        return *super()._files, LOG

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.tcdcn import training

        kind = self._fitted()
        module, stops, learnt = training.fit(
            self.config, square_mean(train, kind), kind, self.tasks, train, valid, **run
        )
        stopped = {task: stops.get(task, "never") for task in self.tasks}
        log = {"learnt": learnt, "stopped at step": stopped, "of": self.config.steps}
        (out / LOG).write_text(json.dumps(log, indent=1) + "\n", "utf-8")
        training.save(module, out, kind, self.tasks)

    def _load(self, folder: Files) -> None:
        log = json.loads(read_text(folder / LOG))
        self.learnt, self.stops = log["learnt"], log["stopped at step"]
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points (N, K, 2) in pixels of the crops, then the probabilities (N, L) of each task."""
        return self._session()({"pixels": crops})

    def attributes(self, image: ImageLike, box: BoxLike | None = None) -> dict[str, dict[str, float]]:
        """Return the probability of each label of each task that was learnt, for the face in the box.

        Labels are words of annotators for an appearance. All labels of a task count as equally frequent
        beforehand.
        """
        self._fitted()
        pixels = read_image(image)
        _, (_, *answers) = self._answers([pixels], [box_in(pixels, box)], [None])
        return {
            task: dict(zip(labels, answer[0].astype(float).tolist(), strict=True))
            for (task, labels), answer in zip(self.tasks.items(), answers, strict=True)
            if task in self.learnt
        }


MODEL = TCDCN
