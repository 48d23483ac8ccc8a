"""LFPW with the 68 points of iBUG: faces from web searches, as far as their photos could still be had.

    ROOT/lfpw/{trainset,testset}, or ROOT/{trainset,testset}: photos (.png or .jpg) and `.pts` files side by
    side

These are the photos and labels of 300-W (Belhumeur et al., CVPR 2011; labelled anew by Sagonas et al., 2013).
"""

from __future__ import annotations

from meanshape.datasets.parts import ibug
from meanshape.datasets.parts.card import load_card

card = load_card(__file__)
survey, samples, verify, miniature = ibug.by_card(card)
