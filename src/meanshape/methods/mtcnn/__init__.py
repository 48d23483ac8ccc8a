"""MTCNN: joint detection and alignment by cascaded networks (Zhang, Zhang, Li, Qiao; IEEE SPL 2016).

Three networks of growing size look at ever fewer windows. P-Net slides over an image pyramid, R-Net and
O-Net look again at what it proposes; each says whether a window holds a face, where the face's box is, and
where the eye centres, the nose tip and the mouth corners are. One loss trains the three tasks,

    sum over samples i and tasks j of  alpha_j * beta_ij * L_ij,

where beta is 1 for the tasks that the kind of the sample trains (face: positives and negatives; box:
positives and parts; points: landmark windows) and only the hardest 70 % of a batch train the face task.

`--preset paper` holds the paper's values. The shipped weights (`Config()`) differ where one CPU core and a
few thousand photos ask for it: ReLU for PReLU and channels in multiples of 8, which ONNX Runtime fuses and
vectorises (P-Net takes a third of the time); batch normalisation while training, folded into the
convolutions after; smooth L1 for the box and point losses; every window with a face trains all tasks;
faces get their boxes by one rule from their points. O-Net looks twice: again at the mirror image of what it
found first, and the two are averaged.

This file predicts five points in a given box; `detectors/mtcnn.py` finds the boxes with the same weights.
"""

from meanshape.methods.mtcnn.config import PRESETS, Config
from meanshape.methods.mtcnn.model import MODEL, MTCNN

__all__ = ["MODEL", "MTCNN", "PRESETS", "Config"]
