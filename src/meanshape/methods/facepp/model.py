"""Predict with FacePP: numpy and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, ShapeError
from meanshape.methods.facepp.config import LEVELS, Config
from meanshape.methods.shared.deep_model import DeepModel, Run, Samples
from meanshape.training.sampling import square_mean


class FacePP(DeepModel):
    """Two cascades, inner points and contour, trained in torch and run as one ONNX graph.

    ``predict(..., levels=2)`` returns what the second level says.
    """

    name: ClassVar[str] = "facepp"
    Config: ClassVar[type[Any]] = Config

    @classmethod
    def tiny(cls) -> Self:
        """A cascade for a few dozen faces."""
        return cls(
            Config(
                crop_size=32, box_size=16, whole_size=16, part_size=16, box_widths=(8, 16), box_features=32,
                whole_widths=(8, 16), whole_features=64, part_widths=(8, 16), part_features=32,
                dropout=0.0, batch=16, rate=4e-3, warmup=10, ema=0.9, steps=(30, 120, 10, 5),
            )
        )  # fmt: skip

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return f"level{LEVELS}"

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.facepp import training

        kind = self._fitted()
        missing = {"inner", "contour", "right_brow", "right_eye", "nose", "mouth"} - set(kind.groups)
        if missing:
            raise ShapeError(f"facepp learns the parts of ibug68; {kind.name} has no {min(missing)}")
        labelled = [sample for sample in train if sample.shape is not None]
        module = training.fit(self.config, square_mean(labelled, kind) - 0.5, kind, labelled, valid, **run)
        training.save(module, out, kind.name)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops, after the level before, if any, and the level."""
        level = _level(**options)
        levels = range(max(level - 1, 2), level + 1)
        return [np.stack(self._session()({"pixels": crops}, *(f"level{n}" for n in levels)), 1)]


def _level(levels: int = LEVELS) -> int:
    """Return after which level to answer."""
    if not 2 <= levels <= LEVELS:
        raise ConfigError(f"points come from levels 2 to {LEVELS}, asked for {levels}")
    return levels


MODEL = FacePP
