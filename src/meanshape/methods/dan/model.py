"""Predict with DAN: numpy and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import BoxLike, box_in
from meanshape.core.errors import ConfigError
from meanshape.core.geometry import apply, invert, similarity
from meanshape.core.image import ImageLike, read_image, warp
from meanshape.core.shape import Shape
from meanshape.methods.dan.config import Config
from meanshape.methods.shared.deep_model import GRAPH, MEAN, Run, Samples, UprightModel
from meanshape.methods.shared.steps import Step, heatmap
from meanshape.training.sampling import square_mean


class DAN(UprightModel):
    """Deep Alignment Network, trained in torch and run as one ONNX graph.

    ``predict(..., stages=1)`` computes and returns the first stage alone.
    """

    name: ClassVar[str] = "dan"
    Config: ClassVar[type[Any]] = Config
    learns_from_others: ClassVar[bool] = True

    @classmethod
    def tiny(cls) -> Self:
        """A two-stage network for a few dozen faces."""
        return cls(
            Config(
                crop_size=32,
                sizes=(32, 32),
                widths=(0.125, 0.125),
                features=64,
                dropout=0.0,
                heatmap_stride=1,
                batch=16,
                rate=4e-3,
                steps=(200, 80),
                warmup=10,
                ema=0.98,
                augment="slight",
            )
        )

    @property
    def _files(self) -> tuple[str, ...]:
        return *super()._files, *(first_stages(n) for n in range(1, self.stage_count))

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return f"stage{self.stage_count}"

    @property
    def stage_count(self) -> int:
        """Return how many stages there are."""
        return len(self.config.sizes)

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.dan import training

        kind = self._fitted()
        module = training.fit(
            self.config,
            square_mean([s for s in train if s.shape and s.shape.markup == kind], kind),
            kind,
            train,
            valid,
            **run,
        )
        np.save(out / MEAN, module.mean.numpy().astype(np.float64))  # of what a fit went on from, if any
        training.save(module, out, kind)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops, after the stage before, if any, and the stage."""
        stage = _stages(self.stage_count, **options)
        session = self._session(GRAPH if stage == self.stage_count else first_stages(stage))
        stages = range(max(stage - 1, 1), stage + 1)
        return [np.stack(session({"pixels": crops}, *(f"stage{n}" for n in stages)), 1)]

    def steps(self, image: ImageLike, box: BoxLike | None = None) -> list[Step]:
        """Return S0 and each stage's shape, with the picture and heatmap that later stages see."""
        kind, pixels = self._fitted(), read_image(image)
        assert self._mean is not None
        box = box_in(pixels, box)
        size, config = self.config.crop_size, self.config
        matrix = self._matrix(box, None)
        mean = (self._mean - 0.5) / config.crop_scale * size + (size - 1) / 2
        crop = self._crop(pixels, matrix)
        shape = Shape(apply(invert(matrix), mean), kind)
        found = [Step("S0: the mean shape in the box", shape, {"crop": crop})]
        for number, side in enumerate(config.sizes, 1):
            seen = {"picture": crop}
            if number > 1:
                upright = (self._mean - 0.5) / config.frame_scale * side + (side - 1) / 2
                turned = similarity(shape.points, upright)
                seen = {
                    "picture, brought upright": warp(pixels, turned, (side, side)),
                    "heatmap": heatmap(apply(turned, shape.points), side),
                }
            shape = self.predict_batch([pixels], [box], stages=number)[0]
            found.append(Step(f"S{number}: after stage {number}", shape, seen))
        return found


def first_stages(count: int) -> str:
    """Return the file of the graph that ends with a stage; ONNX Runtime would compute all of the whole."""
    return f"stage{count}.onnx"


def _stages(trained: int, stages: int | None = None) -> int:
    """Return how many stages to run."""
    if stages is not None and not 1 <= stages <= trained:
        raise ConfigError(f"this DAN has {trained} stages, asked for {stages}")
    return stages or trained


MODEL = DAN
