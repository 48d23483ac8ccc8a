"""What the words check when they are made."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.errors import MeanshapeError, ShapeError


def number(value: Any, what: str, error: type[ValueError]) -> float:
    """Return a finite float, or raise; a text or a truth value is no number, whatever Python makes of it."""
    try:
        if isinstance(value, (str, bytes, bool, np.complexfloating)):  # of NumPy's, float() takes a part
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise error(f"{what} must be a number, not {value!r}") from None
    if not math.isfinite(found):
        raise error(f"{what} must be finite, not {found}")
    return found


def count(value: Any, what: str, error: type[ValueError], least: int = 1) -> int:
    """Return a whole number from `least` on, or raise."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise error(f"{what} must be a whole number from {least} on, not {value!r}")
    return int(value)


def share(value: Any, what: str, error: type[ValueError]) -> float | None:
    """Return a number in 0..1 (a float32's rounding is forgiven), or None as it came."""
    if value is None:
        return None
    found = number(value, what, error)
    if not -1e-5 <= found <= 1 + 1e-5:
        raise error(f"{what} must lie in 0..1, not {found}")
    return min(max(found, 0.0), 1.0)


def array(values: Any, error: type[ValueError], wanted: str) -> NDArray[Any]:
    """Return an array of what can be one: a tensor may be on a device, need a gradient, or be of bfloat16."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            if "bfloat16" in str(values.dtype):
                values = values.float()
        found = np.asarray(values)
        return found.astype(np.float32) if found.dtype.name == "bfloat16" else found
    except MeanshapeError:  # of a picture that is read only now
        raise
    except (TypeError, ValueError, RuntimeError) as reason:
        raise error(f"wanted {wanted}, not {type(values).__name__}: {reason}") from None


def points(values: ArrayLike) -> NDArray[np.float64]:
    """Return a read-only float64 copy, in which a half-annotated point is not annotated."""
    try:
        found = real(array(values, ShapeError, "points (K, 2)"))
    except (TypeError, ValueError, OverflowError):
        raise ShapeError(f"points must be numbers, not {type(values).__name__}") from None
    if not np.isfinite(found).all():
        if np.isinf(found).any():
            raise ShapeError("points must be finite, or NaN where not annotated")
        if found.ndim == 2:
            found[np.isnan(found).any(1)] = np.nan
    found.flags.writeable = False
    return found


def real(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a float64 copy; complex numbers, of which NumPy would keep a part, are a `TypeError`."""
    if values.dtype.kind == "c":
        raise TypeError
    return np.array(values, np.float64, order="C")


def per_point(values: ArrayLike | None, what: str, kind: type, count: int) -> NDArray[Any] | None:
    """Return one value per point as a read-only copy, or None."""
    if values is None:
        return None
    try:
        if np.iscomplexobj(values):
            raise TypeError
        found: NDArray[Any] = np.array(values, kind)
    except (TypeError, ValueError, OverflowError):
        raise ShapeError(f"{what} must be one value per point, not {type(values).__name__}") from None
    if found.shape != (count,):
        raise ShapeError(f"{what} must have {count} values, one per point, not {found.shape}")
    found.flags.writeable = False
    return found


def same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Tell whether both are None or hold the same values."""
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
