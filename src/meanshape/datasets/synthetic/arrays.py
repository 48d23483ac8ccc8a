"""The one kind of array here: float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def f32(values: ArrayLike) -> Floats:
    """Return values as float32."""
    return np.asarray(values, np.float32)
