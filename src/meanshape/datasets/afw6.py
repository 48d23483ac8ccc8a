"""AFW as first published: 205 photos from Flickr, 468 faces with a box, a pose and six points (Zhu and
Ramanan, 2012).

    ROOT/testimages/anno.mat (or ROOT/anno.mat)   testimages/*.jpg      MATLAB 7.3, that is HDF5

`anno` is a cell array of 205 rows: photo, boxes (x1 y1; x2 y2), poses, points (6 x 2, NaN where hidden). The
set with the 68 points of iBUG is `afw`. Needs h5py: pip install 'meanshape[mat73]'.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw, five
from meanshape.datasets.parts.files import existing_folder, first_of, photo, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
MARKUP, POINTS = "afw6", 6
FACES = 20_000
"""As many there may be."""


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    path = first_of(root, "testimages/anno.mat", "AFW/testimages/anno.mat", "anno.mat")
    if path is None:
        raise DataSetError(f"there is no testimages/anno.mat in {root}")
    result = Survey(expected=card.expected(split))
    for name, faces in _rows(path):
        picture = photo(path.parent, name)
        for number, (corners, points) in enumerate(faces):
            identity = without_suffix(name) + (f"#{number + 1}" if number else "")
            shape = partial(_shape, path, identity, points)
            result.take(identity, picture, shape, {}, "all", _box(corners, path))
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two photos of drawn faces, one of them listed with a second face, in the layout of the set."""
    root = Path(folder)
    table: list[list[Any]] = [[], [], [], []]
    for number in range(2):
        points = draw(root / "testimages" / f"{number}.jpg", number)
        six = np.vstack([five(points), points[[62, 66]].mean(axis=0)]) + mat.ORIGIN
        part = np.where(np.arange(POINTS)[:, None] == 5, np.nan, six)
        box = np.array([points.min(axis=0), points.max(axis=0)]) + mat.ORIGIN
        many = 1 + number
        for column, value in zip(
            table,
            (f"{number}.jpg", [box.T] * many, [np.zeros((3, 1))] * many, [six.T, part.T][:many]),
            strict=True,
        ):
            column.append(value)
    with mat.h5(root / "testimages" / "anno.mat", "w") as file:
        mat.write_cells(file, "anno", table)
    return root


def _rows(path: Path) -> list[tuple[str, list[tuple[NDArray[Any], NDArray[Any]]]]]:
    """Each photo's name, and for each of its faces the box (2, 2) and the points (6, 2)."""
    with mat.h5(path) as file:
        try:
            cells, left = mat.array(mat.node(file, "anno"), FACES), FACES
            rows = []
            for name, boxes, _, points in cells.T:
                faces = [mat.array(mat.node(file, many), left).ravel() for many in (boxes, points)]
                left -= len(faces[0])
                both = [
                    (_corners(mat.node(file, box)), mat.array(mat.node(file, shape), 2 * POINTS).T)
                    for box, shape in zip(*faces, strict=True)
                ]
                rows.append((mat.text(mat.node(file, name)), both))
        except mat.FAULTS as error:
            raise FormatError(f"it is not as AFW's anno.mat is: {error}", path) from error
    return rows


def _corners(node: Any) -> NDArray[Any]:
    corners = mat.array(node, 4).T
    if corners.shape != (2, 2) or np.isinf(corners).any():
        raise ValueError(f"wanted a box (2, 2), got {corners.tolist()}")
    return corners


def _shape(path: Path, identity: str, points: NDArray[Any]) -> Shape:
    if points.shape != (POINTS, 2):
        raise FormatError(f"{identity}: wanted points ({POINTS}, 2), got {points.shape}", path)
    return Shape(points.astype(np.float64) - mat.ORIGIN, MARKUP)


def _box(corners: NDArray[Any], path: Path) -> Box | None:
    (left, top), (right, bottom) = corners.astype(np.float64) - mat.ORIGIN
    there = left < right and top < bottom
    return labelled_box(left, top, right, bottom, path) if there else None
