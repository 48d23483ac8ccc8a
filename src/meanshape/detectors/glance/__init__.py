"""Glance: faces of any size and tilt by one look at the picture, with a small network of our own.

After the single-stage, anchor-free detectors: each cell of a coarse grid says whether the centre of a face
lies near, where the face's box is and where its five points are (FCOS: Tian et al., ICCV 2019; for faces
BlazeFace: Bazarevsky et al., 2019; YuNet: Wu et al., Machine Intelligence Research 2023). How it is made:

- Plain 3 x 3 convolutions instead of depthwise ones: on a processor with wide vectors they cost no more time,
  and they learn twice as fast.
- Three grids of strides 8, 16 and 32 with one way back up; together they cover faces of 8 to 230 pixels. The
  picture is reduced so that the smallest face that is asked for has 16: large smallest faces are cheap.
- The score learns the overlap of the box that comes with it (generalised focal loss: Li et al., 2020).
- A head is an ellipse from forehead to chin that turns with the face; the box is the upright one around it,
  as WIDER FACE labels it. Faces are learnt to 75 degrees to both sides.
- Where a photo's further faces have no labels, what `mtcnn` sees there counts neither as a face nor as none.

`Config` holds network, search and training; the shipped weights' card says what they learnt from.
"""

from meanshape.detectors.glance.config import PRESETS, Config
from meanshape.detectors.glance.learner import Learner
from meanshape.detectors.glance.model import Glance

DETECTOR = Glance
LEARNER = Learner

__all__ = ["DETECTOR", "LEARNER", "PRESETS", "Config", "Glance", "Learner"]
