"""WIDER FACE: 32,203 photos of 61 kinds of events with 393,703 faces, a box each (Yang et al., CVPR 2016).

    ROOT/WIDER_train/images/0--Parade/NAME.jpg  WIDER_val/images/…
    ROOT/wider_face_split/wider_face_train_bbx_gt.txt  wider_face_val_bbx_gt.txt

or a part of it with fewer columns:

    ROOT/NAME.jpg …  ROOT/faces.txt: NAME.jpg and the number of faces, then a line for each: left, top, width,
    height, blur, occlusion, invalid; lines with # are comments   [validation.txt: names of photos]

A list has, for each photo, its name, the number of faces and a line for each: left, top, width, height, blur,
expression, illumination, invalid, occlusion, pose. A photo without faces has one line of zeros. A sample is
one face; the boxes of the test photos were never published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from meanshape.core.errors import DataSetError, FormatError
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photo, rows, without_suffix
from meanshape.datasets.parts.held_out import VALIDATION, validation_ids
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, whole, write_text

card = load_card(__file__)
PARTS = {"train": "train", "validation": "val"}
COLUMNS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
SOME, SOME_COLUMNS = "faces.txt", ("blur", "occlusion", "invalid")


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    if (root / SOME).is_file():
        return _some(root, split)
    there = [name for name, part in PARTS.items() if _list(root, part)]
    result = Survey(expected=card.expected(split))
    for name in [split] if split in PARTS else there or ["train"]:
        path = _list(root, PARTS[name])
        if path is None:
            raise DataSetError(f"there is no wider_face_{PARTS[name]}_bbx_gt.txt in {root}")
        for photo_name, faces in _photos(path, zeros=True):
            _add(result, root / f"WIDER_{PARTS[name]}" / "images", photo_name, faces, COLUMNS, path, name)
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


def _some(root: Path, split: str | None) -> Survey:
    """Look for a split of a part of the set, whose validation list names photos."""
    path, held_out, result = root / SOME, validation_ids(root), Survey()
    if split == "validation" and not held_out:
        raise DataSetError(f"{root} holds no {VALIDATION}, which says what is for validation")
    for name, faces in _photos(path, zeros=False):
        own = "validation" if without_suffix(name) in held_out else "train"
        if split in (None, "trainval", own):
            _add(result, root, name, faces, SOME_COLUMNS, path, own)
            result.expected += len(faces)
    return result


Lines = list[tuple[int, list[str]]]


def _photos(path: Path, zeros: bool) -> Iterator[tuple[str, Lines]]:
    """Yield each photo's name and the lines of its faces; with `zeros`, no face is a line of zeros."""
    lines = [(number, words) for number, words in rows(path) if not words[0].startswith("#")]
    at = 0
    while at < len(lines):
        line, words = lines[at]
        head = words if zeros else words[:-1]
        name, at = " ".join(head), at + 1
        number = lines[at][1] if zeros and at < len(lines) else words[-1:]
        at += zeros
        if not head or len(number) != 1 or whole(number[0]) < 0:
            raise FormatError(f"wanted the number of faces after {name!r}", path, line)
        count = int(number[0])
        yield name, lines[at : at + count]
        if len(lines) < at + count:
            raise FormatError(f"{name}: wanted {count} faces, and the list ends", path, line)
        at += max(count, 1) if zeros else count


def _add(
    result: Survey, folder: Path, name: str, faces: Lines, columns: Sequence[str], path: Path, split: str
) -> None:
    """Add the faces of a photo; a box without width or height is none."""
    picture = photo(folder, name)
    if picture is None and faces:
        result.missing.append(f"{name}: no photo, with {len(faces)} faces")
        return
    for number, (line, words) in enumerate(faces, 1):
        identity = f"{without_suffix(name)}#{number}"
        if len(words) != 4 + len(columns):
            raise FormatError(f"{identity}: wanted {4 + len(columns)} numbers, got {len(words)}", path, line)
        left, top, wide, high, *codes = (finite(word, path, line) for word in words)
        there = wide > 0 and high > 0
        box = labelled_box(left, top, left + wide, top + high, path, line) if there else None
        attributes = {key: int(code) for key, code in zip(columns, codes, strict=True)}
        result.take(identity, picture, attributes=attributes, split=split, own_box=box)
