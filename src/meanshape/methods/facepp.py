"""Coarse to fine, after Zhou, Fan, Cao, Jiang, Yin (ICCV workshops 2013; Face++). 68 points.

Contour points are harder than inner ones and would drown them in a common loss, so that two cascades run
side by side:

1. a network finds the tight box of the branch's points: better than what a face detector gives;
2. a network finds all points of the branch in that box; the contour's 17 points stop here;
3. of the inner 51, each part (brows, eyes, nose, mouth) is found again by a network of its own in a crop
   about it;
4. the same in crops that are turned upright by the points of level 3.

The paper's layer table was never published. Ours: pairs of 3x3 convolutions with batch norm, small widths
(`Config`). A left eye and a left brow are seen mirrored by the networks of the right ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, MissingExtra, ShapeError
from meanshape.core.types import Sample
from meanshape.methods.base import Progress
from meanshape.methods.parts.square_crop import SquareCropModel
from meanshape.training.augment import Augmentation
from meanshape.training.sampling import square_mean

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


class FacePP(SquareCropModel):
    """Two cascades, inner points and contour, trained in torch and run as one ONNX graph.

    ``predict(..., levels=2)`` returns what the second level says.
    """

    name: ClassVar[str] = "facepp"
    Config: ClassVar[type[Any]] = Config
    output = f"level{LEVELS}"

    @classmethod
    def tiny(cls) -> Self:
        """A cascade for a few dozen faces."""
        plain = Augmentation(rotation=5, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0)
        return cls(
            Config(
                crop_size=32, box_size=16, whole_size=16, part_size=16, box_widths=(8, 16), box_features=32,
                whole_widths=(8, 16), whole_features=64, part_widths=(8, 16), part_features=32,
                dropout=0.0, batch=16, rate=4e-3, warmup=10, ema=0.9, steps=(30, 120, 10, 5),
                augmentation=plain,
            )
        )  # fmt: skip

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.nets import facepp_training
        except ImportError as error:
            raise MissingExtra.of("train", "Training FacePP") from error
        assert self.markup is not None
        missing = {"inner", "contour", "right_brow", "right_eye", "nose", "mouth"} - set(self.markup.groups)
        if missing:
            raise ShapeError(f"facepp learns the parts of ibug68; {self.markup.name} has no {min(missing)}")
        labelled = [sample for sample in train if sample.shape is not None]
        self._module = facepp_training.fit(
            self.config,
            square_mean(labelled, self.markup) - 0.5,
            self.markup,
            labelled,
            valid,
            seed=seed,
            folder=self.run_folder,
            initial=self.initial,
            progress=progress,
        )
        self._session = None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.nets import facepp_training

        assert self.markup is not None
        facepp_training.save(self._trained(), folder, self.markup.name)

    def _run(self, crops: NDArray[np.uint8], level: int) -> NDArray[np.float32]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops; of a loaded model also after the level before."""
        if self._session is not None:
            levels = range(max(level - 1, 2), level + 1)
            return np.stack(self._session({"pixels": crops}, *(f"level{n}" for n in levels)), 1)
        from meanshape.methods.nets import facepp_training

        return facepp_training.run(self._module, crops, level)[:, None]

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops, _level(**options))


def _level(levels: int = LEVELS) -> int:
    """Return after which level to answer."""
    if not 2 <= levels <= LEVELS:
        raise ConfigError(f"points come from levels 2 to {LEVELS}, asked for {levels}")
    return levels


MODEL = FacePP
