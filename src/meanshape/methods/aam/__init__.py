"""AAM: Active Appearance Model (Cootes, Edwards, Taylor, ECCV 1998).

Training: the shapes are aligned and put into modes (PCA); every face is warped onto the mean shape, piecewise
affine, and what it looks like there, its texture, is put into modes too; both sets of weights together give
the appearance modes. Search: read the texture under the current shape, compare it with the model, and move
pose and modes by a linear map of the difference; again, until nothing is gained; then in a sharper picture.

`PRESETS["1998"]` is the paper's. What differs by default is a value of `Config`: textures of gradient
orientations instead of grey levels; a map for each step, learnt at the errors that the step before leaves on
faces it has not seen, and applied to the difference from the mean texture; a start regressed from
the whole box. `fitter` also offers the paper's map and inverse composition (see `parts/fitters.py`).
"""

from meanshape.methods.aam.config import PRESETS, Config
from meanshape.methods.aam.model import AAM, MODEL

__all__ = ["AAM", "MODEL", "PRESETS", "Config"]
