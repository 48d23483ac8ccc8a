"""The IMM face database: 40 people, six pictures each, 58 points (Nordström et al., DTU, 2004).

    ROOT/01-1m.jpg  01-1m.asf      PERSON-PICTURE, then m or f

The frontal database of the same authors, with 73 points, is the set `imm`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from meanshape.core.image import image_size
from meanshape.core.shape import Shape
from meanshape.datasets.parts.asf import read_asf, write_asf
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, labels_in, photos_below
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
MARKUP, POINTS = "imm58", 58


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for label in labels_in(root, ".asf", below=True):
        if "-" not in label.stem:
            continue
        person, _, rest = label.stem.partition("-")
        who = {"person": person, "gender": "female" if rest.endswith("f") else "male"}
        if rest[:1].isdecimal() and 1 <= int(rest[0]) <= len(card.labels["picture"]):
            who["picture"] = card.labels["picture"][int(rest[0]) - 1]
        picture = pictures.get(label.stem.lower())
        result.take(label.stem, picture, partial(_shape, label, picture), who, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root = Path(folder)
    for number, name in enumerate(("01-1m", "02-3f")):
        points = draw_as(root / f"{name}.jpg", number, MARKUP, size=(160, 120))
        write_asf(root / f"{name}.asf", points, (160, 120), f"{name}.jpg")
    return root


def _shape(label: Path, picture: Path | None) -> Shape | None:
    if picture is None:
        return None
    return Shape(read_asf(label, image_size(picture), POINTS), MARKUP)
