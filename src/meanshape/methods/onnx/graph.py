"""What a deep method runs: one ONNX file from a crop of the face to the points in that crop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file and the crop that it takes.

    Parameters
    ----------
    path : the file; its input `pixels` is uint8 (N, height, width, 3)
    output : the output with the points (N, K, 2), in pixels of the crop
    size : (width, height) of the crop, pixels
    window : left, top, right, bottom of the crop about the centre of the canonical face box, in sides of the
        box; in the square root of its area if `square`
    square : whether the crop keeps the picture's proportions
    """

    path: Path
    output: str
    size: tuple[int, int]
    window: tuple[float, float, float, float]
    square: bool = True

    @classmethod
    def about(cls, path: Path, output: str, side: int, scale: float) -> Graph:
        """Return the graph of a square crop of `scale` box sizes about the box's centre."""
        half = scale / 2
        return cls(path, output, (side, side), (-half, -half, half, half))

    def matrix(self, box: Box) -> NDArray[np.float64]:
        """Return the map from the picture to the crop (2, 3)."""
        left, top, right, bottom = self.window
        wide, tall = (box.size, box.size) if self.square else (box.width, box.height)
        zoom = np.array([(right - left) * wide, (bottom - top) * tall]) / self.size
        start = np.add(box.center, (left * wide, top * tall))
        return np.hstack([np.diag(1 / zoom), (-start / zoom - 0.5)[:, None]])
