"""What is decided before TCNN is trained, and presets."""

from __future__ import annotations

from dataclasses import dataclass, field

from meanshape.core.errors import ConfigError
from meanshape.training.changes import Changes

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
