"""What label files share: guessing a mark-up, and a face from points alone."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from meanshape.core.errors import BoxError, FormatError, ShapeError
from meanshape.core.markup import markup, markup_names
from meanshape.core.types import Box, Face, Shape


def guess_markup(count: int, source: str | Path, line: int | None = None) -> str:
    """The one mark-up of `count` points; `FormatError` where there is none, or more than one."""
    fitting = [name for name in markup_names() if len(markup(name)) == count]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        message = f"{', '.join(fitting)} all have {count} points; say which with markup="
    else:
        message = f"no mark-up has {count} points; there are {', '.join(markup_names())}"
    raise FormatError(message, path=source, line=line)


def face(
    points: ArrayLike,
    name: str,
    visible: ArrayLike | None = None,
    confidence: ArrayLike | None = None,
    *,
    source: str | Path,
    line: int | None = None,
) -> Face:
    """A face from points (K, 2) alone: its box is their tight box."""
    try:
        shape = Shape(points, name, visible, confidence)
        return Face(Box.around(shape.points), shape)
    except (ShapeError, BoxError) as error:
        raise FormatError(str(error), path=source, line=line) from error
