"""MTCNN with weights that were trained on rendered faces alone, free for any use.

`--licence permissive` takes it. It finds fewer faces than `mtcnn`, which photos have taught; how many is on
the card of its weights.
"""

from __future__ import annotations

from typing import ClassVar

from meanshape.detectors.mtcnn import MTCNN


class MTCNNSynthetic(MTCNN):
    """`MTCNN` with other weights; the same options."""

    name: ClassVar[str] = "mtcnn_synthetic"


DETECTOR = MTCNNSynthetic
