"""AffectNet: some 420,000 faces from the web, labelled by people, 68 points and an emotion each
(Mollahosseini et al., 2017).

    ROOT/Manually_Annotated_Images/123/NAME.jpg   ROOT/training.csv  validation.csv

The columns are subDirectory_filePath, face_x, face_y, face_width, face_height, facial_landmarks (x;y;x;y …),
expression (a number), valence, arousal. Points and boxes come from a program, not from people.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photo, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, read_text, write_text

card = load_card(__file__)
TABLES = {"train": ("training.csv",), "validation": ("validation.csv",)}
PLACES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "")
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    there = [name for name, files in TABLES.items() if _table(root, files)]
    folder = first_of(root, *PLACES) or root
    result = Survey(expected=card.expected(split))
    for name in [split] if split else there or ["train"]:
        table = _table(root, TABLES[name])
        if table is None:
            raise DataSetError(f"there is no {TABLES[name][0]} in {root}")
        table_rows = csv.DictReader(io.StringIO(read_text(table), newline=""))
        try:
            if missing := set(COLUMNS) - set(table_rows.fieldnames or ()):
                raise FormatError(f"wanted the columns {', '.join(sorted(missing))}", table, 1)
            for row in table_rows:
                _add(result, folder, table, table_rows.line_num, row, name)
        except csv.Error as error:
            raise FormatError(f"not CSV: {error}", table, table_rows.line_num) from error
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each split in the layout of the set."""
    root = Path(folder)
    for part, (split, (table,)) in enumerate(TABLES.items()):
        lines = [",".join(COLUMNS)]
        for number in range(2):
            name = f"{part}/{split}{number}.jpg"
            points = draw(root / PLACES[0] / name, 10 * part + number)
            numbers = ";".join(f"{value:.2f}" for value in points.ravel())
            lines.append(f"{name},30,25,90,90,{numbers},{6 + 4 * number},{-0.5 if not number else -2},0.25")
        write_text(root / table, "\n".join(lines) + "\n")
    return root


def _table(root: Path, names: tuple[str, ...]) -> Path | None:
    return first_of(root, *names, *(f"Manually_Annotated_file_lists/{name}" for name in names))


def _add(result: Survey, folder: Path, table: Path, line: int, row: dict[str, str], split: str) -> None:
    """Add the face of a row."""
    if None in row or None in row.values():
        raise FormatError(f"wanted {len(COLUMNS)} cells", table, line)
    name, words = row["subDirectory_filePath"], card.labels["expression"]
    left, top, wide, high, code, valence, arousal = (
        finite(row[column], table, line) for column in (*COLUMNS[1:5], "expression", "valence", "arousal")
    )
    if not 0 <= code < len(words) or code != int(code):
        raise FormatError(f"expression is {code:g}, wanted 0 to {len(words) - 1}", table, line)
    attributes: dict[str, float | str] = {"emotion": words[int(code)]}
    if min(valence, arousal) > -2:  # what is no face or has no emotion has -2
        attributes |= {"valence": valence, "arousal": arousal}
    there = wide > 0 and high > 0
    box = labelled_box(left, top, left + wide, top + high, table, line) if there else None
    shape = partial(_shape, table, line, row["facial_landmarks"])
    result.take(without_suffix(name), photo(folder, name), shape, attributes, split, box)


def _shape(table: Path, line: int, text: str) -> Shape:
    words = text.split(";")
    if len(words) != 136:
        raise FormatError(f"wanted 68 points x;y;x;y …, got {len(words)} numbers", table, line)
    return Shape(np.reshape([finite(word, table, line) for word in words], (68, 2)), "ibug68")
