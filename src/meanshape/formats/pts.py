"""The `.pts` file of iBUG and 300-W: one face a file, one point a line, **1-based** on disk, 0-based here.

    version: 1
    n_points: 68
    {
    133.7453 172.6841
    …
    }

A file that holds nothing but lines of two numbers is read too. The format has no mark-up, no name of the
photo and no way to say "not annotated".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.errors import FormatError
from meanshape.core.prediction import Prediction
from meanshape.formats.faces import face, guess_markup
from meanshape.formats.text import finite, read_text, whole, write_text

ORIGIN = 1.0
"""What the top-left pixel's centre is called on disk."""

_WORD = re.compile(r"[A-Za-z_]\w*")


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read a file as the one face of a photo of the same name."""
    points = read_points(path)
    name = markup or guess_markup(len(points), path)
    return [Prediction((face(points, name, source=path),), (0, 0), Path(path).stem)]


def write(path: str | Path, predictions: Sequence[Prediction]) -> None:
    """Write the one face of the one photo; more do not fit into a file, and none is no file."""
    write_text(Path(path), as_text(path, predictions))


def as_text(path: str | Path, predictions: Sequence[Prediction]) -> str:
    """Return what `write` writes; `path` is named in errors."""
    shapes = [f.shape for p in predictions for f in p.faces if f.shape is not None]
    if len(shapes) != 1:
        raise FormatError(
            f"a .pts file holds one face, and {len(shapes)} came; write csv or jsonl", path=path
        )
    return render(shapes[0].points, path)


def read_points(path: str | Path, count: int | None = None) -> NDArray[np.float64]:
    """Read the points (K, 2), in pixels, 0-based; `count` is how many there must be."""
    path = Path(path)
    points = parse(read_text(path), path)
    if count is not None and len(points) != count:
        raise FormatError(f"wanted {count} points, got {len(points)}", path=path)
    return points


def parse(text: str, source: str | Path = "<text>") -> NDArray[np.float64]:
    """Read points (K, 2) from the text of a `.pts` file; `source` is named in errors."""
    announced: tuple[int, int] | None = None
    opened = closed = 0
    points: list[tuple[float, float]] = []
    number = 0
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word:
            continue
        key, colon, value = (part.strip() for part in word.partition(":"))
        header = colon and _WORD.fullmatch(key)
        if closed:
            raise FormatError(f"unexpected {word[:40]!r} after the closing brace", path=source, line=number)
        if word == "{" and not opened and not points:
            opened = number
        elif word == "}" and opened:
            closed = number
        elif header and not opened and not points:
            if key.lower() == "n_points":
                announced = _count(value, source, number), number
        else:
            points.append(_point(word, source, number))
    if opened and not closed:
        raise FormatError(f"the brace opened in line {opened} is never closed", path=source, line=number)
    if announced and not opened:
        raise FormatError(
            "n_points must be followed by '{', the points and '}'", path=source, line=announced[1]
        )
    if announced and announced[0] != len(points):
        message = f"n_points promises {announced[0]} points, {len(points)} follow"
        raise FormatError(message, path=source, line=announced[1])
    if not points:
        raise FormatError("no points", path=source, line=max(number, 1))
    return np.array(points, dtype=np.float64) - ORIGIN


def write_points(path: str | Path, points: ArrayLike) -> None:
    """Write points (K, 2), 0-based pixels, as a `.pts` file."""
    write_text(Path(path), render(points, path))


def render(points: ArrayLike, source: str | Path = "<points>") -> str:
    """Render points (K, 2) as the text of a `.pts` file."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1:] != (2,) or not len(array):
        raise FormatError(f"wanted points of shape (K, 2), got {array.shape}", path=source)
    if not np.isfinite(array).all():
        hidden = int((~np.isfinite(array).all(axis=1)).sum())
        message = (
            f"{hidden} of {len(array)} points are not annotated, which .pts cannot say; write csv or jsonl"
        )
        raise FormatError(message, path=source)
    rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in array + ORIGIN)
    return f"version: 1\nn_points: {len(array)}\n{{\n{rows}\n}}\n"


def _count(text: str, source: str | Path, line: int) -> int:
    if whole(text) < 0:
        raise FormatError(f"n_points should be a whole number, not {text[:40]!r}", path=source, line=line)
    return whole(text)


def _point(text: str, source: str | Path, line: int) -> tuple[float, float]:
    words = text.replace(",", " ").split()
    if len(words) != 2:
        raise FormatError(f"wanted two numbers, x and y, got {text[:40]!r}", path=source, line=line)
    return finite(words[0], source, line), finite(words[1], source, line)
