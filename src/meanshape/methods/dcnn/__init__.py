"""DCNN: deep convolutional network cascade (Sun, Wang, Tang, CVPR 2013). Five points, 23 small networks.

Level 1 looks at the face: F1 at all of it, EN1 at eyes and nose, NM1 at nose and mouth; where they answer
the same point, the answers are averaged. Levels 2 and 3 look twice at a patch around each point, by two
networks whose patches differ in size, and add the mean of their two offsets:

    x = mean(x of level 1) + mean(two offsets of level 2) + mean(two offsets of level 3).

A face is not the same everywhere: the deeper convolutions of level 1 share their weights within the blocks
of a grid only. Convolutions are rectified by |tanh|.

The crops are fractions of the face box of CNN_FacePoint, the paper's data; `Config.box` says where the
canonical box lies in it.
"""

from meanshape.methods.dcnn.config import PRESETS, Config
from meanshape.methods.dcnn.model import DCNN, MODEL

__all__ = ["DCNN", "MODEL", "PRESETS", "Config"]
