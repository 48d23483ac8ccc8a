"""Settings of the network, the search and the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Config:
    """The defaults make the shipped weights."""

    channels: tuple[int, int, int, int, int] = (16, 32, 48, 64, 64)  # at strides 2, 4, 8, 16 and 32
    # the search, fitted to the weights on validation photos
    proposed: float = 0.15  # score from which an answer is looked at again
    sure: float = 0.997  # score from which it need not be
    threshold: float = 0.8  # mean score of both looks from which it is a face
    overlap: float = 0.4  # intersection over union from which two answers mean one face
    calibration: tuple[float, float] = (4.9, -0.84)  # of the network's logit: slope and shift to the score's
    # the recipe
    side: int = 256  # pixels of a training picture
    batch: int = 20
    steps: int = 6500
    learning_rate: float = 2e-3
    average: float = 0.999  # of the exponential moving average of the weights, which is what ships
    bf16: bool = False  # convolutions in bfloat16 while training: twice as fast on CPUs with AVX-512 BF16

    structure: ClassVar[tuple[str, ...]] = ("channels",)
    built_in: ClassVar[Mapping[str, Any]] = {
        "smallest": 16.0,
        "fresh": 9,
        "weight_decay": 0.02,
        "box_weight": 2.0,
        "points_weight": 1.0,
    }


TINY = Config(channels=(8, 8, 16, 16, 16), side=96, batch=8, steps=150, learning_rate=5e-3, average=0.9)
PRESETS = {"shipped": Config(), "tiny": TINY}
