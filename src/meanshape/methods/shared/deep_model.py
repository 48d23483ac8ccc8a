"""What the networks share that look at a crop of the face: torch trains, ONNX Runtime predicts."""

from __future__ import annotations

import shutil
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import MissingExtra
from meanshape.core.geometry import apply, compose, frame_matrix, invert, similarity, square_matrix
from meanshape.core.image import Pixels, warp
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Checked, Files
from meanshape.methods.base import Answer, LandmarkModel, Progress
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.session import OnnxSession
from meanshape.methods.shared.arrays import load_points
from meanshape.methods.shared.frames import own_unit

GRAPH, MEAN, STATE = "model.onnx", "mean.npy", "weights.safetensors"
BATCH = 32
Samples = Sequence[Sample]
TRAINING = ("torch", "onnx", "safetensors", "sklearn")
"""What the extra `train` brings along."""


class Run(TypedDict):
    """How a training runs: its seed, where it keeps checkpoints, which weights it begins with."""

    seed: int
    folder: Path | None
    initial: Path | None
    progress: Progress


class DeepModel(LandmarkModel):
    """A method trained in torch and run as an ONNX graph, from a square crop of the face to its points.

    `fit` trains, exports and loads what it exported: a model that was just trained and one that was loaded
    are the same thing. The config has `crop_size` (pixels) and `crop_scale` (box sizes).
    """

    starts_from_weights: ClassVar[bool] = True

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config)
        self.threads = threads
        self._folder: Files | None = None
        self._sessions: dict[str, OnnxSession] = {}

    @abstractmethod
    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        """Train, and write into a folder what `_load` reads, and torch weights (`STATE`) to go on from."""

    @abstractmethod
    def _run(self, crops: NDArray[np.uint8], **options: Any) -> Sequence[NDArray[Any]]:
        """Run the graph on crops (N, S, S, 3).

        Returns
        -------
        points (N, K, 2), or of several stages (N, T, K, 2), in pixels of the crops; then what else there is
        """

    @property
    def _files(self) -> tuple[str, ...]:
        """The files that `_load` reads."""
        return (GRAPH,)

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return "points"

    @property
    def _frame(self) -> tuple[int, float]:
        """Side of the crop, in pixels and in face boxes."""
        return self.config.crop_size, self.config.crop_scale

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return () if self._folder is None else self._session().runs_on

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        self._fitted()
        return Graph.about(self._session().path, self.output, *self._frame)

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        out = Path(mkdtemp(prefix="meanshape-"))
        weakref.finalize(self, shutil.rmtree, out, ignore_errors=True)
        try:
            self._train(
                out, train, valid,
                seed=seed, folder=self.run_folder, initial=self.initial, progress=progress,
            )  # fmt: skip
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in TRAINING:
                raise
            raise MissingExtra.of("train", f"Training {type(self).__name__}") from error
        self._load(out)

    def _save(self, folder: Path) -> None:
        assert self._folder is not None
        for name in self._files:
            shutil.copyfile(self._folder / name, folder / name)
        if not isinstance(self._folder, Checked) or STATE in self._folder:  # serves further training alone
            shutil.copyfile(self._folder / STATE, folder / STATE)

    def _load(self, folder: Files) -> None:
        self._folder, self._sessions = folder, {}
        self._session()

    def _session(self, name: str = GRAPH) -> OnnxSession:
        """Return the session of a graph, made when it is first asked for."""
        assert self._folder is not None
        if name not in self._sessions:
            self._sessions[name] = OnnxSession(self._folder / name, self.threads, self.providers)
        return self._sessions[name]

    def _matrix(self, box: Box, start: Shape | None) -> NDArray[np.float64]:
        """Return the map (2, 3) from the image to the crop."""
        size, scale = self._frame
        return square_matrix(box, scale, size)

    def _crop(self, image: Pixels, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the crop (S, S, 3)."""
        size = self._frame[0]
        return warp(image, matrix, (size, size))

    def _answers(
        self, images: Sequence[Pixels], boxes: Sequence[Box], starts: Sequence[Shape | None], **options: Any
    ) -> tuple[NDArray[np.float64], list[NDArray[Any]]]:
        """Return the maps (N, 2, 3) from images to crops, and what `_run` answers."""
        matrices = [self._matrix(box, start) for box, start in zip(boxes, starts, strict=True)]
        parts = []
        for first in range(0, len(images), BATCH):
            pairs = zip(images[first : first + BATCH], matrices[first : first + BATCH], strict=True)
            parts.append(self._run(np.stack([self._crop(*pair) for pair in pairs]), **options))
        return np.stack(matrices), [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> Answer:
        matrices, (points, *_) = self._answers(images, boxes, starts, **options)
        return in_images(points, matrices)


class UprightModel(DeepModel):
    """A network that knows the mean shape, so that its crop can begin upright from an earlier shape."""

    starts_in_own_box: ClassVar[bool] = True

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self._mean: NDArray[np.float64] | None = None

    @property
    def _files(self) -> tuple[str, ...]:
        return GRAPH, MEAN

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        super()._load(folder)

    def _matrix(self, box: Box, start: Shape | None) -> NDArray[np.float64]:
        """Return the map from the image to the crop: the box's square, or the start's, turned upright."""
        assert self._mean is not None
        size, scale = self._frame
        if start is None:
            return square_matrix(box, scale, size)
        return upright_matrix(start, self._mean, self._fitted(), scale, size)


def in_images(points: NDArray[Any], matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (N, K, 2) or (N, T, K, 2) of crops in the images, by the maps (N, 2, 3) to the crops."""
    back = invert(matrices)
    return apply(back[:, None] if points.ndim == 4 else back, points.astype(np.float64))


def upright_matrix(
    start: Shape, mean: NDArray[np.float64], kind: MarkUp, scale: float, size: int
) -> NDArray[np.float64]:
    """Return the map from the image to a crop of ``scale`` boxes on size x size pixels.

    From an earlier shape of 68 points: the square of its own tight box, turned with it, as in training; else
    the similarity from the shape to the mean shape (K, 2), which is given in the unit square of the face box.
    """
    if start.markup == kind and (own := own_unit(mean, start)) is not None:
        return compose(invert(own), frame_matrix(size, scale))
    placed = (mean - 0.5) / scale * size + (size - 1) / 2
    return similarity(start.points, placed if start.markup == kind else kind.convert(placed, start.markup))
