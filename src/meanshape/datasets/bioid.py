"""BioID: 1,521 grey pictures of 23 people in an office, two eye positions or 20 points each (Jesorsky et
al., 2001).

    ROOT/BioID_0000.pgm  BioID_0000.eye (or in BioID-FaceDatabase-V1.2/)   points_20/bioid_0000.pts

An `.eye` file is a comment and `LX LY RX RY`, the subject's left eye first. Where the points of FGnet
(`points_20`) are missing, the eyes are the only points. None of these files counts from 1, as far as known.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photos, rows
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts
from meanshape.formats.text import finite, write_text

card = load_card(__file__)
MARKUP = "bioid20"


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    folder = first_of(root, "BioID-FaceDatabase-V1.2", "") or root
    labels = [*folder.glob("*.eye"), *root.glob("points_20/*.pts")]
    stems = {path.stem.lower().replace("bioid", "BioID") for path in labels}
    pictures = photos(folder)
    result = Survey(expected=card.expected(split))
    for name in sorted(stems):
        result.take(name, pictures.get(name), partial(_shape, root, folder, name), {}, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root = Path(folder)
    for number in range(2):
        points = draw_as(root / f"BioID_{number:04d}.pgm", number, MARKUP)
        pts.write_points(root / f"points_20/bioid_{number:04d}.pts", points - pts.ORIGIN)
        (right, left), text = points[:2], "#LX\tLY\tRX\tRY\n"
        write_text(root / f"BioID_{number:04d}.eye", text + "\t".join(f"{v:.0f}" for v in (*left, *right)))
    return root


def _shape(root: Path, folder: Path, name: str) -> Shape:
    """The twenty points; without them, the eyes."""
    label = root / "points_20" / f"{name.lower()}.pts"
    if label.is_file():
        return Shape(pts.read_points(label, count=20) + pts.ORIGIN, MARKUP)
    points, path = np.full((20, 2), np.nan), folder / f"{name}.eye"
    filled = (row for row in rows(path) if not row[1][0].startswith("#"))
    number, words = next(filled, (1, []))
    if len(words) != 4:
        raise FormatError(f"wanted LX LY RX RY, got {words[:5]}", path, number)
    left_x, left_y, right_x, right_y = (finite(word, path, number) for word in words)
    points[:2] = (right_x, right_y), (left_x, left_y)
    return Shape(points, MARKUP)
