"""EmotionalDAN: landmarks and emotion learnt together (Tautkute, Trzcinski, Bielski, CVPR workshops 2018).

DAN's stages bring the face upright; the last stage sees it with a heatmap of the shape so far, and two
heads read its features: one moves the points as in DAN, one says which emotion the face seems to show. The
joint loss is share * error of the points + (1 - share) * cross entropy.

What differs from the paper: no data set at hand has both labels, so batches hold faces of both kinds and
each pays for the label that it has; the stages before the joint one are a finished DAN, made quicker; the
joint stage sees the frame of the stage before in grey and smaller, and its mirror image, without heatmap or
feature image; labels are smoothed, partly those of models that teach, classes weighted, weights averaged;
the probabilities are calibrated on the validation faces.
"""

from meanshape.methods.emotional_dan.config import PRESETS, Config
from meanshape.methods.emotional_dan.model import MODEL, EmotionalDAN

__all__ = ["MODEL", "PRESETS", "Config", "EmotionalDAN"]
