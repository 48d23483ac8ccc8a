"""TCDCN: Tasks-Constrained Deep Convolutional Network (Zhang, Luo, Loy, Tang, ECCV 2014).

What a face is like (gender, smile, glasses, where the head points) helps to say where its points are. One
small network on a grey crop of 40 x 40 pixels, four convolutions and 100 features, feeds a linear head for
the points and a logistic one for each task. The objective is

    sum_i 1/2 |y_i - f(x_i; W)|^2  -  sum_i sum_a lambda_a y_i^a log p(y_i^a | x_i; W^a)  +  |W|^2,

and each task is dropped once it no longer helps (`stopping.py`); the points never stop.

What differs from the paper is a value of `Config`, and `PRESETS["paper"]` has the paper's: wider maps with
batch normalisation, wing loss over the eye distance, two passes (the second on a crop aligned by the
first, by the same network), and heads that are refitted on the final features.
"""

from meanshape.methods.tcdcn.config import PRESETS, Config
from meanshape.methods.tcdcn.model import MODEL, TCDCN

__all__ = ["MODEL", "PRESETS", "TCDCN", "Config"]
