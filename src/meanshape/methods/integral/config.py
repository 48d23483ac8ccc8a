"""Settings of `integral`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError

CELL = 8
"""Side of a cell in pixels: the networks halve their input three times."""
CROP_SCALE = 1.6
"""Side of the input crop, face boxes: a face that is turned by any angle stays inside."""


@dataclass(frozen=True, slots=True)
class Config:
    """Structure and training of the two looks. The defaults are the shipped model's."""

    crop_size: int = 128  # side of the input crop, pixels, a multiple of first_size
    first_size: int = 64  # side of what the first look sees of the crop, pixels
    size: int = 104  # side of the second look's upright frame, pixels
    frame_scale: float = 1.2  # side of the upright frame, face boxes
    first_channels: tuple[int, int, int, int] = (16, 32, 48, 64)  # at 1/2, 1/4, 1/8 and 1/16 of the side
    channels: tuple[int, int, int, int] = (16, 32, 96, 128)
    blocks: tuple[int, int, int, int] = (1, 1, 2, 1)  # of the second look: at 1/4, 1/8, 1/16 and 1/8
    # the recipe
    markup: str = ""  # mark-up to learn; empty: that of the first sample
    score_weight: float = 0.15  # weight of the cross entropy of the scores beside the loss on the points
    jitter: float = 1.0  # scale of the random errors of the upright frames; 0: the first look's own
    rotation: float = 25.0  # standard deviation of the rotation in training, degrees
    any_angle: float = 0.2  # share of faces turned by any angle
    others: float = 0.31  # share of samples of other mark-ups in a batch
    pseudo_labelled: float = 0.25  # share of samples that a model labelled (shapes with a confidence)
    batch: int = 32
    learning_rate: float = 2e-3
    ema: float = 0.9993
    warmup: int = 300  # steps
    steps: int = 22000
    bf16: bool = False  # convolutions in bfloat16 while training: twice as fast on CPUs with AVX-512 BF16

    structure: ClassVar[tuple[str, ...]] = (
        "crop_size",
        "first_size",
        "size",
        "frame_scale",
        "first_channels",
        "channels",
        "blocks",
    )
    built_in: ClassVar[Mapping[str, Any]] = {"crop_scale": CROP_SCALE, "weight_decay": 0.05}

    @property
    def crop_scale(self) -> float:
        """Side of the input crop, face boxes."""
        return CROP_SCALE

    def __post_init__(self) -> None:
        """Check that sizes fit together."""
        if self.first_size % CELL or self.size % CELL:
            raise ConfigError(
                f"first_size and size must be multiples of {CELL}, got {self.first_size} and {self.size}"
            )
        if self.crop_size % self.first_size:
            raise ConfigError(f"first_size must divide crop_size, got {self.first_size} and {self.crop_size}")


PRESETS = {
    "few": Config(
        steps=900, warmup=50, ema=0.99, learning_rate=1e-3, others=0.0
    ),  # about a hundred photos, with --init
}
