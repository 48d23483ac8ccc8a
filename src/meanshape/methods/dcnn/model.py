"""Predict with DCNN: numpy and ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.markup import MarkUp, markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.methods.dcnn.config import BOX, LEVELS, Config
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.shared.deep_model import DeepModel, Run, Samples
from meanshape.training.sampling import square_mean

POINTS = "mtfl5"


class DCNN(DeepModel):
    """The cascade of 23 networks, trained in torch and run as one ONNX graph.

    ``predict(..., levels=1)`` returns what the first level says.
    """

    name: ClassVar[str] = "dcnn"
    Config: ClassVar[type[Any]] = Config

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return f"level{LEVELS}"

    @classmethod
    def tiny(cls) -> Self:
        """A cascade for a few dozen faces."""
        return cls(
            Config(
                crop_size=48, maps=(8, 16, 24, 32), hidden=(64, 48), patch_maps=(4, 8), patch_hidden=16,
                batch=16, rate=4e-3, warmup=10, ema=0.95, steps=(80, 10, 5), augment="none",
            )
        )  # fmt: skip

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.dcnn import training

        self.markup = markup(POINTS)  # whatever the samples have, five points are learnt
        train = self._prepared(train, self.markup)
        module = training.fit(
            self.config,
            square_mean(train, self.markup),
            train,
            self._prepared(valid, self.markup) if valid else None,
            **run,
        )
        training.save(module, out, POINTS)

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
        left, top, right, bottom = BOX
        side = box.size / math.sqrt((right - left) * (bottom - top))
        x = box.center[0] + side * (1 - left - right) / 2
        y = box.center[1] + side * (1 - top - bottom) / 2
        return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops, after the level before, if any, and the level."""
        level = _level(**options)
        levels = range(max(level - 1, 1), level + 1)
        return [np.stack(self._session()({"pixels": crops}, *(f"level{n}" for n in levels)), 1)]

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        half = self.config.crop_scale / 2
        square = self.square(Box(-0.5, -0.5, 0.5, 0.5))  # of a canonical box of the size 1 about 0
        (x, y), side = square.center, square.width
        window = (x - half * side, y - half * side, x + half * side, y + half * side)
        return replace(super().graph(), window=window)

    def _matrix(self, box: Box, start: Shape | None) -> NDArray[np.float64]:
        return super()._matrix(self.square(box), start)


def _level(levels: int = LEVELS) -> int:
    """Return after which level to answer."""
    if not 1 <= levels <= LEVELS:
        raise ConfigError(f"DCNN has {LEVELS} levels, asked for {levels}")
    return levels


MODEL = DCNN
