"""Standard output that says in our words why it cannot be written, and messages that stop no work."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from meanshape.core.errors import OutputError


class ReaderGoneError(OutputError):
    """Nobody reads the output any more; there is nobody to tell."""


class _Stream(io.TextIOBase):
    """Writes to a stream; one that is closed (`>&-`) takes everything and keeps nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._full = stream, False

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return len(text) if self._stream is None else self._write(self._stream, text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def _write(self, stream: TextIO, text: str) -> int:
        """Write text; letters that the stream's encoding does not have are escaped."""
        try:
            return stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            return stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Write what waits."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._full = True

    def isatty(self) -> bool:
        """Tell whether a person looks at it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        if self._stream is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the stream's encoding."""
        return "utf-8" if self._stream is None else self._stream.encoding

    def drop(self) -> None:
        """Write what waits; drop what the stream cannot take, or the interpreter tries again as it ends."""
        with suppress(OSError):
            self.flush()
        if self._full and self._stream is not None:
            with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


class Results(_Stream):
    """Standard output: what cannot be written is an `OutputError`."""

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        kind = ReaderGoneError if isinstance(error, BrokenPipeError) else OutputError
        raise kind(f"standard output: cannot be written ({error.strerror or error})") from error


class Messages(_Stream):
    """Standard error: a full disk under the messages stops no work."""


__all__ = ["Messages", "ReaderGoneError", "Results"]
