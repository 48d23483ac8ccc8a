"""FG-NET: photos of 82 people between the ages of 0 and 69, old scans among them, 68 points (2004).

    ROOT/001a02.jpg  001a02.pts (person 001 at the age of 2)   [validation.txt]

The points are those of XM2VTS as FG-NET marked it up, pupils among them, not iBUG's. `.pts` files count
from 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from meanshape.datasets.parts import labelled
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)

NAME = re.compile(r"(\d+)a(\d+)[a-z]?", re.IGNORECASE)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    return labelled.survey(root, card, split, _who)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write drawn faces of two people in the layout of the set, one of them for validation."""
    return labelled.miniature(folder, card, ("001a02", "001a31b", "002a07"))


def _who(identity: str) -> dict[str, Any]:
    """The person and the age that a name says; nothing for other names."""
    found = NAME.fullmatch(identity.rpartition("/")[2])
    return {"person": found[1], "age": int(found[2])} if found else {}
