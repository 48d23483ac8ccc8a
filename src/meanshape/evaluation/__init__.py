"""How good is it: the protocol, its measures, paired comparison, robustness.

Everything here is in percent but pixels, milliseconds and bytes; `core.metrics` has the plain functions,
in shares.
"""

from meanshape.evaluation.compare import Comparison, compare
from meanshape.evaluation.protocol import evaluate
from meanshape.evaluation.result import About, Evaluation
from meanshape.evaluation.robustness import robustness, robustness_boxes
from meanshape.evaluation.starts import IOU, Remembered, Start, find_start, make_detector

__all__ = [
    "IOU",
    "About",
    "Comparison",
    "Evaluation",
    "Remembered",
    "Start",
    "compare",
    "evaluate",
    "find_start",
    "make_detector",
    "robustness",
    "robustness_boxes",
]
