"""HELEN with the 68 points of iBUG: large portraits from Flickr.

    ROOT/helen/{trainset,testset}, or ROOT/{trainset,testset}: photos (.jpg or .png) and `.pts` files side by
    side

These are the photos and labels of 300-W (Le et al., ECCV 2012; labelled anew by Sagonas et al., 2013).
"""

from __future__ import annotations

from meanshape.datasets.parts import ibug
from meanshape.datasets.parts.card import load_card

card = load_card(__file__)
survey, samples, verify, miniature = ibug.by_card(card)
