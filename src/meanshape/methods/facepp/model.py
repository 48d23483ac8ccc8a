"""Predict with FacePP: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, MissingExtra, ShapeError
from meanshape.core.types import Sample
from meanshape.methods.base import Progress
from meanshape.methods.facepp.config import LEVELS, Config
from meanshape.methods.shared.square_crop import SquareCropModel
from meanshape.training.augment import Augmentation
from meanshape.training.sampling import square_mean


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
            from meanshape.methods.facepp import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training FacePP") from error
        assert self.markup is not None
        missing = {"inner", "contour", "right_brow", "right_eye", "nose", "mouth"} - set(self.markup.groups)
        if missing:
            raise ShapeError(f"facepp learns the parts of ibug68; {self.markup.name} has no {min(missing)}")
        labelled = [sample for sample in train if sample.shape is not None]
        self._module = training.fit(
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
        from meanshape.methods.facepp import training

        assert self.markup is not None
        training.save(self._trained(), folder, self.markup.name)

    def _run(self, crops: NDArray[np.uint8], level: int) -> NDArray[np.float32]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops; of a loaded model also after the level before."""
        if self._session is not None:
            levels = range(max(level - 1, 2), level + 1)
            return np.stack(self._session({"pixels": crops}, *(f"level{n}" for n in levels)), 1)
        from meanshape.methods.facepp import training

        return training.run(self._module, crops, level)[:, None]

    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        return self._run(crops, _level(**options))


def _level(levels: int = LEVELS) -> int:
    """Return after which level to answer."""
    if not 2 <= levels <= LEVELS:
        raise ConfigError(f"points come from levels 2 to {LEVELS}, asked for {levels}")
    return levels


MODEL = FacePP
