"""Settings and presets of TCNN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from meanshape.core.built_in import By
from meanshape.core.errors import ConfigError
from meanshape.training.tensor_augmentation import TensorAugmentation

CROP_SIZE, CROP_SCALE = 64, 1.6
"""Side of the input crop in pixels and in face boxes: a face turned by 45 degrees stays inside."""
SIZE, SCALE = 40, 1.1
"""Side of the network's crop in pixels and in face boxes."""
AUGMENTATION = TensorAugmentation()
MILD_AUGMENTATION = TensorAugmentation(
    rotation=9, stretch=0.03, colour=0.35, grey=0.05, blur=0.15, noise=0.1, occluder=0
)
"""What the heads' faces are changed by: nearer to what comes than what the vanilla network learns from."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a TCNN. Defaults are the shipped model's."""

    looks: int = 2  # passes: on the box's crop, then on crops aligned with the points found
    widths: tuple[int, ...] = (16, 48, 64, 64)  # channels of the four convolutions
    features: int = 100  # outputs of FC5
    activation: str = "relu"
    norm: bool = True  # batch normalisation
    clusters: int = 64  # K
    # training
    loss: str = "wing"
    upright: float = 0.4  # share of training faces in aligned crops, as in the second pass
    batch: int = 64
    steps: int = 7000  # of the vanilla network
    rate: float = 2e-3
    constant_rate: bool = False  # as in the paper: without weight decay
    ema: float = 0.999
    warmup: int = 300
    min_faces: int = 50  # a cluster with fewer shares the vanilla head
    views: int = 600  # batches of faces for clusters and heads; each face gives one view per pass
    aligned: int = 400  # batches of faces warped onto others of their cluster
    tweak_steps: int = 300  # fine-tuning steps of the vanilla network's FC5 and FC6, and then of the heads
    tweak_batch: int = 32  # views per cluster and step
    pull: float = 150.0  # ridge penalty that holds FC6 near its fine-tuned weights; 0: no closed-form step

    structure: ClassVar[tuple[str, ...]] = ("looks", "widths", "features", "activation", "norm", "clusters")
    built_in: ClassVar[Mapping[str, Any]] = {
        "crop_size": CROP_SIZE,
        "crop_scale": CROP_SCALE,
        "size": SIZE,
        "scale": SCALE,
        "held_out": 0.08,
        "tweak_rate": 3e-4,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {
        "weight_decay": By("constant_rate"),
        "dimensions": 32,
        "finish_steps": By("tweak_steps"),
        "changes": AUGMENTATION.stored(),
        "tweak_changes": MILD_AUGMENTATION.stored(),
    }

    def __post_init__(self) -> None:
        """Check what would fail late."""
        if len(self.widths) != 4 or self.looks < 1 or self.clusters < 1:
            raise ConfigError(
                f"wanted four widths, looks and clusters of 1 or more; "
                f"got {self.widths}, {self.looks}, {self.clusters}"
            )
        if self.activation not in ("relu", "abs_tanh") or self.loss not in ("point", "wing", "squared"):
            raise ConfigError(
                f"activation is relu or abs_tanh, loss point, wing or squared; "
                f"got {self.activation!r}, {self.loss!r}"
            )

    @property
    def crop_size(self) -> int:
        """Side of the input crop, pixels."""
        return CROP_SIZE

    @property
    def crop_scale(self) -> float:
        """Side of the input crop, face boxes."""
        return CROP_SCALE

    @property
    def weight_decay(self) -> float:
        """Of the weights of convolutions and dense layers."""
        return 0.0 if self.constant_rate else 0.02


PRESETS = {
    "paper": Config(
        looks=1, upright=0.0, activation="abs_tanh", norm=False, loss="squared", batch=30, steps=1_400_000,
        rate=1e-5, constant_rate=True, views=2000, aligned=3000, pull=0.0,
    )
}  # fmt: skip
