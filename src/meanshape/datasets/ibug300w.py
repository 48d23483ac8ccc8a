"""300-W: five collections of photos in the wild with the 68 points of iBUG (Sagonas et al., ICCVW 2013).

    ROOT/lfpw/{trainset,testset}  helen/{trainset,testset}  afw  ibug  300W/{01_Indoor,02_Outdoor}
    [train.txt validation.txt]

Each folder holds photos (.jpg or .png) and `.pts` files side by side. Training is LFPW-train, HELEN-train
and AFW; common is LFPW-test and HELEN-test; challenging is IBUG; full is both; private is the second test
set of the challenge.
"""

from __future__ import annotations

from meanshape.datasets.parts import ibug
from meanshape.datasets.parts.card import load_card

card = load_card(__file__)
survey, samples, verify, miniature = ibug.by_card(card)
