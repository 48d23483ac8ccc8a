"""HELEN as first published: 2,330 large portraits from Flickr, 194 points each (Le et al., ECCV 2012).

    ROOT/annotation/1.txt … 2330.txt: the photo's name, then 194 lines `x , y`
    ROOT/train_1/*.jpg … train_4/  test/ (or helen_1/ … helen_5/, or any folder)
    ROOT/trainnames.txt  testnames.txt: names without suffix, one a line

The same photos with the 68 points of iBUG are the set `helen`, 348 of them with 29 points `helen29`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, listed, photos_below
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, read_text, write_text

card = load_card(__file__)
MARKUP, POINTS = "helen194", 194


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    names = {part: listed(root / f"{part}names.txt") for part in ("train", "test")}
    if split in names and names[split] is None:
        raise DataSetError(f"{root} holds no {split}names.txt, which says what is in {split}")
    owner = {name: part for part, many in names.items() for name in many or ()}
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for label in sorted(root.glob("annotation/*.txt"), key=lambda path: (len(path.stem), path.stem)):
        name, _, rest = read_text(label).strip().partition("\n")
        name = name.strip()
        own = owner.get(name, "all")
        if split in (None, "all", own):
            result.take(name, pictures.get(name.lower()), partial(_shape, label, rest), {}, own)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces to train on and one to test on in the layout of the set."""
    root, names = Path(folder), {"train": ["1001_1", "1001_2"], "test": ["2002_1"]}
    number = 0
    for split, many in names.items():
        for name in many:
            number += 1
            place = root / ("train_1" if split == "train" else "test") / f"{name}.jpg"
            points = draw_as(place, number, MARKUP)
            lines = "".join(f"{x:.6f} , {y:.6f}\n" for x, y in points)
            write_text(root / "annotation" / f"{number}.txt", f"{name}\n{lines}")
        write_text(root / f"{split}names.txt", "".join(f"{name}\n" for name in many))
    return root


def _shape(label: Path, text: str) -> Shape:
    points = []
    for number, line in enumerate(text.splitlines(), 2):
        words = line.split(",")
        if line.strip():
            if len(words) != 2:
                raise FormatError(f"wanted x , y, got {line[:40]!r}", label, number)
            points.append([finite(word.strip(), label, number) for word in words])
    if len(points) != POINTS:
        raise FormatError(f"wanted {POINTS} points, got {len(points)}", label, len(points) + 1)
    return Shape(np.array(points), MARKUP)
