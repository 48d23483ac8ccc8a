"""HELEN-29: 348 faces of HELEN with the 29 points of LFPW (Zhou, Brandt and Lin, ICCV 2013).

    ROOT/helen.mat (imgs: 348 names, Pts: 348 arrays of 2 x 29)   ROOT/img/*.jpg   [ROOT/validation.txt]

The points count from 0, though the file is MATLAB's: see the card. The photos are HELEN's: where the root
holds no `validation.txt`, those that the validation list of a copy of 300-W beside it names (`../300w`) are
held out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo, without_suffix
from meanshape.datasets.parts.held_out import VALIDATION, validation_ids
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import write_text

card = load_card(__file__)
MARKUP, POINTS = "lfpw29", 29


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    path = first_of(root, "helen.mat", "data/helen.mat")
    if path is None:
        raise DataSetError(f"there is no helen.mat in {root}")
    names = mat.texts(path, "imgs")
    labels, result = mat.load(path, "Pts").ravel(), Survey()
    if len(labels) != len(names):
        raise FormatError(f"{len(names)} names came with {len(labels)} labels", path)
    held_out = {name.rpartition("/")[2] for name in validation_ids(root, root.parent / "300w")}
    if split == "validation" and not held_out:
        raise DataSetError(f"{card.name} has no official validation split, and {root} holds no {VALIDATION}")
    folder = first_of(path.parent, "img", "") or path.parent
    for name, label in zip(names, labels, strict=True):
        identity = without_suffix(name)
        own = "validation" if identity in held_out else "train"
        result.expected += own == split
        if split in (None, "trainval", "all", own):
            result.take(identity, photo(folder, name), partial(_shape, path, identity, label), {}, own)
    if split in ("trainval", "all") or not held_out:
        result.expected = card.expected(split)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write three drawn faces in the layout of the set, one of them listed for validation."""
    root, names = Path(folder), ["100_1.jpg", "200_1.jpg", "300_1.jpg"]
    names_cell, points_cell = np.empty((1, 3), object), np.empty((1, 3), object)
    for number, name in enumerate(names):
        points = draw_as(root / "img" / name, number, MARKUP)
        names_cell[0, number], points_cell[0, number] = name, points.T
    mat.save(root / "helen.mat", imgs=names_cell, Pts=points_cell)
    write_text(root / VALIDATION, "300_1\n")
    return root


def _shape(path: Path, identity: str, label: Any) -> Shape:
    points = np.asarray(label)
    if points.shape != (2, POINTS) or points.dtype.kind not in "fiu":
        raise FormatError(f"{identity}: wanted points (2, {POINTS}), got {points.shape}", path)
    return Shape(points.T.astype(np.float64), MARKUP)
