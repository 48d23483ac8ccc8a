"""Files that nobody should have written, and what reading them must not do.

Whatever is read, only errors of the tree may come out, within seconds and a bounded amount of memory.
"""

from __future__ import annotations

import copy
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from meanshape.core.errors import MeanshapeError, MeanshapeWarning

SECONDS = 4.0
"""What one small file may take, of a processor's time."""
WAIT = 30
"""So many times as long it may take by the clock, on a busy machine; it must not wait for ever."""
MEGABYTES = 1500
"""What reading may add to the process; a picture at the limit of pixels takes half a gigabyte, decoded."""
NASTY: list[Any] = [
    *(None, True, -1, 1e308, 10**400, float("nan"), float("inf")),
    *("", "x", "-1", "9" * 5000, "\0", "\ud800", "none.toml", "ibug68", "nan", "²"),
    *([], {}, [[]], [None], {"x": []}, [1, 2], [[1, 2, 3]]),
]
"""Values that stand where another kind of value should."""


class TooLongError(BaseException):
    """Reading took too long; no reader's `except Exception` may hide it."""


@contextmanager
def bounded(seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Iterator[None]:
    """Limit time and memory of what is inside, where the system can (Linux)."""

    def stop(*_: Any) -> None:
        raise TooLongError(f"more than {seconds} seconds")

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|scipy|numpy)\b")
        warnings.simplefilter("ignore", MeanshapeWarning)
        if sys.platform != "linux":
            yield
            return
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        most = pages * resource.getpagesize() + megabytes * 2**20
        handlers = [signal.signal(kind, stop) for kind in (signal.SIGPROF, signal.SIGALRM)]
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WAIT)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, before)
            for kind, handler in zip((signal.SIGPROF, signal.SIGALRM), handlers, strict=True):
                signal.signal(kind, handler)


def read_all(read: Callable[[Any], Any], many: Iterable[Any], seconds: float = 60.0) -> int:
    """Read each and return how many could be read; the rest must end in errors of the tree."""
    good = 0
    with bounded(seconds):
        for data in many:
            start = time.process_time()
            try:
                read(data)
                good += 1
            except MeanshapeError as error:
                assert str(error).strip(), f"{error!r} says nothing"
            except Exception as error:
                pytest.fail(f"{type(error).__name__}: {error} came of {shown(data)}")
            assert time.process_time() - start < SECONDS, f"it took too long to read {shown(data)}"
    return good


def shown(data: Any) -> str:
    """Return enough of a file to find it by."""
    text = repr(data)
    return text if len(text) < 600 else f"{text[:400]} … {text[-100:]}"


def cuts(data: bytes, most: int = 1000) -> list[bytes]:
    """Return the file cut off after every byte; of a longer one than `most`, after every k-th."""
    step = -(-len(data) // most)
    return [data[:length] for length in range(0, len(data), max(step, 1))]


def flips(data: bytes, count: int, seed: int = 0) -> list[bytes]:
    """Return the file with some bytes changed, another choice each time."""
    draw, many = random.Random(seed), []
    for _ in range(count if data else 0):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 2, 8))):
            changed[draw.randrange(len(changed))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        many.append(bytes(changed))
    return many


def changed(data: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy of files like this one: bytes put in, taken out, replaced, doubled."""
    places = st.integers(0, len(data))
    change = st.tuples(places, places, st.one_of(st.binary(max_size=8), st.just(data)))

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        made = data
        for first, last, new in changes:
            made = (
                made[: min(first, last)]
                + new[:5000]
                + made[max(first, last) if len(new) > 4 else first + len(new) :]
            )
        return made[:200_000]

    return st.lists(change, min_size=1, max_size=4).map(apply)


def replaced(tree: Any, values: Iterable[Any] = NASTY) -> Iterator[Any]:
    """Yield the tree with each of its nodes replaced by each of the values, and with each one left out."""
    values = list(values)
    for path in _paths(tree):
        for value in values:
            yield _with(tree, path, value)
        if path:
            yield _without(tree, path)


def _paths(tree: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:3]) if isinstance(tree, list) else ()
    for key, inner in items:
        for path in _paths(inner):
            yield (key, *path)


def _with(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(tree)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def _without(tree: Any, path: tuple[Any, ...]) -> Any:
    made = copy.deepcopy(tree)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return made
