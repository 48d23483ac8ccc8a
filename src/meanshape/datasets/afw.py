"""AFW with the 68 points of iBUG: 337 faces in 205 everyday photos from Flickr.

    ROOT/afw, or ROOT itself: photos (.jpg or .png) and `.pts` files side by side, a photo repeated for each
    of its faces

These are the photos and labels of 300-W (Zhu and Ramanan, CVPR 2012; labelled anew by Sagonas et al., 2013).
"""

from __future__ import annotations

from meanshape.datasets.parts import ibug
from meanshape.datasets.parts.card import load_card

card = load_card(__file__)
survey, samples, verify, miniature = ibug.by_card(card)
