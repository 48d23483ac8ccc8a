"""What is decided before DCNN is trained, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from meanshape.core.built_in import By
from meanshape.core.errors import ConfigError
from meanshape.training.augment import Augmentation

LEVELS = 3


BOX = (-0.0372, 0.0554, 1.0594, 1.1258)
"""The canonical box as a part (left, top, right, bottom) of the box whose fractions the crops are."""
NOTHING = Augmentation(shift=0, scale=0, rotation=0, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0)
AUGMENTATIONS = {
    "mild": Augmentation(
        shift=0.03,
        scale=0.05,
        rotation=8,
        colour=0.3,
        grey=0.1,
        blur=0.1,
        jpeg=0.05,
        noise=0.05,
        occluder=0.1,
    ),
    "paper": replace(NOTHING, shift=0.02, rotation=5),
    "none": NOTHING,
}
"""How far faces are moved and changed: as for `dcnn`, in the paper, and not at all; all three mirror them."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a cascade is trained. The networks' sizes are the paper's."""

    crop_size: int = 96  # side of the input crop, pixels
    crop_scale: float = 1.4  # and in the boxes whose fractions the crops are
    channels: int = 1  # grey; 3: colour
    local: bool = True  # weights shared within the paper's grids; False: everywhere, as is usual
    maps: tuple[int, int, int, int] = (20, 40, 60, 80)  # of level 1's convolutions
    hidden: tuple[int, int] = (120, 100)  # dense units of F1, and of EN1 and NM1
    patch_maps: tuple[int, int] = (20, 40)  # of levels 2 and 3
    patch_hidden: int = 60
    # the recipe
    loss: str = "wing"  # point, wing or squared (the paper's)
    batch: int = 64
    rate: float = 3e-3
    warmup: int = 200
    ema: float = 0.997
    steps: tuple[int, int, int] = (1800, 900, 700)  # per level; 0 leaves it as it is
    augment: str = "mild"  # or paper, none

    structure: ClassVar[tuple[str, ...]] = (
        "crop_size",
        "crop_scale",
        "channels",
        "local",
        "maps",
        "hidden",
        "patch_maps",
        "patch_hidden",
    )
    built_in: ClassVar[Mapping[str, Any]] = {
        "box": BOX,
        "looks": 2,
        "jitter": (0.015, 0.01),
        "weight_decay": 0.01,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"augmentation": By("augment")}

    def __post_init__(self) -> None:
        """Check what cannot be."""
        if self.loss not in ("point", "wing", "squared") or self.channels not in (1, 3):
            raise ConfigError(
                f"loss is point, wing or squared, channels 1 or 3; got {self.loss!r}, {self.channels}"
            )
        if self.augment not in AUGMENTATIONS:
            raise ConfigError(f"augment is {', '.join(AUGMENTATIONS)}, not {self.augment!r}")
        if self.crop_scale < 1.1 or self.crop_size % 2:
            raise ConfigError(
                f"the crop holds 1.1 boxes at least, on an even number of pixels; got {self.crop_scale}"
                f" and {self.crop_size}"
            )

    @property
    def augmentation(self) -> Augmentation:
        """How far faces are moved and changed."""
        return AUGMENTATIONS[self.augment]


PRESETS = {"paper": Config(loss="squared", rate=1e-3, augment="paper")}
