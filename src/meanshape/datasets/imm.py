"""The IMM frontal face database: 12 men, 10 frontal photos each, 73 points (Fagertun and Stegmann, 2005).

    ROOT/PERSON_NUMBER.jpg  ROOT/asf/PERSON_NUMBER.asf (or beside the photo)

An `.asf` file says how many points there are, then gives one a line: path, type, x, y, number, neighbours …;
x and y are fractions of the picture's width and height.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.core.errors import FormatError, ImageError
from meanshape.core.image import image_size
from meanshape.core.markup import markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.asf import read_asf, write_asf
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, labels_in, photos
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)

POINTS = len(markup("imm73"))


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    labels = {path.stem: path for folder in (root, root / "asf") for path in labels_in(folder, ".asf")}
    pictures = photos(root)
    result = Survey(expected=card.splits["all"])
    for name, label in sorted(labels.items()):
        if name not in pictures:
            result.missing.append(f"{name}: no photo")
            continue
        try:
            points = read_asf(label, image_size(pictures[name]), POINTS)
        except (FormatError, ImageError) as error:
            result.broken.append(error if isinstance(error, FormatError) else FormatError(str(error)))
            continue
        who = {"person": name.partition("_")[0]}
        result.found.append(Sample(name, pictures[name], Shape(points, "imm73"), None, who, "all"))
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set; the points are the face's 68, some of them twice."""
    root = Path(folder)
    for number in range(2):
        name = f"{number + 1:02d}_01"
        points = draw(root / f"{name}.jpg", seed=number, size=(160, 120))
        write_asf(root / "asf" / f"{name}.asf", points[_LIKE], (160, 120), f"{name}.jpg")
    return root


_LIKE = [i % 68 for i in range(POINTS)]
