"""AFW with the 68 points of iBUG: 337 faces in 205 everyday photos from Flickr.

    ROOT/afw, or ROOT itself: photos (.jpg or .png) and `.pts` files side by side, a photo repeated for each
    of its faces

These are the photos and labels of 300-W (Zhu and Ramanan, CVPR 2012; labelled anew by Sagonas et al., 2013).
"""

from __future__ import annotations

from pathlib import Path

from meanshape.datasets.parts import ibug
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    return ibug.survey(root, card, split)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write a few drawn faces in the layout of the set, with lists for train and validation."""
    return ibug.miniature(folder, card)
