"""DCNN: deep convolutional network cascade (Sun, Wang, Tang, CVPR 2013). Five points, 23 small networks.

Level 1 looks at the face: F1 at all of it, EN1 at eyes and nose, NM1 at nose and mouth; where they answer
the same point, the answers are averaged. Levels 2 and 3 look twice at a patch around each point, by two
networks whose patches differ in size, and add the mean of their two offsets:

    x = mean(x of level 1) + mean(two offsets of level 2) + mean(two offsets of level 3).

A face is not the same everywhere: the deeper convolutions of level 1 share their weights within the blocks
of a grid only. Convolutions are rectified by |tanh|.

The crops are fractions of the face box of CNN_FacePoint, the paper's data; `Config.box` says where the
canonical box lies in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, MissingExtra
from meanshape.core.markup import MarkUp, markup
from meanshape.core.types import Box, Sample
from meanshape.methods.base import Progress
from meanshape.methods.parts.graph import Graph
from meanshape.methods.parts.square_crop import SquareCropModel
from meanshape.training.augment import Augmentation
from meanshape.training.sampling import square_mean

LEVELS = 3
POINTS = "mtfl5"
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


class DCNN(SquareCropModel):
    """The cascade of 23 networks, trained in torch and run as one ONNX graph.

    ``predict(..., levels=1)`` returns what the first level says.
    """

    name: ClassVar[str] = "dcnn"
    Config: ClassVar[type[Any]] = Config
    output = f"level{LEVELS}"

    @classmethod
    def tiny(cls) -> Self:
        """A cascade for a few dozen faces."""
        plain = Augmentation(
            shift=0, scale=0, rotation=0, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0
        )
        return cls(
            Config(
                crop_size=48, maps=(8, 16, 24, 32), hidden=(64, 48), patch_maps=(4, 8), patch_hidden=16,
                batch=16, rate=4e-3, warmup=10, ema=0.95, steps=(120, 10, 5), augmentation=plain,
            )
        )  # fmt: skip

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.nets import dcnn_training
        except ImportError as error:
            raise MissingExtra.of("train", "Training DCNN") from error
        self.markup = markup(POINTS)  # whatever the samples have, five points are learnt
        train = self._prepared(train, self.markup)
        self._module = dcnn_training.fit(
            self.config,
            square_mean(train, self.markup),
            train,
            self._prepared(valid, self.markup) if valid else None,
            seed=seed,
            folder=self.run_folder,
            initial=self.initial,
            progress=progress,
        )
        self._session = None

    def _prepared(self, samples: Sequence[Sample], kind: MarkUp) -> list[Sample]:
        """The labelled faces with five points and the box whose fractions the crops are."""
        return [
            replace(s, shape=s.shape.to(kind), box=self.square(s.box))
            for s in samples
            if s.shape is not None and s.box is not None
        ]

    def square(self, box: Box) -> Box:
        """The square that stands for the data set's box of a face, from the canonical box.

        The boxes of CNN_FacePoint are square to 2 %; a canonical box need not be, and its crop keeps the
        picture's proportions.
        """
        left, top, right, bottom = self.config.box
        side = box.size / math.sqrt((right - left) * (bottom - top))
        x = box.center[0] + side * (1 - left - right) / 2
        y = box.center[1] + side * (1 - top - bottom) / 2
        return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)

    def _save(self, folder: Path) -> None:
        from meanshape.methods.nets import dcnn_training

        dcnn_training.save(self._trained(), folder, POINTS)

    def _run(self, crops: NDArray[np.uint8], level: int) -> NDArray[np.float32]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops, after the level before, if any, and the level."""
        levels = range(max(level - 1, 1), level + 1)
        if self._session is not None:
            return np.stack(self._session({"pixels": crops}, *(f"level{n}" for n in levels)), 1)
        from meanshape.methods.nets import dcnn_training

        found = dcnn_training.run(self._module, crops)
        return np.stack([found[n - 1] for n in levels], 1)

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        half = self.config.crop_scale / 2
        square = self.square(Box(-0.5, -0.5, 0.5, 0.5))  # of a canonical box of the size 1 about 0
        (x, y), side = square.center, square.width
        window = (x - half * side, y - half * side, x + half * side, y + half * side)
        return replace(super().graph(), window=window)

    def _framed(self, box: Box) -> Box:
        return self.square(box)

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops, _level(**options))


def _level(levels: int = LEVELS) -> int:
    """Return after which level to answer."""
    if not 1 <= levels <= LEVELS:
        raise ConfigError(f"DCNN has {LEVELS} levels, asked for {levels}")
    return levels


MODEL = DCNN
