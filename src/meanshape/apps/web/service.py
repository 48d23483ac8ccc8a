"""Models kept ready, a few requests at a time: the others wait in a queue, or are told to come again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from meanshape.core import weights
from meanshape.core.errors import MeanshapeError, UnknownName
from meanshape.core.markup import markup_names
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.tracking import Tracker

Answer = TypeVar("Answer")
KEPT = 6
"""Pipelines in memory; the one that was not used for longest goes first."""
SESSIONS = 64
IDLE = 30.0
"""Seconds after which a video's tracker is forgotten."""


class BusyError(MeanshapeError):
    """Too many requests wait already."""


class SlowError(MeanshapeError):
    """A request took longer than it may."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on.

    Attributes
    ----------
    workers : requests that are worked on at a time
    queue : requests that wait; one more is told to come again (429)
    seconds : a request may take, waiting included
    bytes, pixels : of one picture
    batch : pictures in one request
    """

    workers: int = 2
    queue: int = 16
    seconds: float = 30.0
    bytes: int = 32_000_000
    pixels: int = 60_000_000
    batch: int = 32


@dataclass
class Service:
    """Runs pipelines for many clients.

    Parameters
    ----------
    defaults : options of every `Pipeline` that a request does not set
    limits : what is taken on
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Start the workers."""
        self._pool = ThreadPoolExecutor(self.limits.workers, "predict")
        self._waiting = 0
        self._pipelines: OrderedDict[tuple[tuple[str, Any], ...], Pipeline] = OrderedDict()
        self._trackers: OrderedDict[str, tuple[Tracker, float, Lock]] = OrderedDict()
        self._lock = Lock()

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do some work in a worker, or raise `BusyError` or `SlowError`."""
        if self._waiting >= self.limits.workers + self.limits.queue:
            raise BusyError(f"{self._waiting} requests are waiting already; come again in a second")
        self._waiting += 1
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._leave())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except TimeoutError:
            raise SlowError(f"this took longer than {self.limits.seconds:g} seconds") from None

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1

    @property
    def waiting(self) -> int:
        """Return how many requests are being worked on or wait."""
        return self._waiting

    def pipeline(self, **options: Any) -> Pipeline:
        """Return the pipeline of these options, made or kept."""
        _check_names(options)
        wanted = self.defaults | {name: value for name, value in options.items() if value is not None}
        key = tuple(sorted(wanted.items()))
        with self._lock:
            if key in self._pipelines:
                self._pipelines.move_to_end(key)
                return self._pipelines[key]
        made = Pipeline(**wanted)
        with self._lock:
            self._pipelines[key] = made
            while len(self._pipelines) > KEPT:
                self._pipelines.popitem(last=False)
        return made

    def tracker(self, session: str, **options: Any) -> tuple[Tracker, Lock]:
        """Return the tracker of a video that a client shows, and the lock that keeps its frames in order."""
        pipeline = self.pipeline(**options)
        now = time.monotonic()
        with self._lock:
            found = self._trackers.get(session)
            fresh = found is None or found[0].pipeline is not pipeline
            tracker, lock = (Tracker(pipeline), Lock()) if fresh or found is None else (found[0], found[2])
            self._trackers[session] = (tracker, now, lock)
            self._trackers.move_to_end(session)
            for name in [n for n, (_, used, _) in self._trackers.items() if now - used > IDLE]:
                del self._trackers[name]
            while len(self._trackers) > SESSIONS:
                self._trackers.popitem(last=False)
        return tracker, lock

    def close(self) -> None:
        """Stop the workers; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _check_names(options: Mapping[str, Any]) -> None:
    """Refuse what is no name: elsewhere models and mark-ups may be files, here a request must reach none."""
    for option, kind, known in (
        ("model", "shipped model", weights.names()),
        ("markup", "mark-up", markup_names()),
    ):
        name = options.get(option)
        if name is not None and name not in known:
            raise UnknownName.of(kind, name, known)
