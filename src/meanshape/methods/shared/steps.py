"""What a model does to a face, step by step, for pages that explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meanshape.core.image import Pixels
from meanshape.core.shape import Shape

REACH = 8
"""DAN's heatmap covers a square of 17 x 17 pixels around each point."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a name, the shape it ends with (image pixels), and pictures of what the step sees."""

    name: str
    shape: Shape
    pictures: Mapping[str, Pixels] = field(default_factory=dict)


def heatmap(points: NDArray[np.float64], size: int) -> Pixels:
    """Return DAN's heatmap of points (K, 2) as a grey picture (size, size, 3): 1 / (1 + distance)."""
    centres = np.clip(points, REACH, size - 1 - REACH)
    y, x = np.mgrid[:size, :size]
    across, down = np.abs(x - centres[:, 0, None, None]), np.abs(y - centres[:, 1, None, None])
    near = (across <= REACH) & (down <= REACH)
    values = np.where(near, 1 / (1 + np.hypot(across, down)), 0).max(0)
    return np.repeat((255 * values + 0.5).astype(np.uint8)[..., None], 3, axis=2)
