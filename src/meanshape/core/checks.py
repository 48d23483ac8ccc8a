"""What the words check when they are made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.errors import ShapeError


def number(value: Any, what: str, error: type[ValueError]) -> float:
    """Return a finite float, or raise."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise error(f"{what} must be a number, not {value!r}") from None
    if not math.isfinite(found):
        raise error(f"{what} must be finite, not {found}")
    return found


def share(value: Any, what: str, error: type[ValueError]) -> float | None:
    """Return a number in 0..1 (a float32's rounding is forgiven), or None as it came."""
    if value is None:
        return None
    found = number(value, what, error)
    if not -1e-5 <= found <= 1 + 1e-5:
        raise error(f"{what} must lie in 0..1, not {found}")
    return min(max(found, 0.0), 1.0)


def points(values: ArrayLike) -> NDArray[np.float64]:
    """Return a read-only float64 copy, in which a half-annotated point is not annotated."""
    try:
        array = np.array(values, np.float64, order="C")
    except (TypeError, ValueError, OverflowError):
        raise ShapeError(f"points must be numbers, not {type(values).__name__}") from None
    if not np.isfinite(array).all():
        if np.isinf(array).any():
            raise ShapeError("points must be finite, or NaN where not annotated")
        if array.ndim == 2:
            array[np.isnan(array).any(1)] = np.nan
    array.flags.writeable = False
    return array


def per_point(values: ArrayLike | None, what: str, kind: type, count: int) -> NDArray[Any] | None:
    """Return one value per point as a read-only copy, or None."""
    if values is None:
        return None
    try:
        array: NDArray[Any] = np.array(values, kind)
    except (TypeError, ValueError, OverflowError):
        raise ShapeError(f"{what} must be one value per point, not {type(values).__name__}") from None
    if array.shape != (count,):
        raise ShapeError(f"{what} must have {count} values, one per point, not {array.shape}")
    array.flags.writeable = False
    return array


def same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Tell whether both are None or hold the same values."""
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
