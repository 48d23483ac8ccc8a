"""WFLW: 10,000 faces of WIDER FACE, 98 points, a box and six attributes each (Wu et al., CVPR 2018).

    ROOT/WFLW_images/EVENT/NAME.jpg
    ROOT/WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt

A line is 98 times x y, the box left top right bottom, six codes (pose, expression, illumination, make-up,
occlusion, blur) and the photo. The subsets of the test that papers report are those with the code 1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo, rows, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, write_text

card = load_card(__file__)
MARKUP, POINTS = "wflw98", 98
LIST = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
CODES = 2 * POINTS + 4


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    folder = first_of(root, "WFLW_images", "") or root
    there = [part for part in ("train", "test") if (root / LIST.format(part)).is_file()]
    subset = split.removeprefix("test_") if split and split.startswith("test_") else None
    result = Survey(expected=card.expected(split))
    for part in ["test"] if subset else [split] if split else there or ["train"]:
        path = root / LIST.format(part)
        for line, words in rows(path):
            if len(words) < CODES + len(card.labels) + 1:
                raise FormatError(f"wanted {CODES + len(card.labels)} numbers and a photo", path, line)
            attributes = _attributes(path, line, words[CODES : CODES + len(card.labels)])
            if subset and attributes[subset] != card.labels[subset][1]:
                continue
            name = " ".join(words[CODES + len(card.labels) :])
            left, top, right, bottom = (finite(word, path, line) for word in words[2 * POINTS : CODES])
            box = labelled_box(left, top, right, bottom, path, line)
            identity = f"{part}/{line:05d}/{without_suffix(name)}"
            shape = partial(_shape, path, line, words[: 2 * POINTS])
            result.take(identity, photo(folder, name), shape, attributes, part, box)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each split in the layout of the set."""
    root = Path(folder)
    for part, split in enumerate(("train", "test")):
        lines = []
        for number in range(2):
            name = f"0--Parade/0_Parade_{split}_{number}.jpg"
            points = draw_as(root / "WFLW_images" / name, 10 * part + number, MARKUP)
            numbers = " ".join(f"{value:.6f}" for value in points.ravel())
            left, top = np.floor(points.min(axis=0)).astype(int)
            right, bottom = np.ceil(points.max(axis=0)).astype(int)
            lines.append(f"{numbers} {left} {top} {right} {bottom} {' '.join([str(number)] * 6)} {name}\n")
        write_text(root / LIST.format(split), "".join(lines))
    return root


def _shape(path: Path, line: int, words: list[str]) -> Shape:
    return Shape(np.reshape([finite(word, path, line) for word in words], (POINTS, 2)), MARKUP)


def _attributes(path: Path, line: int, codes: list[str]) -> dict[str, str]:
    """The words for the six codes."""
    words = {}
    for (name, labels), code in zip(card.labels.items(), codes, strict=True):
        if code not in ("0", "1"):
            raise FormatError(f"{name} is {code!r}, wanted 0 or 1", path, line)
        words[name] = labels[int(code)]
    return words
