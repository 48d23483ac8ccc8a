"""Single labels that cannot be read are left out and named; they do not cost the others.

A file with many labels is read through `Labels`: what is wrong with one of them is kept, and the next one is
tried. A file of which no label can be read is an error, for it is in a form that nobody here knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, FormatError, MeanshapeError, MeanshapeWarning, in_words
from meanshape.core.shape import Shape

_WRONG = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, MeanshapeError)


@dataclass(slots=True)
class Faults:
    """What was wrong with single labels: `skipped` are left out, `mended` have their points' box."""

    skipped: list[FormatError] = field(default_factory=list)
    mended: list[FormatError] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return how many labels are left out and mended, each with the first of them."""
        kinds = {"left out": self.skipped, "with a box taken from the points": self.mended}
        return [
            f"{len(errors)} label{'s' if len(errors) > 1 else ''} {what}: {errors[0]}"
            + (f"; {errors[1]}; …" if len(errors) > 1 else "")
            for what, errors in kinds.items()
            if errors
        ]

    def refuse(self) -> None:
        """Raise the first label that was left out."""
        if self.skipped:
            raise self.skipped[0]


class Labels:
    """Reads the labels of one file, each in a block of its own.

    >>> with Labels("a.json", faults) as labels:            # doctest: +SKIP
    ...     for number, annotation in enumerate(many):
    ...         with labels.one(f"annotation {number}"):
    ...             faces.append(read(annotation))

    Parameters
    ----------
    path : the file
    faults : takes what is wrong; None: a warning says it
    """

    def __init__(self, path: str | Path, faults: Faults | None) -> None:
        """Start with nothing read."""
        self.path, self._told, self._found, self.good = path, faults, Faults(), 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell what was wrong; if nothing was right, raise it."""
        if kind is not None:
            return
        if not self.good:
            self._found.refuse()
        if self._told is not None:
            self._told.skipped += self._found.skipped
            self._told.mended += self._found.mended
        elif said := self._found.sentences():
            warnings.warn("; ".join(said), MeanshapeWarning, stacklevel=4)

    @contextmanager
    def one(self, what: str = "", line: int | None = None) -> Iterator[None]:
        """Try a label; `what` and `line` say which, where its error does not."""
        try:
            yield
        except _WRONG as error:
            self.skip(error, what, line)
        else:
            self.good += 1

    def skip(self, error: Exception, what: str = "", line: int | None = None) -> None:
        """Leave a label out."""
        self._found.skipped.append(self._named(error, what, line))

    def box(
        self, make: Callable[[], Box], shape: Shape | None, what: str = "", line: int | None = None
    ) -> Box:
        """Return a label's box; where it is none, that of its points."""
        try:
            return make()
        except _WRONG as error:
            try:
                box = Box.around(() if shape is None else shape.points)
            except BoxError:
                raise error from None
            self._found.mended.append(self._named(error, what, line))
            return box

    def _named(self, error: Exception, what: str, line: int | None) -> FormatError:
        """Return an error as one of this file."""
        if isinstance(error, FormatError) and error.line is not None:
            return error
        said = _in_words(error)
        said = said.removeprefix(f"{self.path}: ")
        return FormatError(f"{what}: {said}" if what else said, self.path, line)


def _in_words(error: Exception) -> str:
    """Return what is wrong with a label, without Python's words for it where there are others."""
    if isinstance(error, MeanshapeError | KeyError):
        return in_words(error)
    return f"it has another form ({in_words(error)})"


__all__ = ["Faults", "Labels"]
