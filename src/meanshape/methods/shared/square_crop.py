"""What the networks share that look at one square crop of the face: crops in, points back in the picture."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError
from meanshape.core.image import Pixels, warp
from meanshape.core.types import Box, Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.session import OnnxSession
from meanshape.training.sampling import square_matrix

GRAPH = "model.onnx"
BATCH = 32


class SquareCropModel(LandmarkModel):
    """A method trained in torch and run as one ONNX graph from a square crop of the face to its points.

    Its config has `crop_size` (pixels) and `crop_scale` (box sizes).
    """

    output = "points"
    """The output of the graph that `meanshape export` is to keep."""

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config)
        self.threads = threads
        self._session: OnnxSession | None = None
        self._module: Any = None

    @abstractmethod
    def _points(self, crops: NDArray[np.uint8], **options: Any) -> NDArray[np.float32]:
        """Return the points (N, K, 2), or those of several stages (N, T, K, 2), in pixels of the crops
        (N, S, S, 3).
        """

    def _framed(self, box: Box) -> Box:
        """Return the box that the crop is about, of a canonical box."""
        return box

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return () if self._session is None else self._session.runs_on

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        self._fitted()
        return Graph.of(self._session, self.output, self.config.crop_size, self.config.crop_scale)

    def _crop(self, image: Pixels, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return the crop (S, S, 3) of a canonical box, and the map to it from the picture."""
        size = self.config.crop_size
        matrix = square_matrix(self._framed(box), self.config.crop_scale, size)
        return warp(image, matrix, (size, size)), matrix

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        parts = []
        for first in range(0, len(images), BATCH):
            pairs = zip(images[first : first + BATCH], boxes[first : first + BATCH], strict=True)
            crops, matrices = zip(*(self._crop(image, box) for image, box in pairs), strict=True)
            points = self._points(np.stack(crops), **options).astype(np.float64)
            maps = np.stack(matrices)  # each a scale and a shift
            scale, shift = maps[:, 0, 0], maps[:, :, 2]
            if points.ndim == 4:
                scale, shift = scale[:, None], shift[:, None]
            parts.append((points - shift[..., None, :]) / scale[..., None, None])
        return np.concatenate(parts)

    def _trained(self) -> Any:
        """Return the torch module, to be saved; raises `ConfigError` where a graph alone was loaded."""
        if self._module is None:
            raise ConfigError(
                f"this {type(self).__name__} was loaded from a graph without torch weights; "
                "copy its folder instead"
            )
        return self._module

    def _load(self, folder: Files) -> None:
        self._session = OnnxSession(folder / GRAPH, self.threads, self.providers)
