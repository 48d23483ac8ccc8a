"""Prediction: one ONNX graph from the crop to the points after both looks."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, MissingExtra
from meanshape.core.geometry import apply, invert, similarity
from meanshape.core.image import ImageLike, Pixels, read_image, warp
from meanshape.core.markup import MarkUp, named
from meanshape.core.types import Box, Sample, Shape
from meanshape.core.weights import Checked, Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.dan.model import upright_matrix
from meanshape.methods.integral.config import PRESETS, Config
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.session import OnnxSession
from meanshape.methods.shared.arrays import load_points
from meanshape.methods.shared.confidence import Found
from meanshape.methods.shared.steps import Step
from meanshape.training.sampling import square_matrix

__all__ = ["MODEL", "PRESETS", "Config", "Integral"]

OUTPUTS = ("stage1", "stage2", "spread")
GRAPHS, MEAN, STATE = ("stage1.onnx", "model.onnx"), "mean.npy", "weights.safetensors"
STAGES = 2
BATCH = 32


class Integral(LandmarkModel):
    """Votes of coarse cells, in two looks; trained in torch, run as one ONNX graph.

    ``predict(..., stages=1)`` computes and returns the first look alone.
    """

    name: ClassVar[str] = "integral"
    starts_in_own_box: ClassVar[bool] = True
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config)
        self.threads = threads
        self._sessions: dict[int, OnnxSession] = {}
        self._folder: Files | None = None
        self._mean: NDArray[np.float64] | None = None

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

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.integral import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training this method") from error
        folder = Path(mkdtemp(prefix="meanshape-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        training.fit(
            self.config,
            self._fitted(),
            train,
            valid,
            seed=seed,
            folder=self.run_folder,
            initial=self.initial,
            progress=progress,
        ).save(folder)
        self._load(folder)

    def _save(self, folder: Path) -> None:
        assert self._folder is not None
        for name in (*GRAPHS, MEAN):
            shutil.copyfile(self._folder / name, folder / name)
        if not isinstance(self._folder, Checked) or STATE in self._folder:  # serves further training alone
            shutil.copyfile(self._folder / STATE, folder / STATE)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        self._folder, self._sessions = folder, {}
        self._session(STAGES)

    def _session(self, stages: int) -> OnnxSession:
        """Return the session that ends with a stage, made when it is first asked for."""
        assert self._folder is not None
        if stages not in self._sessions:
            path = self._folder / GRAPHS[stages - 1]
            self._sessions[stages] = OnnxSession(path, self.threads, self.providers)
        return self._sessions[stages]

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self._session(STAGES).runs_on if self._folder else ()

    @property
    def stage_count(self) -> int:
        """Return how many stages there are."""
        return STAGES

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        self._fitted()
        path = self._session(STAGES).path
        return Graph.about(path, "stage2", self.config.crop_size, self.config.crop_scale)

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64] | Found:
        stages = _stages(**options)
        matrices = np.stack([self._matrix(box, start) for box, start in zip(boxes, starts, strict=True)])
        outputs = []
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            crops = [self._crop(image, m) for image, m in zip(images[part], matrices[part], strict=True)]
            outputs.append(self._run(np.stack(crops), stages))
        *points, spread = (np.concatenate(each).astype(np.float64) for each in zip(*outputs, strict=True))
        if stages < STAGES:
            return apply(invert(matrices), spread)
        scale = np.hypot(matrices[:, 0, 0], matrices[:, 0, 1])  # pixels of the crop per pixel of the image
        return Found(apply(invert(matrices)[:, None], np.stack(points, 1)), spread / scale[:, None])

    def _run(self, crops: NDArray[np.uint8], stages: int = STAGES) -> list[NDArray[np.float32]]:
        """Return the points (N, K, 2) after each stage in pixels of the crops (N, S, S, 3); after all, also
        the spread of the votes (N, K).
        """
        return self._session(stages)({"pixels": crops}, *OUTPUTS[: stages + stages // STAGES])

    def _crop(self, image: Pixels, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        size = self.config.crop_size
        return warp(image, matrix, (size, size))

    def _matrix(self, box: Box, start: Shape | None) -> NDArray[np.float64]:
        """Return the map from image to crop: the box's square, or, from a start, the same turned upright."""
        assert self._mean is not None
        scale, size = self.config.crop_scale, self.config.crop_size
        if start is None:
            return square_matrix(box, scale, size)
        return upright_matrix(start, self._mean, self._fitted(), scale, size)

    def steps(self, image: ImageLike, box: Box | None = None) -> list[Step]:
        """Return the shape after each look, with the picture that it sees."""
        kind, pixels, config = self._fitted(), read_image(image), self.config
        assert self._mean is not None
        box = Box.whole(pixels.shape[1], pixels.shape[0]) if box is None else box
        matrix = self._matrix(box, None)
        crop = self._crop(pixels, matrix)
        first, second = (apply(invert(matrix), points[0]) for points in self._run(crop[None])[:STAGES])
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
