"""CelebA: 202,599 pictures of 10,177 celebrities, five points and 40 attributes each (Liu et al., ICCV 2015).

    ROOT/Anno/list_landmarks_celeba.txt  list_bbox_celeba.txt  list_attr_celeba.txt
    ROOT/Eval/list_eval_partition.txt    ROOT/Img/img_celeba/000001.jpg

Where only the aligned pictures are there (Img/img_align_celeba), Anno/list_landmarks_align_celeba.txt belongs
to them; they have no boxes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo, rows, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, write_text

card = load_card(__file__)
MARKUP = "mtfl5"
SPLITS = ("train", "validation", "test")
WORDS = {
    "Male": ("gender", "male", "female"),
    "Smiling": ("smile", "smiling", "not smiling"),
    "Eyeglasses": ("glasses", "glasses", "no glasses"),
}


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    wild = first_of(root, "Img/img_celeba", "img_celeba")
    folder = wild or first_of(root, "Img/img_align_celeba", "img_align_celeba")
    table = _list(root, "list_landmarks_celeba.txt" if wild else "list_landmarks_align_celeba.txt")
    if folder is None or table is None:
        raise DataSetError(
            f"there is neither Img/img_celeba nor Img/img_align_celeba with its list in {root}"
        )
    parts = dict(words[:2] for _, words in _table(root, "list_eval_partition.txt") if len(words) > 1)
    boxes = dict(_boxes(root)) if wild else {}
    named = _attributes(root)
    result = Survey(expected=card.expected(split))
    for line, words in rows(table):
        if line <= 2:  # the count, and the names of the columns
            continue
        code = parts.get(words[0], "")
        own = SPLITS[int(code)] if code in ("0", "1", "2") else "train"
        if split in (None, own):
            shape = partial(_shape, table, line, words[1:])
            identity, picture = without_suffix(words[0]), photo(folder, words[0])
            result.take(identity, picture, shape, named.get(words[0]), own, boxes.get(words[0]))
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each split in the layout of the set."""
    root = Path(folder)
    names = [f"{number + 1:06d}.jpg" for number in range(6)]
    points = [draw_as(root / "Img/img_celeba" / name, seed, MARKUP) for seed, name in enumerate(names)]
    names_of = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    corners = " ".join(f"{name}_{axis}" for name in names_of for axis in "xy")
    tables = {
        "Anno/list_landmarks_celeba.txt": (corners, [" ".join(f"{v:g}" for v in p.ravel()) for p in points]),
        "Anno/list_bbox_celeba.txt": ("image_id x_1 y_1 width height", ["30 20 90 100"] * 6),
        "Anno/list_attr_celeba.txt": (" ".join(WORDS), [f"{1 - 2 * (i % 2)} 1 -1" for i in range(6)]),
        "Eval/list_eval_partition.txt": ("", [str(i // 2) for i in range(6)]),
    }
    for path, (header, lines) in tables.items():
        body = "".join(f"{name} {line}\n" for name, line in zip(names, lines, strict=True))
        write_text(root / path, f"{len(names)}\n{header}\n{body}" if header else body)
    return root


def _list(root: Path, name: str) -> Path | None:
    return first_of(root, f"Anno/{name}", f"Eval/{name}", name)


def _table(root: Path, name: str) -> list[tuple[int, list[str]]]:
    """The rows of a list that may not be there."""
    path = _list(root, name)
    return list(rows(path)) if path else []


def _boxes(root: Path) -> list[tuple[str, Box]]:
    path = _list(root, "list_bbox_celeba.txt") or root
    found = []
    for line, words in _table(root, "list_bbox_celeba.txt")[2:]:
        if len(words) != 5:
            raise FormatError(f"wanted a photo and four numbers, got {len(words)}", path, line)
        left, top, wide, high = (finite(word, path, line) for word in words[1:5])
        if wide > 0 and high > 0:
            found.append((words[0], labelled_box(left, top, left + wide, top + high, path, line)))
    return found


def _attributes(root: Path) -> dict[str, dict[str, str]]:
    """Gender, smile and glasses in MTFL's words, by the photo's name."""
    lines = _table(root, "list_attr_celeba.txt")
    header = lines[1][1] if len(lines) > 1 else []
    columns = [(header.index(name) + 1, *words) for name, words in WORDS.items() if name in header]
    return {
        words[0]: {name: yes if words[column] == "1" else no for column, name, yes, no in columns}
        for _, words in lines[2:]
        if len(words) == len(header) + 1
    }


def _shape(table: Path, line: int, words: list[str]) -> Shape:
    if len(words) != 10:
        raise FormatError(f"wanted a photo and ten numbers, got {len(words)}", table, line)
    return Shape(np.reshape([finite(word, table, line) for word in words], (5, 2)), MARKUP)
