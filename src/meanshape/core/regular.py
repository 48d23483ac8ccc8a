"""Files that anybody may have made: regular ones of a bounded size, read whole; else an `OSError` says why.

A pipe or a device under a file's name would make its reader wait for ever, or never come to an end.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from typing import BinaryIO

LARGEST = 2**30
"""Bytes of a file that is read whole, unless less is said."""

PART = 2**20
"""Bytes to ask for at a time where nothing says how many there are."""


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file to read its bytes."""
    _check(os.stat(path))  # noqa: PTH116 - before it is opened: opening a device may do something
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - a path's own has no opener
    try:
        _check(os.fstat(file.fileno()))  # it may be another one by now
    except OSError:
        file.close()
        raise
    return file


def read_bytes(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """Return the bytes of a regular file; one of more than `limit` bytes is not kept."""
    with open_regular(path) as file:
        return read_whole(file, limit, os.fstat(file.fileno()).st_size)


def read_whole(file: BinaryIO, limit: int = LARGEST, size: int = PART) -> bytes:
    """Return the bytes of an open file or pipe, about `size` of them; more than `limit` are an `OSError`."""
    if size <= limit:
        parts, left = [], limit
        while left >= 0 and (part := file.read(min(left, size) + 1)):  # it may be longer than it says
            parts.append(part)
            left -= len(part)
        if left >= 0:
            return b"".join(parts)
    raise OSError(f"larger than {limit:,} bytes")


def read_text(
    path: str | os.PathLike[str], limit: int = LARGEST, encoding: str = "utf-8", breaks: bool = False
) -> str:
    """Return the text of a regular file, its line breaks as `\\n`; or as they are (`breaks`)."""
    text = read_bytes(path, limit).decode(encoding)
    if breaks:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _check(state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError("a folder, not a file")
    if not stat.S_ISREG(state.st_mode):
        raise OSError("a pipe or a device, not a file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


__all__ = ["LARGEST", "open_regular", "read_bytes", "read_text", "read_whole"]
