"""Many photos over several processes: each decodes, detects and predicts by itself.

The parent hands out photos a few at a time and yields their predictions in the order of the photos, so that
an output written by four workers is the one that a single process writes. A photo that kills its worker (a
decoder that crashes, a system out of memory) is a prediction with an error; a new worker takes over.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from meanshape.core.errors import MeanshapeError, warn_in_one_line
from meanshape.core.prediction import Prediction

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from meanshape.inference.overlays import Overlays

AHEAD = 4
"""Photos that wait for each worker, so that it never waits for the parent."""
GRACE = 2.0
"""Seconds in which workers may leave by themselves."""
READY = None
"""What a worker answers first, when its models are loaded."""
WINDOW = 64
"""Photos per worker that may be done before an earlier one is: bounds what the parent holds."""


def predict(
    options: Mapping[str, Any], sources: Sequence[str], count: int, overlays: Overlays | None = None
) -> Iterator[Prediction]:
    """Yield the prediction of each photo, in order.

    Parameters
    ----------
    options : what each worker makes its `Pipeline` of
    sources : paths of photos
    count : how many workers
    overlays : draws each photo in the worker that has it

    Raises
    ------
    MeanshapeError : a worker could not start, or an overlay could not be written
    """
    pool = _Pool(options, sources, count, overlays)
    try:
        yield from pool.run()
    finally:
        pool.stop()


class _Pool:
    """The workers, what each is at, and what is done but not yet in its turn."""

    def __init__(
        self, options: Mapping[str, Any], sources: Sequence[str], count: int, overlays: Overlays | None
    ) -> None:
        self.sources, self.options, self.overlays = sources, dict(options), overlays
        self.todo: deque[int] = deque(range(len(sources)))
        self.done: dict[int, Prediction] = {}
        self.next = 0
        self.workers: list[_Worker] = []
        try:
            for _ in range(min(count, max(1, len(sources)))):
                self.workers.append(self._start())
        except BaseException:
            self.stop()
            raise

    def _start(self) -> _Worker:
        try:
            return _Worker(self.options, self.overlays)
        except OSError as error:
            told = f"a worker could not start ({error.strerror or error}); try fewer --workers"
            raise MeanshapeError(told) from error

    def run(self) -> Iterator[Prediction]:
        """Hand out photos and yield predictions until all are done."""
        while self.next < len(self.sources):
            for worker in self.workers:
                self._feed(worker)
            ready = wait([worker.connection for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.connection in ready]:
                self._take(worker)
            while self.next in self.done:
                yield self.done.pop(self.next)
                self.next += 1

    def _feed(self, worker: _Worker) -> None:
        """Keep a worker's hands full, within the window."""
        limit = self.next + WINDOW * len(self.workers)
        while self.todo and len(worker.at) < AHEAD and self.todo[0] < limit:
            number = self.todo.popleft()
            worker.at.append(number)
            try:
                worker.connection.send((number, self.sources[number]))
            except OSError:  # it died meanwhile; `_take` hears of it
                return

    def _take(self, worker: _Worker) -> None:
        """Take one answer; a worker that died is replaced, and the photo it was at is told as broken."""
        try:
            number, answer = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        if isinstance(answer, BaseException):
            raise answer
        if answer is READY:
            worker.ready = True
            return
        worker.at.remove(number)
        self.done[number] = answer

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        code = worker.process.exitcode
        if not worker.ready:  # no photo is to blame, and the next worker would fare no better
            raise MeanshapeError(f"a worker could not start (exit code {code}); try fewer --workers")
        if worker.at:
            number, *rest = worker.at
            source = self.sources[number]
            self.done[number] = Prediction(
                (), (0, 0), source, error=f"{source}: the process that read it died (exit code {code})"
            )
            self.todo.extendleft(reversed(rest))
        worker.connection.close()
        self.workers[self.workers.index(worker)] = self._start()

    def stop(self) -> None:
        """End the workers: idle ones leave by themselves and tidy up, the others are stopped."""
        for worker in self.workers:
            worker.connection.close()
        patience = time.monotonic() + GRACE
        for worker in self.workers:
            worker.process.join(max(0.0, patience - time.monotonic()))
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, options: dict[str, Any], overlays: Overlays | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.at: deque[int] = deque()
        self.ready = False
        self.process: SpawnProcess = context.Process(
            target=_work, args=(theirs, options, overlays), daemon=True
        )
        try:
            self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()


def _work(connection: Connection, options: dict[str, Any], overlays: Overlays | None) -> None:
    """Be a worker: answer each photo with its prediction, until the parent is gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    warn_in_one_line()
    try:
        from meanshape.inference.batch import predict as one_after_another
        from meanshape.inference.pipeline import Pipeline

        pipeline = Pipeline(**options)
        connection.send((None, READY))
        while True:
            number, source = connection.recv()
            for prediction, pixels in one_after_another(pipeline, [source]):
                if overlays is not None and pixels is not None:
                    overlays.add(pixels, prediction)
                connection.send((number, prediction))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except BaseException as error:  # the parent raises it
        connection.send((None, error))


def _leave_with_parent() -> None:
    """End this process when the parent is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
