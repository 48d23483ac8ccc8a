"""What is decided before DCNN is trained, and presets."""

from __future__ import annotations

from dataclasses import dataclass

from meanshape.core.errors import ConfigError
from meanshape.training.augment import Augmentation

LEVELS = 3


MILD = Augmentation(
    shift=0.03, scale=0.05, rotation=8, colour=0.3, grey=0.1, blur=0.1, jpeg=0.05, noise=0.05, occluder=0.1
)


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a cascade is trained. The networks' sizes are the paper's."""

    box: tuple[float, float, float, float] = (-0.0372, 0.0554, 1.0594, 1.1258)
    """The canonical box as a part (left, top, right, bottom) of the box whose fractions the crops are."""
    crop_size: int = 96  # side of the input crop, pixels
    crop_scale: float = 1.4  # and in such boxes
    channels: int = 1  # grey; 3: colour
    local: bool = True  # weights shared within the paper's grids; False: everywhere, as is usual
    maps: tuple[int, int, int, int] = (20, 40, 60, 80)  # of level 1's convolutions
    hidden: tuple[int, int] = (120, 100)  # dense units of F1, and of EN1 and NM1
    patch_maps: tuple[int, int] = (20, 40)  # of levels 2 and 3
    patch_hidden: int = 60
    loss: str = "wing"  # point, wing or squared (the paper's)
    looks: int = 2
    """Patches that levels 2 and 3 learn from at a time: the first is where the level before points, the
    others miss that by `jitter` (deviation, in boxes)."""
    jitter: tuple[float, float] = (0.015, 0.01)
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 200
    ema: float = 0.997
    steps: tuple[int, int, int] = (1800, 900, 700)  # per level; 0 leaves it as it is
    augmentation: Augmentation = MILD

    def __post_init__(self) -> None:
        """Check what cannot be."""
        if self.loss not in ("point", "wing", "squared") or self.channels not in (1, 3):
            raise ConfigError(
                f"loss is point, wing or squared, channels 1 or 3; got {self.loss!r}, {self.channels}"
            )
        if self.box[2] <= self.box[0] or self.box[3] <= self.box[1]:
            raise ConfigError(f"box wants left, top, right, bottom, got {self.box}")
        if self.crop_scale < 1.1 or self.crop_size % 2:
            raise ConfigError(
                f"the crop holds 1.1 boxes at least, on an even number of pixels; got {self.crop_scale}"
                f" and {self.crop_size}"
            )


PRESETS = {
    "paper": Config(
        loss="squared",
        rate=1e-3,
        augmentation=Augmentation(
            shift=0.02, scale=0, rotation=5, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0
        ),
    )
}
