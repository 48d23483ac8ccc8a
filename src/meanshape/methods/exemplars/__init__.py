"""Consensus of exemplars (Belhumeur, Jacobs, Kriegman, Kumar, CVPR 2011; PAMI 35(12), 2013).

No model of shapes: the training faces themselves, the exemplars, are the shapes that faces have. A local
detector says for each point where the picture looks like it. Two detectors' best places and the same two
points of an exemplar give a similarity that lays the whole exemplar on the picture; thousands of such
hypotheses, drawn at random, are scored by the product of all detectors' answers. The best of them vote, and
each point goes where both the votes and its own detector want it.

`PRESETS["2011"]` is nearest to the paper. By default a second level looks again, upright and sharper, with
the exemplars laid on the first answer; votes count by their scores; and a point is the mean of its places,
weighted by their probability. Detectors are linear in gradient histograms of two sizes (log odds of point
against surroundings), not support vector machines on SIFT.
"""

from meanshape.methods.exemplars.config import PRESETS, Config
from meanshape.methods.exemplars.model import MODEL, Exemplars

__all__ = ["MODEL", "PRESETS", "Config", "Exemplars"]
