"""Coarse to fine, after Zhou, Fan, Cao, Jiang, Yin (ICCV workshops 2013; Face++). 68 points.

Contour points are harder than inner ones and would drown them in a common loss, so that two cascades run
side by side:

1. a network finds the tight box of the branch's points: better than what a face detector gives;
2. a network finds all points of the branch in that box; the contour's 17 points stop here;
3. of the inner 51, each part (brows, eyes, nose, mouth) is found again by a network of its own in a crop
   about it;
4. the same in crops that are turned upright by the points of level 3.

The paper's layer table was never published. Ours: pairs of 3x3 convolutions with batch norm, small widths
(`Config`). A left eye and a left brow are seen mirrored by the networks of the right ones.
"""

from meanshape.methods.facepp.config import Config
from meanshape.methods.facepp.model import MODEL, FacePP

__all__ = ["MODEL", "Config", "FacePP"]
