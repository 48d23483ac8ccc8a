"""Predict with TCNN: numpy and ONNX Runtime."""

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
from meanshape.methods.tcnn.config import Config
from meanshape.training.sampling import square_mean

LOG = "clusters.json"


class TCNN(DeepModel):
    """One trunk, and for each cluster of faces a head of its own, run as one ONNX graph."""

    name: ClassVar[str] = "tcnn"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self.log: dict[str, Any] = {}

    @classmethod
    def tiny(cls) -> Self:
        """Return a network with four clusters for a few dozen faces."""
        return cls(
            Config(
                widths=(8, 16, 32, 32), features=64, batch=16, steps=300, rate=4e-3, warmup=10,
                looks=1, upright=0.0, ema=0.95, clusters=4,
                min_faces=8, views=20, aligned=20, tweak_steps=20,
            )
        )  # fmt: skip

    @property
    def _files(self) -> tuple[str, ...]:
        return *super()._files, LOG

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.tcnn import training

        kind = self._fitted()
        learnt = training.fit(self.config, square_mean(train, kind), kind, train, valid, **run)
        (out / LOG).write_text(json.dumps(learnt.log) + "\n", "utf-8")
        training.save(learnt.module, out, kind)

    def _load(self, folder: Files) -> None:
        self.log = json.loads(read_text(folder / LOG))
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[Any]]:
        """Points (N, K, 2) in pixels of the crops, and the cluster (N,) of each."""
        return list(self._session()({"pixels": crops}))

    def cluster(self, image: ImageLike, box: BoxLike | None = None) -> int:
        """Return the cluster of the face in the canonical box."""
        self._fitted()
        pixels = read_image(image)
        _, (_, clusters) = self._answers([pixels], [box_in(pixels, box)], [None])
        return int(clusters[0])


MODEL = TCNN
