"""CNN_FacePoint: 13,466 photos of LFW and the web, a face box and five points each (Sun, Wang, Tang, CVPR
2013).

    ROOT/trainImageList.txt  testImageList.txt  lfw_5590/*.jpg  net_7876/*.jpg  [validation_names.txt]

The lists are 0-based, the box is `left right top bottom` in that order.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.cuhk import (
    VALIDATION,
    base,
    draw_faces,
    facepoint_line,
    facepoint_rows,
    rows_of,
    to_survey,
)
from meanshape.datasets.parts.files import existing_folder
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import write_text

card = load_card(__file__)

LISTS = {"train": "trainImageList.txt", "test": "testImageList.txt"}


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    folder = base(existing_folder(root, card.name), LISTS)
    return to_survey(rows_of(split, folder, LISTS, facepoint_rows, card), folder, card)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write six drawn faces to train on, two of them for validation, and three to test on."""
    root = Path(folder)
    train = [f"{part}/face_{n}.jpg" for part in ("lfw_5590", "net_7876") for n in range(3)]
    test = [f"net_7876/test_{n}.jpg" for n in range(3)]
    lines = [facepoint_line(*row) for row in zip(train + test, draw_faces(root, train + test), strict=True)]
    lists = {LISTS["train"]: lines[:6], LISTS["test"]: lines[6:], VALIDATION: [train[2], train[5]]}
    for name, rows in lists.items():
        write_text(root / name, "".join(f"{row}\n" for row in rows))
    return root
