"""WIDER FACE: 32,203 photos of 61 kinds of events with 393,703 faces, a box each (Yang et al., CVPR 2016).

    ROOT/WIDER_train/images/0--Parade/NAME.jpg  WIDER_val/images/…
    ROOT/wider_face_split/wider_face_train_bbx_gt.txt  wider_face_val_bbx_gt.txt

A list has, for each photo, its name, the number of faces and a line for each: left, top, width, height, blur,
expression, illumination, invalid, occlusion, pose. A photo without faces has one line of zeros. A sample is
one face; the boxes of the test photos were never published.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.types import Box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photo, rows, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, whole, write_text

card = load_card(__file__)
PARTS = {"train": "train", "validation": "val"}
COLUMNS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    there = [name for name, part in PARTS.items() if _list(root, part)]
    result = Survey(expected=card.expected(split))
    for name in [split] if split else there or ["train"]:
        path = _list(root, PARTS[name])
        if path is None:
            raise DataSetError(f"there is no wider_face_{PARTS[name]}_bbx_gt.txt in {root}")
        _add(result, root / f"WIDER_{PARTS[name]}" / "images", path, name)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write photos with two, one and no faces for each split in the layout of the set."""
    root = Path(folder)
    for number, part in enumerate(PARTS.values()):
        text = ""
        for count in (2, 1, 0):
            name = f"0--Parade/0_Parade_{part}_{count}.jpg"
            draw(root / f"WIDER_{part}" / "images" / name, 10 * number + count)
            faces = [f"{40 + 9 * i} 30 70 80 0 0 0 0 0 0 \n" for i in range(count)] or [
                "0 0 0 0 0 0 0 0 0 0 \n"
            ]
            text += f"{name}\n{count}\n{''.join(faces)}"
        write_text(root / "wider_face_split" / f"wider_face_{part}_bbx_gt.txt", text)
    return root


def _list(root: Path, part: str) -> Path | None:
    return first_of(root, f"wider_face_split/wider_face_{part}_bbx_gt.txt", f"wider_face_{part}_bbx_gt.txt")


def _add(result: Survey, folder: Path, path: Path, split: str) -> None:
    """Add the faces of a list."""
    lines = list(rows(path))
    at = 0
    while at < len(lines):
        line, words = lines[at]
        name = " ".join(words)
        count = lines[at + 1][1][0] if at + 1 < len(lines) else ""
        if whole(count) < 0 or len(lines[at + 1][1]) != 1:
            raise FormatError(f"wanted the number of faces after {name!r}", path, line)
        picture = photo(folder, name)
        if picture is None and int(count):
            result.missing.append(f"{name}: no photo, with {count} faces")
        for number in range(int(count) if picture else 0):
            _face(
                result, picture, path, f"{without_suffix(name)}#{number + 1}", lines, at + 2 + number, split
            )
        at += 2 + max(int(count), 1)


def _face(
    result: Survey,
    picture: Path | None,
    path: Path,
    identity: str,
    lines: list[tuple[int, list[str]]],
    at: int,
    split: str,
) -> None:
    """Add one face; a box without width or height is none."""
    line, words = lines[at] if at < len(lines) else (lines[-1][0], [])
    if len(words) != 4 + len(COLUMNS):
        raise FormatError(f"{identity}: wanted {4 + len(COLUMNS)} numbers, got {len(words)}", path, line)
    left, top, wide, high, *codes = (finite(word, path, line) for word in words)
    box = Box(left, top, left + wide, top + high) if wide > 0 and high > 0 else None
    attributes = {key: int(code) for key, code in zip(COLUMNS, codes, strict=True)}
    result.take(identity, picture, attributes=attributes, split=split, own_box=box)
