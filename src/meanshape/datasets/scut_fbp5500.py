"""SCUT-FBP5500: portraits of Asian and Caucasian women and men, 86 points each (Liang et al., ICPR 2018).

    ROOT/AF1.jpg  AF1.pts (A or C, F or M, number)   [validation.txt]

`.pts` files are text and count from 1; the files as first published are of another kind, and of no use here.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.datasets.parts import labelled
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    return labelled.survey(root, card, split, _who)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write three drawn faces in the layout of the set, one of them for validation."""
    return labelled.miniature(folder, card, ("AF1", "CM12", "CF7"))


def _who(identity: str) -> dict[str, str]:
    """The group that a name says; nothing for other names."""
    name = identity.rpartition("/")[2]
    if name[:2] not in card.labels["groups"]:
        return {}
    ethnicity, gender = card.labels["groups"][name[:2]]
    return {"ethnicity": ethnicity, "gender": gender}
