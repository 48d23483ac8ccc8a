"""What is decided before DAN is trained, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from meanshape.core.built_in import By
from meanshape.core.errors import ConfigError
from meanshape.training.augment import Augmentation

AUGMENTATIONS = {
    "usual": Augmentation(),
    "rendered": Augmentation(colour=0.6, occluder=0.35),
    "paper": Augmentation(
        shift=0.2, scale=0.25, rotation=20, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0
    ),
    "slight": Augmentation(rotation=5, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0),
}
"""How far faces are moved and changed: as for `dan`, for `dan_synthetic`, in the paper, and barely."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a DAN is trained. Defaults are the shipped model's."""

    crop_size: int = 128  # side of the input crop, pixels
    crop_scale: float = 1.5  # and in face boxes
    sizes: tuple[int, ...] = (64, 64)  # side of each stage's frame, pixels, multiples of 16
    widths: tuple[float, ...] = (0.25, 0.25)  # of each stage; 1.0 is the paper's table
    frame_scale: float = 1.2  # side of the upright frame of stages >= 2, in face boxes
    channels: int = 3  # 1: grey, as in the paper
    features: int = 256
    heatmap_stride: int = 2
    use_heatmap: bool = True
    use_features: bool = True
    # the recipe
    dropout: float = 0.1
    loss: str = "wing"  # point (the paper's), wing or squared
    localisation: float = 0.03  # weight of a loss that asks a stage's third pair of maps where each point is
    partial_share: tuple[float, ...] = (0.25, 0.125)  # of samples of another mark-up in a batch, per stage
    soft_share: float = 0.4  # of self-labelled samples (shapes with a confidence) in a batch
    batch: int = 32
    rate: float = 2e-3
    constant_rate: bool = False  # as in the paper: without weight decay, until ten validations bring nothing
    ema: float = 0.998
    warmup: int = 300
    bf16: bool = False  # convolutions in bfloat16 while training: twice as fast where the CPU has AVX-512
    minutes: tuple[float, ...] = (30.0, 60.0)  # per stage; 0 leaves a stage as it is
    steps: tuple[int, ...] = ()  # per stage; where given, minutes do not count
    augment: str = "usual"  # or rendered, paper, slight

    structure: ClassVar[tuple[str, ...]] = (
        "crop_size",
        "crop_scale",
        "sizes",
        "widths",
        "frame_scale",
        "channels",
        "features",
        "heatmap_stride",
        "use_heatmap",
        "use_features",
    )
    built_in: ClassVar[Mapping[str, Any]] = {"warm_start": True, "partial_weight": 0.5}
    built_in_recipe: ClassVar[Mapping[str, Any]] = {
        "weight_decay": By("constant_rate"),
        "patience": By("constant_rate"),
        "augmentation": By("augment"),
    }

    def __post_init__(self) -> None:
        """Check that the stages agree."""
        if len(self.sizes) != len(self.widths) or not self.sizes:
            raise ConfigError(f"sizes and widths need one value a stage, got {self.sizes} and {self.widths}")
        if any(size % 16 for size in self.sizes) or self.crop_size % self.sizes[0]:
            raise ConfigError(
                f"sizes must be multiples of 16 and the first divide crop_size, "
                f"got {self.sizes} and {self.crop_size}"
            )
        if self.loss not in ("point", "wing", "squared") or self.channels not in (1, 3):
            raise ConfigError(
                f"loss is point, wing or squared, channels 1 or 3; got {self.loss!r}, {self.channels}"
            )
        if self.augment not in AUGMENTATIONS:
            raise ConfigError(f"augment is {', '.join(AUGMENTATIONS)}, not {self.augment!r}")

    @property
    def augmentation(self) -> Augmentation:
        """How far faces are moved and changed."""
        return AUGMENTATIONS[self.augment]

    @property
    def weight_decay(self) -> float:
        """Of the weights of convolutions and dense layers."""
        return 0.0 if self.constant_rate else 0.02

    @property
    def patience(self) -> int:
        """Validations (one a minute) without improvement that end a stage; 0: the time does."""
        return 10 if self.constant_rate else 0


PRESETS = {
    "few": Config(  # for about a hundred photos, with --init: minutes, not hours
        steps=(400, 600), warmup=50, ema=0.99, rate=1e-3, partial_share=(0.0,), soft_share=0.0
    ),
    "paper": Config(
        crop_size=112,
        crop_scale=2.0,
        sizes=(112, 112),
        widths=(1.0, 1.0),
        frame_scale=2.0,
        channels=1,
        dropout=0.5,
        heatmap_stride=1,
        loss="point",
        batch=64,
        rate=1e-3,
        constant_rate=True,
        minutes=(600.0, 600.0),
        augment="paper",
    ),
}
