"""XM2VTS: 2,360 pictures of 295 people in four sessions, 68 points each (Messer et al., AVBPA 1999).

    ROOT/**/000_1_1.ppm (or another kind of picture)   ROOT/**/000_1_1.pts

The points are those of FGnet, in an order of their own (`xm2vts68`). Copies with the points of iBUG have the
same names and another order: read them as `folder:ROOT`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, labels_in, photos_below
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts

card = load_card(__file__)
MARKUP = "xm2vts68"


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    pictures, result = photos_below(root), Survey(expected=card.expected(split))
    for label in labels_in(root, ".pts", below=True):
        person, _, rest = label.stem.partition("_")
        who = {"person": person, "session": rest.partition("_")[0]}
        result.take(label.stem, pictures.get(label.stem.lower()), partial(_shape, label), who, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root = Path(folder)
    for number in range(2):
        name = f"{number:03d}_1_1"
        points = draw_as(root / "images" / f"{name}.ppm", number, MARKUP)
        pts.write_points(root / "points" / f"{name}.pts", points - pts.ORIGIN)
    return root


def _shape(label: Path) -> Shape:
    return Shape(pts.read_points(label, count=68) + pts.ORIGIN, MARKUP)
