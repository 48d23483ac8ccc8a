"""CPR (Dollár, Welinder, Perona, CVPR 2010): cascaded regression, S_t = S_{t-1} + r_t(phi(I, S_{t-1})).

Each stage aligns the face with the similarity that takes the current shape to the mean shape, computes
shape-indexed features, and regresses an update of all points at once. Features and regressor are settings;
`PRESETS` holds the combinations that were published under a name of their own. The default regressor is
linear, on gradients sampled over the whole face by a mesh attached to the points.
"""

from meanshape.methods.cpr.config import PRESETS, Config
from meanshape.methods.cpr.model import CPR, MODEL

__all__ = ["CPR", "MODEL", "PRESETS", "Config"]
