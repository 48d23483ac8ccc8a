"""A lock that other processes see, on a file made for it; a process that dies holds none."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from meanshape.core.errors import OutputError, writing

PAUSE = 0.01
"""Seconds between two tries."""


class FileLock:
    """Holds a file that nobody else can hold until it is released.

    The file is removed on release. On a file system without locks, everybody holds it.

    Parameters
    ----------
    path : the file
    held : what is said if somebody else holds it
    seconds : how long to wait for that
    """

    def __init__(self, path: Path, held: str, seconds: float = 0.0) -> None:
        """Take the lock; `OutputError` with `held` where somebody else has it."""
        self.path = path
        self._file = -1
        until = time.monotonic() + seconds
        while not self._taken():
            if time.monotonic() >= until:
                raise OutputError(held)
            time.sleep(PAUSE)

    def _taken(self) -> bool:
        """Try once."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with writing(self.path):
            self._file = os.open(self.path, flags, 0o666)
        if _lock(self._file) and self._there():
            return True
        os.close(self._file)
        return False

    def _there(self) -> bool:
        """Tell whether the file that is locked is still the one of that name, not one just removed."""
        try:
            return os.path.samestat(os.fstat(self._file), self.path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let others have it."""
        if self._file >= 0:
            with suppress(OSError):  # Windows removes no open file; a folder may have become read-only
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


if sys.platform == "win32":

    def _lock(file: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(file: int) -> bool:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no locks
            return True
        return True
