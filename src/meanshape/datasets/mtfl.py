"""MTFL: 10,000 web photos and 2,995 crops of AFLW, five points and four attributes each (Zhang et al., ECCV
2014).

    ROOT/training.txt  testing.txt  lfw_5590/*.jpg  net_7876/*.jpg  AFLW/*.jpg  [validation_names.txt]

The lists are 1-based. The set has no boxes; where `trainImageList.txt` of CNN_FacePoint, which names the
same training photos, lies beside, its boxes are used. The test crops have none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from meanshape.core.errors import FormatError
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.cuhk import (
    VALIDATION,
    Row,
    base,
    draw_faces,
    facepoint_line,
    facepoint_rows,
    mtfl_line,
    mtfl_rows,
    rows_of,
    to_survey,
)
from meanshape.datasets.parts.files import existing_folder
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import write_text

card = load_card(__file__)

LISTS = {"train": "training.txt", "test": "testing.txt"}
BOXES = "trainImageList.txt"


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    folder = base(existing_folder(root, card.name), LISTS)
    return to_survey(rows_of(split, folder, LISTS, _rows, card), folder, card, _attributes)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write six drawn faces to train on, two of them for validation, and three to test on."""
    root = Path(folder)
    train = [f"{part}/face_{n}.jpg" for part in ("lfw_5590", "net_7876") for n in range(3)]
    test = [f"AFLW/{n:04d}-image{n}.jpg" for n in range(3)]
    points = draw_faces(root, train + test)
    codes = [(1 + n % 2, 2 - n % 2, 1 + n // 2 % 2, 1 + n % 5) for n in range(len(points))]
    lines = [mtfl_line(*row) for row in zip(train + test, points, codes, strict=True)]
    boxes = [facepoint_line(name, shape) for name, shape in zip(train, points, strict=False)]
    lists = {
        LISTS["train"]: [*lines[: len(train)], " "],
        LISTS["test"]: lines[len(train) :],
        BOXES: boxes,
        VALIDATION: [train[2], train[5]],
    }
    for name, rows in lists.items():
        write_text(root / name, "".join(f"{row}\n" for row in rows))
    return root


def _rows(path: Path) -> list[Row]:
    """The rows of a list, with boxes where the other list of the same photos lies beside."""
    rows, other = mtfl_rows(path), path.with_name(BOXES)
    if path.name == LISTS["test"] or not other.is_file():
        return rows
    boxes = {row.path: row.box for row in facepoint_rows(other)}
    return [replace(row, box=boxes.get(row.path)) for row in rows]


def _attributes(row: Row) -> dict[str, str]:
    """The words for a row's codes, which count from 1."""
    words = {}
    for (name, labels), code in zip(card.labels.items(), row.codes, strict=True):
        if not 1 <= code <= len(labels):
            raise FormatError(f"{row.path}: {name} is {code}, wanted 1 to {len(labels)}")
        words[name] = labels[code - 1]
    return words
