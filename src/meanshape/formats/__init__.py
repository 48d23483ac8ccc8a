"""Label files, read and written: points in pixels, (0, 0) the centre of the top-left pixel.

Every format speaks `Prediction`, one for each photo, so that any can be turned into any other. What a format
cannot hold it refuses or, where it says so, leaves out; a size that a format does not hold is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from meanshape.core.errors import FormatError, suggestion
from meanshape.core.types import Prediction

SUFFIXES = {".pts": "pts", ".csv": "csv", ".jsonl": "jsonl"}
"""The module that reads and writes files of a suffix."""


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read a label file by its suffix.

    `markup` names the mark-up of a file that does not; without, it is guessed from the number of points
    where only one mark-up has so many.
    """
    reader: Callable[[str | Path, str | None], list[Prediction]] = _module(path).read
    return reader(path, markup)


def write(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write a label file by its suffix."""
    _module(path).write(path, predictions)


def _module(path: str | Path):  # type: ignore[no-untyped-def]  # a module
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            f"no label format has the suffix {suffix!r}{suggestion(suffix, SUFFIXES)}", path=path
        )
    return import_module(f"meanshape.formats.{SUFFIXES[suffix]}")


__all__ = ["SUFFIXES", "read", "write"]
