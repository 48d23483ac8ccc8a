"""MUCT: 3,755 pictures of 276 people, five cameras, ten lights, 76 points each (Milborrow et al., PRASA
2010).

    ROOT/jpg/i000qa-fn.jpg (or muct-a-jpg-v1/jpg/ … muct-e-jpg-v1/jpg/)
    ROOT/muct-landmarks/muct76-opencv.csv (or muct-landmarks-v1/…): name,tag,x00,y00,…,x75,y75

The file also holds the mirror images of all shapes (`ir000qa-fn`), of which there are no pictures; they are
passed over. A point that could not be seen is (0, 0).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, photos_below, rows
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, write_text

card = load_card(__file__)
MARKUP, POINTS, TABLE = "muct76", 76, "muct76-opencv.csv"
NAME = re.compile(r"i(?P<person>\d{3})(?P<light>[q-z])(?P<camera>[a-e])-(?P<gender>[fm])(?P<glasses>[gn])")


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    table = next(iter(sorted(root.rglob(TABLE))), None)
    if table is None:
        raise DataSetError(f"there is no {TABLE} at any depth of {root}")
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for number, words in rows(table, ","):
        match = NAME.fullmatch(words[0])
        if match:
            shape = partial(_shape, table, number, words[2:])
            result.take(words[0], pictures.get(words[0].lower()), shape, _attributes(match), "all")
        elif number > 1 and not words[0].startswith("ir"):
            result.broken.append(FormatError(f"wanted a name as i000qa-fn, got {words[0]!r}", table, number))
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces and their mirrored rows in the layout of the set."""
    root, names = Path(folder), ("i000qa-fn", "i001sb-mg")
    lines = ["name,tag," + ",".join(f"x{i:02d},y{i:02d}" for i in range(POINTS))]
    for number, name in enumerate(names):
        points = draw_as(root / "jpg" / f"{name}.jpg", number, MARKUP)
        cells = ",".join(f"{value:g}" for value in points.ravel())
        lines += [f"{name},0000,{cells}", f"ir{name[1:]},0000,{cells}"]
    write_text(root / "muct-landmarks" / TABLE, "\n".join(lines) + "\n")
    return root


def _shape(table: Path, number: int, words: list[str]) -> Shape:
    if len(words) != 2 * POINTS:
        raise FormatError(f"wanted {POINTS} points, got {len(words)} numbers", table, number)
    points = np.array([finite(word, table, number) for word in words]).reshape(POINTS, 2)
    points[(points == 0).all(axis=1)] = np.nan
    return Shape(points, MARKUP)


def _attributes(match: re.Match[str]) -> dict[str, str]:
    """What the name says, in the words of the other sets."""
    words = match.groupdict()
    words["gender"] = {"f": "female", "m": "male"}[words["gender"]]
    words["glasses"] = {"g": "glasses", "n": "no glasses"}[words["glasses"]]
    return words
