"""HELEN-29: 348 faces of HELEN with the 29 points of LFPW (Zhou, Brandt and Lin, ICCV 2013).

    ROOT/helen.mat (imgs: 348 names, Pts: 348 arrays of 2 x 29)   ROOT/img/*.jpg

The points count from 0, though the file is MATLAB's: see the card.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.types import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
MARKUP, POINTS = "lfpw29", 29


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    path = first_of(root, "helen.mat", "data/helen.mat")
    if path is None:
        raise DataSetError(f"there is no helen.mat in {root}")
    names = [str(np.ravel(cell)[0]) for cell in mat.load(path, "imgs").ravel()]
    labels, result = mat.load(path, "Pts").ravel(), Survey(expected=card.expected(split))
    if len(labels) != len(names):
        raise FormatError(f"{len(names)} names came with {len(labels)} labels", path)
    folder = first_of(path.parent, "img", "") or path.parent
    for name, label in zip(names, labels, strict=True):
        identity = without_suffix(name)
        result.take(identity, photo(folder, name), partial(_shape, path, identity, label), {}, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root, names = Path(folder), ["100_1.jpg", "200_1.jpg"]
    names_cell, points_cell = np.empty((1, 2), object), np.empty((1, 2), object)
    for number, name in enumerate(names):
        points = draw_as(root / "img" / name, number, MARKUP)
        names_cell[0, number], points_cell[0, number] = name, points.T
    mat.save(root / "helen.mat", imgs=names_cell, Pts=points_cell)
    return root


def _shape(path: Path, identity: str, label: Any) -> Shape:
    points = np.asarray(label)
    if points.shape != (2, POINTS) or points.dtype.kind not in "fiu":
        raise FormatError(f"{identity}: wanted points (2, {POINTS}), got {points.shape}", path)
    return Shape(points.T.astype(np.float64), MARKUP)
