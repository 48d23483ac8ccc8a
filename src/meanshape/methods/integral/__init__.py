"""Integral regression with offset maps: every cell of a coarse grid votes for every point.

A small convolutional network divides the face into cells of 8 x 8 pixels. For each point it gives each cell a
score and an offset; the point is the expected position

    p = sum_c softmax(score)_c (centre_c + 8 offset_c)

Integral regression (Sun et al., ECCV 2018) takes the expectation over positions on a fine heatmap; PIPNet
(Jin et al., IJCV 2021) adds offsets to a coarse one and keeps the best cell. This method takes the
expectation over a coarse map with offsets. It has no dense layer, which would memorise two thousand faces.

Two looks: the first sees the whole crop at low resolution, and its points bring the face upright, at one
size, for the second. Samples of other mark-ups teach the common trunk through heads of their own,
and the points that they share with the target.
"""

from meanshape.methods.integral.config import PRESETS, Config
from meanshape.methods.integral.model import MODEL, Integral

__all__ = ["MODEL", "PRESETS", "Config", "Integral"]
