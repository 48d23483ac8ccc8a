"""DAN: Deep Alignment Network (Kowalski, Naruniec, Trzcinski, CVPR workshops 2017).

Every stage sees the whole face, never patches: stage 1 starts from the mean shape S0; each later stage sees
the picture brought upright by the similarity T_t that takes the last shape to S0, a heatmap of that shape,
and a feature image made from the last stage's fc1; it answers S_t = T_t^-1(T_t(S_{t-1}) + dS_t).

What differs from the paper is a value of `Config`, and `PRESETS["paper"]` has the paper's: colour
input; an input crop of
its own size, from which stage 1 sees a reduced copy and later stages a tight upright frame; narrower
stages; wing loss; averaged weights and a cosine schedule. Data of another mark-up (MTFL's 5 points) may
teach along through the conversion.
"""

from meanshape.methods.dan.config import PRESETS, Config
from meanshape.methods.dan.model import DAN, MODEL

__all__ = ["DAN", "MODEL", "PRESETS", "Config"]
