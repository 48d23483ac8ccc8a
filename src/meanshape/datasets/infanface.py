"""InfAnFace: infants in videos and photos from the web, 68 points in iBUG's order (Wan et al., ICPR 2022).

    ROOT/NAME.jpg  NAME.pts

To measure with, never to train on: these are photos of children, and their source states no terms. A training
on them is refused. `.pts` files count from 1.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.datasets.parts import labelled
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    return labelled.survey(root, card, split, lambda identity: {})


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    return labelled.miniature(folder, card, ("google_a-00000", "youtube_b-00002"))
