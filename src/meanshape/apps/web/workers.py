"""Processes that work on one request at a time each; one that takes too long is killed and replaced.

A decoder or a network that is busy with a hostile picture cannot be stopped from within: it is foreign code
and looks at no clock. So it runs in a process that can be killed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any
from zlib import crc32

from meanshape.apps.web.limits import Limits
from meanshape.core.errors import ImageError, MeanshapeError, warn_in_one_line

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess


class SlowError(MeanshapeError):
    """A request took longer than it may."""


class NoWorkerError(MeanshapeError):
    """The system would not start a process."""


class LostError(ImageError):
    """A picture killed its worker, or needed more memory than a worker may have."""


class FailedError(MeanshapeError):
    """A worker met an unforeseen error."""


class Workers:
    """A few workers; requests wait in turn until one is free.

    Parameters
    ----------
    defaults : options of every `Pipeline` that a request does not set
    limits : how many workers there are, and what each may take
    """

    def __init__(self, defaults: Mapping[str, Any], limits: Limits) -> None:
        self._seconds = limits.seconds
        self._all = [Worker(dict(defaults), limits) for _ in range(limits.workers)]
        self._free = list(self._all)
        self._waiting: list[tuple[asyncio.Future[Worker], Worker | None]] = []
        self._threads = ThreadPoolExecutor(limits.workers, "worker")

    def start(self) -> None:
        """Start a worker, which loads its models meanwhile."""
        self._all[0].start()

    def wait_until_ready(self) -> None:
        """Wait for that worker, or raise what is wrong with its models; then start the others."""
        self._all[0].do("ready", None, {})
        for worker in self._all:
            worker.start()

    async def ask(
        self, job: str, data: bytes | None = None, *, session: str | None = None, **details: Any
    ) -> Any:
        """Have a method of `Jobs` called and return its answer. One session always has the same worker.

        Raises
        ------
        MeanshapeError : what is wrong with the request
        SlowError : it took too long, waiting included
        NoWorkerError : there is no process for it, and none could be started
        LostError : its worker died, or would have needed too much memory
        """
        wanted = None if session is None else self._all[crc32(session.encode()) % len(self._all)]
        try:
            async with asyncio.timeout(self._seconds):
                worker = await self._take(wanted)
                try:
                    return await self._do(worker, job, data, details)
                finally:
                    self._give(worker)
        except TimeoutError:
            raise SlowError(f"this took longer than {self._seconds:g} seconds") from None

    async def _do(self, worker: Worker, job: str, data: bytes | None, details: Mapping[str, Any]) -> Any:
        """Wait for an answer in a thread; replace the worker if it is given up or lost."""
        worker.start()
        doing = asyncio.get_running_loop().run_in_executor(self._threads, worker.do, job, data, details)
        try:
            return await asyncio.shield(doing)
        except (asyncio.CancelledError, LostError, FailedError):
            worker.kill()
            try:
                await asyncio.gather(doing, return_exceptions=True)
            finally:
                worker.replace()
            raise

    async def _take(self, wanted: Worker | None) -> Worker:
        """Return a free worker, or wait for one."""
        for worker in self._free if wanted is None else [wanted]:
            if worker in self._free:
                self._free.remove(worker)
                return worker
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, wanted))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(turn.result())
            raise
        finally:
            self._waiting = [entry for entry in self._waiting if entry[0] is not turn]

    def _give(self, worker: Worker) -> None:
        """Hand a worker to whoever has waited longest for it."""
        for turn, wanted in self._waiting:
            if not turn.done() and wanted in (None, worker):
                turn.set_result(worker)
                return
        self._free.append(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self._all:
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class Worker:
    """One process and the pipe to it. Only `do` may be called from another thread."""

    def __init__(self, defaults: dict[str, Any], limits: Limits) -> None:
        self._setup = (defaults, limits)
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, unless it runs already; `NoWorkerError` where the system refuses."""
        if self._process is not None and not self._process.is_alive():
            self._forget()
        if self._process is None and not self._closed:
            try:
                self._process, self._pipe = self._made()
            except OSError as error:  # no room for another process, or for its pipe
                raise NoWorkerError(
                    f"no process could be started to work on this ({error.strerror or error}); "
                    "come again in a second, or allow the server more processes, files or memory"
                ) from error

    def _made(self) -> tuple[SpawnProcess, Connection]:
        """Return a new process and the pipe to it."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        try:
            process = context.Process(target=_work, args=(theirs, *self._setup), daemon=True)
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return process, ours

    def do(self, job: str, data: bytes | None, details: Mapping[str, Any]) -> Any:
        """Have a job done and return its answer, or raise its error."""
        try:
            if self._pipe is None:
                raise EOFError
            self._pipe.send((job, () if data is None else (data,), details))
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise LostError(
                "the process that worked on this was lost (out of memory?); make the picture smaller"
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def kill(self) -> None:
        """End the process at once, whatever it is at."""
        if self._process is not None:
            self._process.kill()

    def replace(self) -> None:
        """Start another process in place of one that was killed, to be ready for the next request."""
        if self._process is not None:
            self._process.join()
        with suppress(NoWorkerError):  # told to the next request, if it is still so
            self.start()

    def _forget(self) -> None:
        """Drop a process that has ended, and its pipe."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.close()
        self._process = self._pipe = None

    def close(self) -> None:
        """End the process and start no other."""
        self._closed = True
        self.kill()


def _work(pipe: Connection, defaults: dict[str, Any], limits: Limits) -> None:
    """Be a worker: do one job after another until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    warn_in_one_line()
    if not {"device", "providers"} & defaults.keys():  # other devices map far more than they use
        _limit_memory(limits.memory)
    from meanshape.apps.web.jobs import Jobs

    jobs = Jobs(defaults, limits)
    with suppress(MeanshapeError):  # told when it is asked for
        jobs.ready()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(jobs, *pipe.recv()))


def _answer(jobs: Any, job: str, given: tuple[bytes, ...], details: Mapping[str, Any]) -> Any:
    """Return a job's answer, or the error that is to be raised."""
    try:
        return getattr(jobs, job)(*given, **details)
    except MeanshapeError as error:
        return error
    except MemoryError:
        return LostError("this needs more memory than a worker may have; make the picture smaller")
    except Exception as error:
        traceback.print_exc()
        return FailedError(f"this failed unexpectedly ({type(error).__name__})")


def _limit_memory(most: int) -> None:
    """Allow this process so many bytes of its own, where the system can tell them from mapped files."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _leave_with_parent() -> None:
    """End this process when the server is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


__all__ = ["FailedError", "LostError", "NoWorkerError", "SlowError", "Workers"]
