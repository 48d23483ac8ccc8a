"""AR: frontal faces of 126 people, with expressions, lamps, sun glasses and scarves (Martinez and Benavente,
1998).

    ROOT/**/AR_manual_markings/M-001-01.mat (faceCoordinates, 130 x 2)   ROOT/**/m-001-01.ppm

897 of the pictures carry the 130 points of Ding and Martinez. The database itself is distributed as headless
`.raw` pictures of 768 x 576 pixels: convert them to a kind that has a header, under the same names.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, photos_below
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import whole

card = load_card(__file__)
MARKUP = "ar130"


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the labelled pictures and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for label in sorted(root.rglob("*-*-*.mat")):
        name = label.stem.lower()
        result.take(name, pictures.get(name), partial(_shape, label), _attributes(name), "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root = Path(folder)
    for number, name in enumerate(("M-001-01", "W-002-15")):
        points = draw_as(root / "images" / f"{name.lower()}.ppm", number, MARKUP)
        mat.save(root / "AR_manual_markings" / f"{name}.mat", faceCoordinates=points + mat.ORIGIN)
    return root


def _shape(label: Path) -> Shape:
    return Shape(mat.points(label, "faceCoordinates", (130,)), MARKUP)


def _attributes(name: str) -> dict[str, str]:
    """What the name says: `m-001-01` is man 1, condition 1; from 14 on, the same again two weeks later."""
    sex, person, number = name.split("-")[:3]
    words = {"person": f"{sex}-{person}", "gender": "male" if sex == "m" else "female"}
    conditions = card.labels["condition"]
    if 1 <= whole(number) <= 2 * len(conditions):
        words["condition"] = conditions[(int(number) - 1) % len(conditions)]
        words["session"] = str(1 + (int(number) - 1) // len(conditions))
    return words
