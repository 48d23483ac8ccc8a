"""TCNN: Tweaked Convolutional Neural Network (Wu, Hassner, Kim, Medioni, Natarajan 2016).

The features that enter the first fully connected layer of a landmark network already know roughly how a
face lies. So they are clustered, and each cluster gets fully connected layers of its own:

1. train the vanilla network: a colour crop of 40 x 40, four convolutions, FC5 with 100 outputs, FC6;
2. fit a Gaussian mixture (K = 64) to the features that enter FC5;
3. for each cluster fine-tune FC5 and FC6 on its faces alone. Alignment-sensitive augmentation makes more of
   them: a face is warped onto the points of another of its cluster, and counts if the mixture puts it there
   again. Each head stops by faces held out for that; clusters with few faces share the vanilla head;
4. at test time the most probable cluster chooses the head. The choice is inside the ONNX graph.

What differs from the paper is a value of `Config`, and `PRESETS["paper"]` has the paper's: batch
normalisation and ReLU, wing loss over the eye distance for its square, two passes as in `tcdcn`. The paper
does not say, so these are our choice: the projection before the mixture, its covariance, and how heads stop.
"""

from meanshape.methods.tcnn.config import PRESETS, Config
from meanshape.methods.tcnn.model import MODEL, TCNN

__all__ = ["MODEL", "PRESETS", "TCNN", "Config"]
