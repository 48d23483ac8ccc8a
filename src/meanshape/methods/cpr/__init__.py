"""CPR (Dollár, Welinder, Perona, CVPR 2010): cascaded regression, S_t = S_{t-1} + r_t(phi(I, S_{t-1})).

Each stage brings the face upright by the similarity that takes the shape so far to the mean shape, looks at
the picture around the points of that shape, and moves all points at once. What it looks at and what
regresses are settings; the pairs that have a name of their own are in `PRESETS`. The default: gradients read
over the whole face by a mesh that hangs on the points, and linear regressions.
"""

from meanshape.methods.cpr.config import PRESETS, Config
from meanshape.methods.cpr.model import CPR, MODEL

__all__ = ["CPR", "MODEL", "PRESETS", "Config"]
