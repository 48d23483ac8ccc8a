"""The two lists of the CUHK face photos: `trainImageList.txt` (CNN_FacePoint) and `training.txt` (MTFL).

Both name the same photos. `trainImageList.txt` is `path left right top bottom x1 y1 … x5 y5`, **0-based**;
`training.txt` is `path x1 … x5 y1 … y5 gender smile glasses pose`, **1-based**.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import DataSetCard
from meanshape.datasets.parts.drawing import draw, five
from meanshape.datasets.parts.files import listed, photo, without_suffix
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, read_text

VALIDATION = "validation_names.txt"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: the photo's path in the set, its points (5, 2), the list's box or the
    attributes.
    """

    path: str
    points: NDArray[np.float64]
    box: Box | None = None
    codes: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The path without its suffix."""
        return without_suffix(self.path)


Rows = list[tuple[Row, str]]
Reader = Callable[[Path], list[Row]]


def facepoint_rows(path: Path) -> list[Row]:
    """Read a list of CNN_FacePoint."""
    return [_facepoint(*line, path) for line in _lines(path, 14)]


def mtfl_rows(path: Path) -> list[Row]:
    """Read a list of MTFL."""
    return [_mtfl(*line, path) for line in _lines(path, 14)]


def base(root: Path, lists: Mapping[str, str]) -> Path:
    """The folder that holds the lists: the root itself, or a folder in it as the archives make them."""
    folders = (root, root / "train", root / "MTFL")
    return next((f for f in folders if any((f / name).is_file() for name in lists.values())), root)


def rows_of(
    split: str | None, folder: Path, lists: Mapping[str, str], rows: Reader, card: DataSetCard
) -> Rows:
    """The rows of a split (None: of every list that is there), each with the split it belongs to."""
    if split is None:
        there = [
            s for s, part in (("trainval", "train"), ("test", "test")) if (folder / lists[part]).is_file()
        ]
        return [row for part in there or ["trainval"] for row in rows_of(part, folder, lists, rows, card)]
    if split == "test":
        return [(row, "test") for row in rows(folder / lists["test"])]
    held_out = set(listed(folder / VALIDATION) or ())
    if split == "validation" and not held_out:
        raise DataSetError(
            f"{card.name} has no official validation split, and {folder} holds no {VALIDATION}"
        )
    labelled = [
        (row, "validation" if row.id in held_out else "train") for row in rows(folder / lists["train"])
    ]
    return [(row, own) for row, own in labelled if split in (own, "trainval")]


def to_survey(
    rows: Iterable[tuple[Row, str]],
    folder: Path,
    card: DataSetCard,
    attributes: Callable[[Row], dict[str, str]] = lambda row: {},
) -> Survey:
    """Look for the photos of the rows; the list is the truth about what should be there."""
    result = Survey()
    for row, split in rows:
        result.expected += 1
        picture = photo(folder, row.path)
        if picture is None:
            result.missing.append(f"{row.path}: no photo")
            continue
        box = row.box.part(card.box) if row.box and card.box else None
        shape = Shape(row.points, card.markup or "")
        result.found.append(Sample(row.id, picture, shape, box, attributes(row), split, row.box))
    return result


def _lines(path: Path, numbers: int) -> list[tuple[int, str, list[float]]]:
    """Line number, photo and numbers of each line of a list; blank lines are passed over."""
    if not path.is_file():
        raise DataSetError(f"there is no list {path.name} in {path.parent}")
    lines = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.strip().rsplit(maxsplit=numbers)  # from the right: a path may hold spaces
        if not words:
            continue
        if len(words) != numbers + 1:
            raise FormatError(f"wanted a path and {numbers} numbers, got {line.strip()[:60]!r}", path, number)
        name = words[0].replace("\\", "/").removeprefix("./")
        lines.append((number, name, [finite(word, path, number) for word in words[1:]]))
    return lines


def _facepoint(number: int, name: str, values: list[float], path: Path) -> Row:
    left, right, top, bottom, *rest = values
    if right <= left or bottom <= top:
        raise FormatError(f"the box (left, right, top, bottom) {values[:4]} is empty", path, number)
    return Row(name, np.array(rest).reshape(5, 2), labelled_box(left, top, right, bottom, path, number))


def _mtfl(number: int, name: str, values: list[float], path: Path) -> Row:
    codes = values[10:]
    if any(code != int(code) for code in codes):
        raise FormatError(
            f"wanted whole numbers for gender, smile, glasses and pose, got {codes}", path, number
        )
    points = np.stack([values[:5], values[5:10]], axis=1) - 1.0
    return Row(name, points, codes=tuple(int(code) for code in codes))


def draw_faces(root: Path, names: Sequence[str]) -> list[NDArray[np.float64]]:
    """Draw a face to each path; return the 68 points of each."""
    return [draw(root / name, seed=number) for number, name in enumerate(names)]


def facepoint_line(name: str, points: NDArray[np.float64]) -> str:
    """A line of CNN_FacePoint for a drawn face: a whole-pixel box about the 68 points, and five of them."""
    left, top, right, bottom = Box.around(points).part((0.03, -0.05, 0.95, 0.9)).as_list()
    sides = " ".join(f"{round(side)}" for side in (left, right, top, bottom))
    return f"{name.replace('/', chr(92))} {sides} {' '.join(f'{v:.6f}' for v in five(points).ravel())}"


def mtfl_line(name: str, points: NDArray[np.float64], codes: Sequence[int]) -> str:
    """A line of MTFL for a drawn face: a space, backslashes, all x before all y, 1-based, four codes."""
    numbers = " ".join(f"{v:.6f}" for v in (five(points) + 1).T.ravel())
    return f" {name.replace('/', chr(92))} {numbers} {' '.join(map(str, codes))}\r"
