"""PUT: 9,971 large pictures of 100 people who turn their heads, 30 points each (Kasiński et al., 2008).

    ROOT/**/NAME.yml (30 pairs of lines `x: …` and `y: …`)   ROOT/**/NAME.JPG

The set also has contours of 194 points and rectangles in files of the same kind; only files with 30 points
are read. Its folders are not known to us: pictures and points are looked for at any depth, by name.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, labels_in, photos_below
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, read_text, write_text

card = load_card(__file__)
MARKUP, POINTS = "put30", 30
LINE = re.compile(r"\s*+-?\s*+(?P<axis>[xy])\s*+:\s*+(?P<value>[^\s,]++)\s*+,?\s*+")


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for label in labels_in(root, ".yml", ".yaml", below=True):
        pairs = _pairs(label)
        if len(pairs) == 2 * POINTS or "landmark" in str(label.relative_to(root).parent).lower():
            result.take(
                label.stem, pictures.get(label.stem.lower()), partial(_shape, label, pairs), {}, "all"
            )
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces, points and rectangles, as far as the layout is known."""
    root = Path(folder)
    for number in range(2):
        name = f"{number + 1:04d}0001"
        points = draw_as(root / "images" / f"{number + 1:04d}" / f"{name}.JPG", number, MARKUP)
        text = "".join(f"   -\n      x: {x:g}\n      y: {y:g}\n" for x, y in points)
        write_text(root / "landmarks" / f"{name}.yml", f"%YAML:1.0\nLandmarks:\n{text}")
        write_text(root / "rectangles" / f"{name}.yml", "%YAML:1.0\nFace:\n   x: 1\n   y: 2\n   width: 3\n")
    return root


def _pairs(label: Path) -> list[tuple[int, str, str]]:
    """Line number, axis and word of each line that gives one."""
    lines = enumerate(read_text(label).splitlines(), 1)
    found = ((number, LINE.fullmatch(line)) for number, line in lines)
    return [(number, match["axis"], match["value"]) for number, match in found if match]


def _shape(label: Path, pairs: list[tuple[int, str, str]]) -> Shape:
    if len(pairs) != 2 * POINTS:
        last = pairs[-1][0] if pairs else 1
        raise FormatError(f"wanted {POINTS} points, x and y each, got {len(pairs)} numbers", label, last)
    for (number, first, _), (_, second, _) in zip(pairs[::2], pairs[1::2], strict=True):
        if (first, second) != ("x", "y"):
            raise FormatError("wanted x, then y", label, number)
    values = [finite(word, label, number) for number, _, word in pairs]
    return Shape(np.reshape(values, (POINTS, 2)), MARKUP)
