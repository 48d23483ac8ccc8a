"""`.asf` files of the AAM programs of DTU: how many points, then one a line, relative to the picture's size.

path type x y number from to …      x and y are fractions of the picture's width and height
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core.errors import FormatError
from meanshape.formats.text import finite, read_text, write_text


def read_asf(path: Path, size: tuple[int, int], count: int) -> NDArray[np.float64]:
    """Read the points (count, 2), in pixels of a picture of that size (width, height)."""
    filled = (
        (number, line.split())
        for number, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip() and not line.startswith("#")
    )
    lines = list(islice(filled, 1 + count))  # the words of many more would fill the memory
    if not lines or lines[0][1] != [str(count)]:
        raise FormatError(f"wanted the number of points, {count}, first", path, lines[0][0] if lines else 1)
    rows = lines[1:]
    if len(rows) < count or any(len(words) < 5 for _, words in rows):
        number, words = next((row for row in rows if len(row[1]) < 5), lines[-1])
        raise FormatError(
            f"wanted {count} points, path type x y number … each, got {words[:7]}", path, number
        )
    fractions = np.array([[finite(word, path, number) for word in words[2:4]] for number, words in rows])
    return fractions * np.array(size, dtype=np.float64)


def write_asf(path: Path, points: ArrayLike, size: tuple[int, int], picture: str) -> None:
    """Write points (K, 2) of a picture of that size."""
    width, height = size
    rows = [
        f"0 \t0 \t{x / width:.8f} \t{y / height:.8f} \t{i} \t0 \t0"
        for i, (x, y) in enumerate(np.asarray(points))
    ]
    head = ["# number of model points", "#", str(len(rows)), ""]
    write_text(path, "\n".join([*head, *rows, "", "# host image", picture]))
