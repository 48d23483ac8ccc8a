"""Predict with TCNN: numpy and ONNX Runtime."""

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
from meanshape.methods.tcnn.config import Config
from meanshape.training.changes import Changes
from meanshape.training.sampling import square_mean

MEAN, LOG = "mean.npy", "clusters.json"


class TCNN(SquareCropModel):
    """One trunk, and for each cluster of faces a head of its own, run as one ONNX graph."""

    name: ClassVar[str] = "tcnn"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self.log: dict[str, Any] = {}
        self._mean: NDArray[np.float64] | None = None

    @classmethod
    def tiny(cls) -> Self:
        """Return a network with four clusters for a few dozen faces."""
        changes = Changes(turn=5, light=0, grey=0, blur=0, noise=0, occluder=0, loose=0)
        return cls(
            Config(
                widths=(8, 16, 32, 32), features=64, batch=16, steps=300, rate=4e-3, warmup=10,
                looks=1, upright=0.0, ema=0.95, clusters=4,
                dimensions=8, min_faces=8, views=20, aligned=20, finish_steps=20, tweak_steps=20,
                changes=changes, tweak_changes=changes,
            )
        )  # fmt: skip

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.tcnn import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training TCNN") from error
        assert self.markup is not None
        mean = square_mean(train, self.markup)
        learnt = training.fit(
            self.config, mean, self.markup, train, valid,
            seed=seed, folder=self.run_folder, initial=self.initial, progress=progress,
        )  # fmt: skip
        self._module, self.log = learnt.module, learnt.log
        self._mean, self._session = mean, None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.tcnn import training

        assert self.markup is not None and self._mean is not None
        module = self._trained()
        np.save(folder / MEAN, self._mean)
        (folder / LOG).write_text(json.dumps(self.log) + "\n", "utf-8")
        training.save(module, folder, self.markup)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        self.log = json.loads(read_text(folder / LOG))
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Points (N, K, 2) in pixels of the crops (N, S, S, 3), and the cluster (N,) of each."""
        if self._session is not None:
            return list(self._session({"pixels": crops}))
        from meanshape.methods.tcnn import training

        return training.run(self._module, crops)

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops)[0]

    def cluster(self, image: ImageLike, box: BoxLike | None = None) -> int:
        """Return the cluster of the face in the canonical box."""
        self._fitted()
        pixels = read_image(image)
        crop, _ = self._crop(pixels, box_in(pixels, box))
        return int(self._run(crop[None])[1][0])


MODEL = TCNN
