"""A model in one ONNX file that `meanshape export` wrote, of whichever method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.geometry import apply, invert
from meanshape.core.image import Pixels, warp
from meanshape.core.markup import named
from meanshape.core.origin import Origin
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.portable import POINTS
from meanshape.methods.onnx.session import OnnxSession

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

WHOLE = "picture and box"
LARGEST = 4096
"""Pixels that a side of a crop may have."""


def _numbers(text: str, count: int) -> list[float]:
    """Read so many finite numbers from a list in JSON."""
    numbers = [float(number) for number in json.loads(text)]
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers} instead of {count} numbers")
    return numbers


class Exported(LandmarkModel):
    """Predicts by the one graph; cannot learn, and starts from the box alone.

    Parameters
    ----------
    path : what `meanshape export` wrote
    threads, providers : for ONNX Runtime
    """

    name = "exported"
    Config = object

    def __init__(
        self, path: str | Path, *, threads: int = 1, providers: Sequence[Provider] | None = None
    ) -> None:
        self.run_folder = self.initial = None
        self.config, self.path = None, Path(path)
        self._session = OnnxSession(path, threads, providers)
        told = self._session.metadata
        if "method" not in told:
            raise WeightsError(f"{path}: its metadata name no method; was it written by meanshape export?")
        try:
            self.name = told["method"]  # type: ignore[misc]  # of this one object: what evaluations call it
            self.markup = named(told["markup"])
            size, window = _numbers(told["size"], 2), _numbers(told["window"], 4)
            square = bool(json.loads(told["square"]))
            (wide, tall), (left, top, right, bottom) = size, window
            if not (1 <= min(size) <= max(size) <= LARGEST and left < right and top < bottom):
                raise ValueError(f"a crop of {size} in {window}")
            self._whole = told["input"] == WHOLE
            self.origin = Origin.read(json.loads(told.get("origin", "{}")))
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise WeightsError(f"{path}: its metadata lack or garble {error}; export it again") from error
        self._crop = Graph(self.path, POINTS, (int(wide), int(tall)), (left, top, right, bottom), square)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self._session.runs_on

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
            return self._checked(np.concatenate(found), len(images))
        matrices = np.stack([self._crop.matrix(box) for box in boxes])
        crops = [warp(image, matrix, self._crop.size) for image, matrix in zip(images, matrices, strict=True)]
        points = self._session({"pixels": np.stack(crops)}, POINTS)[0]
        return apply(invert(matrices), self._checked(points, len(images)))

    def _checked(self, points: NDArray[Any], count: int) -> NDArray[np.float64]:
        """Return what the graph answers as numbers; a file may answer anything."""
        wanted = (count, len(self._fitted()), 2)
        if points.shape != wanted or points.dtype.kind != "f" or not np.isfinite(points).all():
            said = f"{points.dtype} {points.shape}"
            raise WeightsError(
                f"{self.path}: it answers no points: wanted finite floats {wanted}, got {said}"
            )
        return points.astype(np.float64)

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        raise ConfigError(f"{self.path} is an exported file, which cannot learn; train {self.name} instead")

    def _save(self, folder: Path) -> None:
        raise ConfigError(f"{self.path} is an exported file: copy it")

    def _load(self, folder: Files) -> None:
        raise ConfigError(f"{folder}: an exported model is a file, not a folder")
