"""300-W: five collections of photos in the wild with the 68 points of iBUG (Sagonas et al., ICCVW 2013).

    ROOT/lfpw/{trainset,testset}  helen/{trainset,testset}  afw  ibug  300W/{01_Indoor,02_Outdoor}
    [train.txt validation.txt]

Each folder holds photos (.jpg or .png) and `.pts` files side by side. Training is LFPW-train, HELEN-train
and AFW; common is LFPW-test and HELEN-test; challenging is IBUG; full is both; private is the second test
set of the challenge.
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
    """Write a few drawn faces in the layout of 300-W, with lists for train and validation."""
    return ibug.miniature(folder, card)
