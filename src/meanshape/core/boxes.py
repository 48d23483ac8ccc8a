"""Boxes as people give them: a `Box`, four numbers, or an array (N, 4), which may be a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from meanshape.core import checks
from meanshape.core.errors import BoxError
from meanshape.core.types import Box

BoxLike = Box | Sequence[float] | NDArray[Any]
BoxesLike = Box | Sequence[BoxLike] | Sequence[float] | NDArray[Any]
WANTED = "a Box or its four numbers left, top, right, bottom"


def as_box(given: Any) -> Box:
    """Return one box, or raise `BoxError`."""
    if isinstance(given, Box):
        return given
    numbers = checks.array(given, BoxError, WANTED)
    if numbers.shape != (4,) or numbers.dtype.kind not in "iuf":
        raise BoxError(f"a box is {WANTED}, not {_shown(given)}")
    return Box(*numbers.tolist())


def box_in(pixels: NDArray[Any], given: BoxLike | None) -> Box:
    """Return one box, or that of the whole picture (H, W, 3) where none is given."""
    return Box.whole(pixels.shape[1], pixels.shape[0]) if given is None else as_box(given)


def as_boxes(given: Any) -> list[Box]:
    """Return the boxes of a box, of four numbers, of an array (N, 4), or of a sequence of boxes."""
    if isinstance(given, Box):
        return [given]
    if isinstance(given, (str, bytes, dict)):
        raise BoxError(f"boxes are Boxes or an array (N, 4), not {_shown(given)}")
    if hasattr(given, "__array__"):
        given = checks.array(given, BoxError, "an array (N, 4)")
        if given.size == 0 and given.ndim < 3:
            return []
    try:
        several = list(given)
    except TypeError:
        raise BoxError(f"boxes are Boxes or an array (N, 4), not {_shown(given)}") from None
    if several and not any(isinstance(one, Box) or hasattr(one, "__len__") for one in several):
        return [as_box(given)]  # four plain numbers
    boxes = []
    for number, one in enumerate(several, 1):
        try:
            boxes.append(as_box(one))
        except BoxError as error:
            raise BoxError(f"box {number} of {len(several)}: {error}") from None
    return boxes


def _shown(given: Any) -> str:
    """Return a short picture of a wrong value."""
    shape = getattr(given, "shape", None)
    if shape is not None:
        return f"{type(given).__name__} of shape {tuple(shape)}"
    text = repr(given)
    return text if len(text) < 60 else f"{text[:57]}…"
