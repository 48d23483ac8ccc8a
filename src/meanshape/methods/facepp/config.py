"""What is decided before FacePP is trained, and presets."""

from __future__ import annotations

from dataclasses import dataclass

from meanshape.core.errors import ConfigError
from meanshape.training.augment import Augmentation

LEVELS = 4
Jitter = tuple[float, float, float]


TURNED = Augmentation(rotation=12)


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a cascade is trained."""

    crop_size: int = 128  # side of the input crop, pixels
    crop_scale: float = 1.5  # and in face boxes
    box_size: int = 32  # level 1: pixels of its crop (the input crop), maps of its pairs, dense units
    box_widths: tuple[int, ...] = (8, 16, 32)
    box_features: int = 64
    whole_size: int = 48  # level 2
    whole_widths: tuple[int, ...] = (8, 24, 64, 96)
    whole_features: int = 128
    part_size: int = 32  # levels 3 and 4
    part_widths: tuple[int, ...] = (8, 24, 48)
    part_features: int = 64
    margin: float = 1.25  # side of level 2's crop in box sizes
    reach: float = 4.5  # side of a part's crop in root mean square radii of its points
    whole_reach: float = 3.2  # the same where one network sees all inner points
    use_boxes: bool = True  # level 1
    two_branches: bool = True  # False: level 2 finds all 68 points at once
    parts: bool = True  # False: levels 3 and 4 find all inner points at once, with the networks of level 2
    dropout: float = 0.1
    jitter: tuple[Jitter, Jitter, Jitter, Jitter] = (
        (0.0, 0.0, 0.0),
        (0.025, 0.06, 0.0),
        (0.05, 0.10, 0.0),
        (0.03, 0.06, 4.0),
    )
    """Of each level's crops in training: shift (crop sides), log of scale, degrees, as deviations."""
    batch: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 100
    ema: float = 0.997
    steps: tuple[int, int, int, int] = (600, 2000, 1300, 800)  # per level; 0 leaves it as it is
    augmentation: Augmentation = TURNED

    def __post_init__(self) -> None:
        """Check that sizes and widths agree."""
        if self.batch < 2:
            raise ConfigError("batch: batch norm wants two faces at a time")
        if self.crop_size % self.box_size:
            raise ConfigError(f"box_size must divide crop_size, got {self.box_size} and {self.crop_size}")
        for name in ("box", "whole", "part"):
            size, widths = getattr(self, f"{name}_size"), getattr(self, f"{name}_widths")
            if not widths or size % 2 ** len(widths):
                raise ConfigError(f"{name}_size is halved {len(widths)} times, which {size} cannot be")
