"""What is decided before FacePP is trained, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.training.augment import Augmentation

LEVELS = 4
CROP_SCALE = 1.5
"""Side of the input crop, face boxes."""
AUGMENTATION = Augmentation(rotation=12)


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a cascade is trained."""

    crop_size: int = 128  # side of the input crop, pixels
    box_size: int = 32  # level 1: pixels of its crop (the input crop), maps of its pairs, dense units
    box_widths: tuple[int, ...] = (8, 16, 32)
    box_features: int = 64
    whole_size: int = 48  # level 2
    whole_widths: tuple[int, ...] = (8, 24, 64, 96)
    whole_features: int = 128
    part_size: int = 32  # levels 3 and 4
    part_widths: tuple[int, ...] = (8, 24, 48)
    part_features: int = 64
    use_boxes: bool = True  # level 1
    two_branches: bool = True  # False: level 2 finds all 68 points at once
    parts: bool = True  # False: levels 3 and 4 find all inner points at once, with the networks of level 2
    # the recipe
    dropout: float = 0.1
    batch: int = 32
    rate: float = 2e-3
    warmup: int = 100
    ema: float = 0.997
    steps: tuple[int, int, int, int] = (600, 2000, 1300, 800)  # per level; 0 leaves it as it is

    structure: ClassVar[tuple[str, ...]] = (
        "crop_size",
        "box_size",
        "box_widths",
        "box_features",
        "whole_size",
        "whole_widths",
        "whole_features",
        "part_size",
        "part_widths",
        "part_features",
        "use_boxes",
        "two_branches",
        "parts",
    )
    built_in: ClassVar[Mapping[str, Any]] = {
        "crop_scale": CROP_SCALE,
        "margin": 1.25,
        "reach": 4.5,
        "whole_reach": 3.2,
        "jitter": ((0.0, 0.0, 0.0), (0.025, 0.06, 0.0), (0.05, 0.1, 0.0), (0.03, 0.06, 4.0)),
        "weight_decay": 0.02,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"augmentation": asdict(AUGMENTATION)}

    @property
    def crop_scale(self) -> float:
        """Side of the input crop, face boxes."""
        return CROP_SCALE

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
