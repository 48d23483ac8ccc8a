"""Room for a few requests: the others are told to come again before their bodies are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from meanshape.apps.web.limits import Limits
from meanshape.apps.web.workers import SlowError, Workers
from meanshape.core.errors import MeanshapeError

if TYPE_CHECKING:
    from meanshape.apps.web.folder import Folder
    from meanshape.apps.web.photo_jobs import Ask

Answer = TypeVar("Answer")


class BusyError(MeanshapeError):
    """Too many requests are there already."""


@dataclass
class Service:
    """Counts requests and has them worked on. All but `close` is for the server's event loop alone.

    Parameters
    ----------
    defaults : options of every `Pipeline` that a request does not set
    limits : what is taken on
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    waiting: int = field(default=0, init=False)
    in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Make workers, which start when they are first asked."""
        self.workers = Workers(self.defaults, self.limits)
        self._threads = ThreadPoolExecutor(self.limits.workers, "folder")

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """Hold a place for a request with a body of so many bytes, or raise `BusyError`."""
        limits = self.limits
        if self.waiting >= limits.workers + limits.queue:
            raise BusyError(f"{self.waiting} requests are waiting already; come again in a second")
        if self.in_flight + size > limits.in_flight:
            have, most = self.in_flight / 1e6, limits.in_flight / 1e6
            raise BusyError(f"requests have {have:.0f} of {most:.0f} MB already; come again in a second")
        self.waiting, self.in_flight = self.waiting + 1, self.in_flight + size
        try:
            yield
        finally:
            self.waiting, self.in_flight = self.waiting - 1, self.in_flight - size

    async def run(self, work: Callable[[Ask], Answer]) -> Answer:
        """Work on the folder, in a thread; `SlowError` if that takes too long.

        `work` gets what has photos worked on by a worker: a thread cannot be stopped, and only waits for it.
        """
        seconds = self.limits.seconds
        asked = _Asked(self.workers)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, asked.ask)
        except TimeoutError:
            raise SlowError(f"this took longer than {seconds:g} seconds") from None
        finally:
            asked.give_up()

    async def place_ahead(self, folder: Folder) -> None:
        """Place the points of photos before they are asked for; what is wrong with one is said when it is."""
        for name in folder.unplaced():
            with suppress(MeanshapeError):
                await self.run(partial(folder.label, name))

    def close(self) -> None:
        """Stop the workers; what waits is dropped."""
        self.workers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Asked:
    """What a thread has asked the workers for; may be made on the event loop alone."""

    def __init__(self, workers: Workers) -> None:
        self._workers, self._loop = workers, asyncio.get_running_loop()
        self._all: list[Future[Any]] = []
        self._over = False

    def ask(self, work: str, **details: Any) -> Any:
        """Have a method of `PhotoJobs` called and wait for its answer, in another thread."""
        asking = self._workers.ask("photo", work=work, **details)
        try:
            answer = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:  # the server has ended
            asking.close()
            raise
        self._all.append(answer)
        if self._over:
            answer.cancel()
        return answer.result()

    def give_up(self) -> None:
        """Wait for nothing more: a worker that is still at it is replaced."""
        self._over = True
        for answer in self._all:
            answer.cancel()


__all__ = ["BusyError", "Limits", "Service"]
