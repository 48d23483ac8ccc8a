"""One network of the cascade under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meanshape.methods.mtcnn.cascade import Answer
from meanshape.methods.onnx.session import OnnxSession

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider


class Network:
    """One of the networks; without `points` that task is left out, and its answer empty."""

    def __init__(
        self, path: Path, threads: int = 1, providers: Sequence[Provider] | None = None, points: bool = True
    ) -> None:
        self._session = OnnxSession(path, threads, providers)
        self._outputs = ("face", "box", "points") if points else ("face", "box")
        self.runs_on = self._session.runs_on

    def __call__(self, pixels: NDArray[np.float32]) -> tuple[Answer, Answer, Answer]:
        """Return scores, box offsets and point offsets of the windows in pixels (N, 3, H, W)."""
        face, box, *rest = self._session({"image": pixels}, *self._outputs)
        return face, box, rest[0] if rest else np.empty(0, np.float32)
