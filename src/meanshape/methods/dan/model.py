"""Predict with DAN: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.boxes import BoxLike, box_in
from meanshape.core.errors import ConfigError, MissingExtra
from meanshape.core.geometry import apply, invert, similarity
from meanshape.core.image import ImageLike, Pixels, read_image, warp
from meanshape.core.markup import MarkUp
from meanshape.core.types import Box, Sample, Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.dan.config import Config
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.session import OnnxSession
from meanshape.methods.shared.arrays import load_points
from meanshape.methods.shared.frames import chain, frame_matrix, inverse, own_unit
from meanshape.methods.shared.steps import Step, heatmap
from meanshape.training.augment import Augmentation
from meanshape.training.sampling import square_matrix, square_mean

GRAPH, MEAN = "model.onnx", "mean.npy"
BATCH = 32


class DAN(LandmarkModel):
    """Deep Alignment Network, trained in torch and run as one ONNX graph.

    ``predict(..., stages=1)`` computes and returns the first stage alone.
    """

    name: ClassVar[str] = "dan"
    starts_in_own_box: ClassVar[bool] = True
    Config: ClassVar[type[Any]] = Config
    learns_from_others: ClassVar[bool] = True

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config)
        self.threads = threads
        self._folder: Files | None = None  # where the graphs are; none: torch runs
        self._sessions: dict[int, OnnxSession] = {}
        self._module: Any = None
        self._mean: NDArray[np.float64] | None = None

    @classmethod
    def tiny(cls) -> Self:
        """A two-stage network for a few dozen faces."""
        plain = Augmentation(rotation=5, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0)
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
                augmentation=plain,
            )
        )

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.dan import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training DAN") from error
        assert self.markup is not None
        self._mean = square_mean([s for s in train if s.shape and s.shape.markup == self.markup], self.markup)
        self._module = training.fit(
            self.config,
            self._mean,
            self.markup,
            train,
            valid,
            seed=seed,
            folder=self.run_folder,
            initial=self.initial,
            progress=progress,
        )
        self._mean = self._module.mean.numpy().astype(np.float64)  # the one that a fit went on from, if any
        self._folder = None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.dan import training

        assert self._mean is not None and self.markup is not None
        np.save(folder / MEAN, self._mean)
        if self._module is None:
            raise ConfigError(
                "this DAN was loaded from a graph without torch weights; copy its folder instead"
            )
        training.save(self._module, folder, self.markup)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        self._folder = folder
        self._sessions = {}
        self._graph(len(self.config.sizes))

    @property
    def stage_count(self) -> int:
        """Return how many stages there are."""
        return len(self.config.sizes)

    def graph(self) -> Graph:
        """Return the graph of all stages, for `meanshape export`."""
        self._fitted()
        if self._folder is None:
            raise ConfigError("this DAN was just trained: save it and load its folder, then export it")
        config, last = self.config, len(self.config.sizes)
        return Graph.about(self._folder / GRAPH, f"stage{last}", config.crop_size, config.crop_scale)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return () if self._folder is None else self._graph(self.stage_count).runs_on

    def _graph(self, stage: int) -> OnnxSession:
        """The graph that ends with a stage, loaded when it is first asked for."""
        assert self._folder is not None
        if stage not in self._sessions:
            name = GRAPH if stage == len(self.config.sizes) else f"stage{stage}.onnx"
            self._sessions[stage] = OnnxSession(self._folder / name, self.threads, self.providers)
        return self._sessions[stage]

    def _run(self, crops: NDArray[np.uint8], stage: int) -> NDArray[np.float32]:
        """Points (N, 1 or 2, K, 2) in pixels of the crops; of a loaded model also after the stage before."""
        if self._folder is not None:
            stages = range(max(stage - 1, 1), stage + 1)
            return np.stack(self._graph(stage)({"pixels": crops}, *(f"stage{n}" for n in stages)), 1)
        from meanshape.methods.dan import training

        return training.run(self._module, crops, stage)[:, None]

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        stage = _stages(len(self.config.sizes), **options)
        size = self.config.crop_size
        matrices = [self._matrix(box, start) for box, start in zip(boxes, starts, strict=True)]
        shapes = []
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            crops = [warp(i, m, (size, size)) for i, m in zip(images[part], matrices[part], strict=True)]
            shapes.append(self._run(np.stack(crops), stage))
        return apply(invert(np.stack(matrices))[:, None], np.concatenate(shapes).astype(np.float64))

    def steps(self, image: ImageLike, box: BoxLike | None = None) -> list[Step]:
        """Return S0 and each stage's shape, with the picture and heatmap that later stages see."""
        kind, pixels = self._fitted(), read_image(image)
        assert self._mean is not None
        box = box_in(pixels, box)
        size, config = self.config.crop_size, self.config
        matrix = self._matrix(box, None)
        mean = (self._mean - 0.5) / config.crop_scale * size + (size - 1) / 2
        crop = warp(pixels, matrix, (size, size))
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

    def _matrix(self, box: Box, start: Shape | None) -> NDArray[np.float64]:
        """Image -> crop: the box's square, or, from an earlier shape, the same turned upright."""
        assert self.markup is not None and self._mean is not None
        scale, size = self.config.crop_scale, self.config.crop_size
        if start is None:
            return square_matrix(box, scale, size)
        return upright_matrix(start, self._mean, self.markup, scale, size)


def upright_matrix(
    start: Shape, mean: NDArray[np.float64], kind: MarkUp, scale: float, size: int
) -> NDArray[np.float64]:
    """Image -> crop of ``scale`` boxes on size x size pixels: of an earlier shape of 68 points the square of
    its own tight box, turned with it, as in training; else the similarity from the shape to the mean shape
    (K, 2), which is given in the unit square of the face box.
    """
    if start.markup == kind and (own := own_unit(mean, start)) is not None:
        return chain(inverse(own), frame_matrix(size, scale))
    placed = (mean - 0.5) / scale * size + (size - 1) / 2
    return similarity(start.points, placed if start.markup == kind else kind.convert(placed, start.markup))


def _stages(trained: int, stages: int | None = None) -> int:
    """Return how many stages to run."""
    if stages is not None and not 1 <= stages <= trained:
        raise ConfigError(f"this DAN has {trained} stages, asked for {stages}")
    return stages or trained


MODEL = DAN
