"""What several benchmarks run: a server of this checkout, and a model's predictions against the clock."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from meanshape.core.sample import Sample
from meanshape.methods.base import LandmarkModel


@contextmanager
def served() -> Iterator[tuple[int, int]]:
    """Run `meanshape serve`: the port, and the number of the process."""
    words = [sys.executable, "-m", "meanshape", "serve", "--port", "0"]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        found = re.search(r":(\d+)/", server.stderr.readline())
        assert found, "the server did not start"
        yield int(found[1]), server.pid
    finally:
        server.terminate()


def milliseconds(model: LandmarkModel, sample: Sample, rounds: int = 200) -> float:
    """Processor time of one face, the picture decoded already."""
    pixels = sample.pixels()
    model.predict(pixels, sample.box)
    start = time.process_time()
    for _ in range(rounds):
        model.predict(pixels, sample.box)
    return 1000 * (time.process_time() - start) / rounds
