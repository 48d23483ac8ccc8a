"""ASM: Active Shape Model (Cootes, Taylor, Cooper, Graham, CVIU 1995).

Training: the shapes are aligned and their spread is put into a few modes (PCA); around each point,
descriptors of the picture are averaged. Search, from the mean shape in the box: every point looks at the
places near it and goes where the picture fits best; the shape model, placed anew, corrects them all; again,
until the points rest; then the same in a sharper picture.

`PRESETS["1995"]` is the paper's. What differs by default is a value of `Config`: gradient histograms around
the point instead of a profile across the contour (as Stasm does; Milborrow and Nicolls 2014); the Mahalanobis
distance to them is held against that to the surroundings; a point's place is the mean over the places,
weighted by their odds, and as uncertain as they spread, which the shape model takes into account; and the
start is regressed from the whole box.
"""

from meanshape.methods.asm.config import PRESETS, Config
from meanshape.methods.asm.model import ASM, MODEL

__all__ = ["ASM", "MODEL", "PRESETS", "Config"]
