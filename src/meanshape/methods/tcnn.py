"""TCNN: Tweaked Convolutional Neural Network (Wu, Hassner, Kim, Medioni, Natarajan 2016).

The features that enter the first fully connected layer of a landmark network already know roughly how a
face lies. So they are clustered, and each cluster gets fully connected layers of its own:

1. train the vanilla network: a colour crop of 40 x 40, four convolutions, FC5 with 100 outputs, FC6;
2. fit a Gaussian mixture (K = 64) to the features that enter FC5;
3. for each cluster fine-tune FC5 and FC6 on its faces alone. Alignment-sensitive augmentation makes more of
   them: a face is warped onto the points of another of its cluster, and counts if the mixture puts it there
   again. Each head stops by faces held out for that; clusters with few faces share the vanilla head;
4. at test time the most probable cluster chooses the head. The choice is inside the ONNX graph.

What differs from the paper is a value of `Config`, and `PRESETS["paper"]` has the paper's: batch
normalisation and ReLU, wing loss over the eye distance for its square, two looks as `tcdcn` has them. Never
published, so ours: the projection before the mixture, its covariance, and how each head stops.
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

MEAN, LOG = "mean.npy", "clusters.json"
LITTLE = Changes(turn=9, stretch=0.03, light=0.35, grey=0.05, blur=0.15, noise=0.1, occluder=0)
"""What the heads' faces are changed by: nearer to what comes than what the vanilla network learns from."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a TCNN is trained. Defaults are the shipped model's."""

    crop_size: int = 64  # side of the input crop, pixels
    crop_scale: float = 1.6  # and in face boxes: a face turned by 45 degrees stays inside
    size: int = 40  # side of what the network sees, pixels
    scale: float = 1.1  # and in face boxes
    looks: int = 2
    widths: tuple[int, ...] = (16, 48, 64, 64)  # maps of the four convolutions
    features: int = 100  # outputs of FC5
    activation: str = "relu"
    norm: bool = True  # batch normalisation
    loss: str = "wing"
    upright: float = 0.4  # share of training faces framed as the second look frames them
    batch: int = 64
    steps: int = 7000  # of the vanilla network
    rate: float = 2e-3
    constant_rate: bool = False
    weight_decay: float = 0.02
    ema: float = 0.999
    warmup: int = 300
    clusters: int = 64  # K
    dimensions: int = 32  # of the features after PCA
    min_faces: int = 50  # a cluster with fewer shares the vanilla head
    held_out: float = 0.08  # share of the training faces that only hold the heads back
    views: int = 600  # batches of faces, seen as often as the network looks, for clusters and heads
    aligned: int = 400  # batches of faces warped onto others of their cluster
    finish_steps: int = 300  # of the vanilla network's FC5 and FC6 on these views
    tweak_steps: int = 300  # then of the heads
    tweak_batch: int = 32  # views a cluster and step
    tweak_rate: float = 3e-4
    pull: float = 150.0  # views as strong as what holds FC6 where gradients left it; 0: it is not solved for
    changes: Changes = field(default_factory=Changes)
    tweak_changes: Changes = field(default_factory=lambda: LITTLE)  # of the heads' faces

    def __post_init__(self) -> None:
        """Check what would fail late."""
        if len(self.widths) != 4 or self.looks < 1 or self.clusters < 1 or not 0 <= self.held_out < 0.5:
            raise ConfigError(
                f"wanted four widths, looks and clusters of 1 or more, held_out in 0..0.5; "
                f"got {self.widths}, {self.looks}, {self.clusters}, {self.held_out}"
            )
        if self.activation not in ("relu", "abs_tanh") or self.loss not in ("point", "wing", "squared"):
            raise ConfigError(
                f"activation is relu or abs_tanh, loss point, wing or squared; "
                f"got {self.activation!r}, {self.loss!r}"
            )


PRESETS = {
    "paper": Config(
        looks=1, upright=0.0, activation="abs_tanh", norm=False, loss="squared", batch=30, steps=1_400_000,
        rate=1e-5, constant_rate=True, weight_decay=0.0, views=2000, aligned=3000, pull=0.0,
    )
}  # fmt: skip


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
            from meanshape.methods.nets import tcnn_training
        except ImportError as error:
            raise MissingExtra.of("train", "Training TCNN") from error
        assert self.markup is not None
        mean = square_mean(train, self.markup)
        learnt = tcnn_training.fit(
            self.config, mean, self.markup, train, valid,
            seed=seed, folder=self.run_folder, initial=self.initial, progress=progress,
        )  # fmt: skip
        self._module, self.log = learnt.module, learnt.log
        self._mean, self._session = mean, None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.nets import tcnn_training

        assert self.markup is not None and self._mean is not None
        module = self._trained()
        np.save(folder / MEAN, self._mean)
        (folder / LOG).write_text(json.dumps(self.log) + "\n", "utf-8")
        tcnn_training.save(module, folder, self.markup)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        self.log = json.loads(read_text(folder / LOG))
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Points (N, K, 2) in pixels of the crops (N, S, S, 3), and the cluster (N,) of each."""
        if self._session is not None:
            return list(self._session({"pixels": crops}))
        from meanshape.methods.nets import tcnn_training

        return tcnn_training.run(self._module, crops)

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops)[0]

    def cluster(self, image: ImageLike, box: BoxLike | None = None) -> int:
        """Return the cluster of the face in the canonical box."""
        self._fitted()
        pixels = read_image(image)
        crop, _ = self._crop(pixels, box_in(pixels, box))
        return int(self._run(crop[None])[1][0])


MODEL = TCNN
