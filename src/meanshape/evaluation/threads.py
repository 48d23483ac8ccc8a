"""Hold a prediction to a number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module

from meanshape.core import checks
from meanshape.core.errors import ConfigError


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let OpenCV, and BLAS where threadpoolctl is there to ask, use so many threads.

    What runs under ONNX Runtime is told when it is loaded.
    """
    checks.count(threads, "threads", ConfigError)
    import cv2

    before = cv2.getNumThreads()
    with ExitStack() as stack:
        with suppress(ImportError):
            stack.enter_context(import_module("threadpoolctl").threadpool_limits(threads))
        cv2.setNumThreads(threads)
        stack.callback(cv2.setNumThreads, before)
        yield
