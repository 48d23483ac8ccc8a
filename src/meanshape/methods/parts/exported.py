"""A model in one ONNX file that `meanshape export` wrote, of whichever method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.geometry import apply, invert
from meanshape.core.image import Pixels, warp
from meanshape.core.markup import markup
from meanshape.core.types import Box, Sample, Shape
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.parts.graph import Graph
from meanshape.methods.parts.onnx_session import OnnxSession
from meanshape.methods.parts.portable import POINTS

WHOLE = "picture and box"


class Exported(LandmarkModel):
    """Predicts by the one graph; cannot learn, and starts from the box alone.

    Parameters
    ----------
    path : what `meanshape export` wrote
    threads, providers : for ONNX Runtime
    """

    name = "exported"
    Config = object

    def __init__(self, path: str | Path, *, threads: int = 1, providers: Sequence[str] | None = None) -> None:
        self.run_folder = self.initial = None
        self.config, self.path = None, Path(path)
        self._session = OnnxSession(path, threads, providers)
        told = self._session.metadata
        if "method" not in told:
            raise WeightsError(f"{path}: its metadata name no method; was it written by meanshape export?")
        try:
            self.name = told["method"]  # type: ignore[misc]  # of this one object: what evaluations call it
            self.markup = markup(told["markup"])
            size, window = json.loads(told["size"]), json.loads(told["window"])
            square = bool(json.loads(told["square"]))
            self._whole = told["input"] == WHOLE
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{path}: its metadata lack or garble {error}; export it again") from error
        self._crop = Graph(self.path, POINTS, (size[0], size[1]), tuple(window), square)

    def graph(self) -> Graph:
        """Say that what was exported is not exported again."""
        raise ConfigError(f"{self.path} is an exported file already; export the model that it came from")

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        if self._whole:
            found = [
                self._session({"image": image, "box": np.array(box.as_list(), np.float32)}, POINTS)[0]
                for image, box in zip(images, boxes, strict=True)
            ]
            return np.concatenate(found).astype(np.float64)
        matrices = np.stack([self._crop.matrix(box) for box in boxes])
        crops = [warp(image, matrix, self._crop.size) for image, matrix in zip(images, matrices, strict=True)]
        points = self._session({"pixels": np.stack(crops)}, POINTS)[0]
        return apply(invert(matrices), points.astype(np.float64))

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        raise ConfigError(f"{self.path} is an exported file, which cannot learn; train {self.name} instead")

    def _save(self, folder: Path) -> None:
        raise ConfigError(f"{self.path} is an exported file: copy it")

    def _load(self, folder: Path) -> None:
        raise ConfigError(f"{folder}: an exported model is a file, not a folder")
