"""Prediction: one ONNX graph from the crop to the points after both looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.geometry import apply, invert, similarity
from meanshape.core.image import ImageLike, Pixels, read_image, warp
from meanshape.core.markup import MarkUp, named
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.methods.base import Answer
from meanshape.methods.integral.config import Config
from meanshape.methods.shared.confidence import Found
from meanshape.methods.shared.deep_model import Run, Samples, UprightModel, in_images
from meanshape.methods.shared.steps import Step

FIRST = "stage1.onnx"
"""The graph of the first look alone."""
STAGES = 2


class Integral(UprightModel):
    """Votes of coarse cells, in two looks; trained in torch, run as one ONNX graph.

    ``predict(..., stages=1)`` computes and returns the first look alone.
    """

    name: ClassVar[str] = "integral"
    Config: ClassVar[type[Any]] = Config

    @classmethod
    def tiny(cls) -> Self:
        """A network for a few dozen faces."""
        return cls(
            Config(
                crop_size=64,
                first_size=32,
                size=32,
                first_channels=(8, 8, 16, 16),
                channels=(8, 16, 16, 16),
                blocks=(0, 1, 1, 0),
                rotation=5.0,
                any_angle=0.0,
                batch=16,
                learning_rate=6e-3,
                ema=0.97,
                warmup=10,
                steps=260,
            )
        )

    def _target(self, train: Sequence[Sample], valid: Sequence[Sample] | None) -> MarkUp:
        """Return the mark-up of the settings, or that of the first sample with points."""
        first = next((sample.shape.markup for sample in train if sample.shape is not None), None)
        if first is None:
            return super()._target(train, valid)
        return named(self.config.markup) if self.config.markup else first

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return f"stage{STAGES}"

    @property
    def stage_count(self) -> int:
        """Return how many stages there are."""
        return STAGES

    @property
    def _files(self) -> tuple[str, ...]:
        return *super()._files, FIRST

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.integral import training

        training.fit(self.config, self._fitted(), train, valid, **run).save(out)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points after one stage (N, K, 2), or after both (N, 2, K, 2) and the spread of the votes (N, K)."""
        if _stages(**options) == 1:
            return self._session(FIRST)({"pixels": crops}, "stage1")
        first, second, spread = self._session()({"pixels": crops}, "stage1", "stage2", "spread")
        return [np.stack([first, second], 1), spread]

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> Answer:
        matrices, (points, *spread) = self._answers(images, boxes, starts, **options)
        found = in_images(points, matrices)
        if not spread:
            return found
        scale = np.hypot(matrices[:, 0, 0], matrices[:, 0, 1])  # pixels of the crop per pixel of the image
        return Found(found, spread[0].astype(np.float64) / scale[:, None])

    def steps(self, image: ImageLike, box: Box | None = None) -> list[Step]:
        """Return the shape after each look, with the picture that it sees."""
        kind, pixels, config = self._fitted(), read_image(image), self.config
        assert self._mean is not None
        box = Box.whole(pixels.shape[1], pixels.shape[0]) if box is None else box
        matrix = self._matrix(box, None)
        crop = self._crop(pixels, matrix)
        first, second = apply(invert(matrix), self._run(crop[None])[0][0])
        upright = (self._mean - 0.5) / config.frame_scale * config.size + (config.size - 1) / 2
        frame = warp(pixels, similarity(first, upright), (config.size, config.size))
        return [
            Step("after the first look", Shape(first, kind), {"crop": crop}),
            Step("after the second look", Shape(second, kind), {"picture, brought upright": frame}),
        ]


def _stages(stages: int | None = None) -> int:
    """Return how many looks to take."""
    if stages is not None and stages not in (1, STAGES):
        raise ConfigError(f"integral has {STAGES} stages, asked for {stages}")
    return stages or STAGES


MODEL = Integral
