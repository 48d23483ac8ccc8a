"""What several benchmarks run: a server of this checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
