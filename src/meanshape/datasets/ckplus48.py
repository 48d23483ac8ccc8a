"""CK+48: 981 grey faces of 48 x 48 pixels cut from CK+, one of seven emotions each (Lucey et al., CVPRW
2010).

    ROOT/EMOTION/S010_004_00000017.png (or ROOT/CK+48/EMOTION/…): subject, sequence, frame

The last three frames of each labelled sequence of the Extended Cohn-Kanade set, as a copy on Kaggle has
them. There are no points and no boxes: the face fills the picture.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.core.errors import FormatError
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photos
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    root = first_of(root, "CK+48", "") or root
    result = Survey(expected=card.expected(split))
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        word = folder.name.lower()
        if word not in card.labels["emotion"]:
            raise FormatError(f"no emotion is called {folder.name!r}", path=folder)
        for name, picture in photos(folder).items():
            who = {"emotion": card.labels["emotion"][word], "person": name.partition("_")[0]}
            result.take(f"{word}/{name}", picture, attributes=who, split="all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces of each emotion in the layout of the set."""
    root = Path(folder)
    for number, word in enumerate(card.labels["emotion"]):
        for face in range(2):
            path = root / "CK+48" / word / f"S{10 + number:03d}_{1 + face:03d}_00000011.png"
            draw(path, 10 * number + face, size=(48, 48), gray=True)
    return root
