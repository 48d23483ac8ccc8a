"""A model's predictions against the clock."""

from __future__ import annotations

import time

from meanshape.core.sample import Sample
from meanshape.methods.base import LandmarkModel


def milliseconds(model: LandmarkModel, sample: Sample, rounds: int = 200) -> float:
    """Processor time of one face, the picture decoded already."""
    pixels = sample.pixels()
    model.predict(pixels, sample.box)
    start = time.process_time()
    for _ in range(rounds):
        model.predict(pixels, sample.box)
    return 1000 * (time.process_time() - start) / rounds
