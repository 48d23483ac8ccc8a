"""What label files share: guessing a mark-up, and a face from points alone."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, FormatError, ShapeError
from meanshape.core.face import Face
from meanshape.core.markup import markup, markup_names
from meanshape.core.shape import Shape


def guess_markup(count: int, source: str | Path, line: int | None = None) -> str:
    """The one usual mark-up of `count` points; `FormatError` where there is none, or more than one."""
    fitting = [name for name in markup_names() if len(markup(name)) == count]
    usual = [name for name in fitting if markup(name).usual]
    if len(usual) == 1:
        return usual[0]
    if fitting:
        have = "all have" if len(fitting) > 1 else "alone has"
        message = f"{', '.join(fitting)} {have} {count} points; say that it is meant with markup="
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
