"""TOML that anybody may have written: its size, its depth and its numbers are bounded, or a `ValueError`.

The standard library's parser takes time and memory that grow with the square of the parts of one dotted key,
and reads whole numbers of any length, which then cannot even be printed.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

from meanshape.core.regular import read_text

LARGEST = 2**20
"""Bytes of a file. The largest that comes with the package has 14,000."""
DEEPEST = 32
"""Parts of one dotted key."""
BITS = 64
"""Of a whole number, as the TOML specification has it."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{DEEPEST}}}")


def parse(text: str) -> dict[str, Any]:
    """Return what a TOML text says."""
    if len(text) > LARGEST:
        raise ValueError(f"larger than {LARGEST:,} bytes")
    if _DEEP.search(text):
        raise ValueError(f"a key of more than {DEEPEST} parts")
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    _check(values)
    return values


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a TOML file says; `OSError` if it cannot be read, or is no regular file."""
    return parse(read_text(path, LARGEST))


def _check(values: Any) -> None:
    """Refuse whole numbers that are too long."""
    todo = [values]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
        elif isinstance(one, int) and one.bit_length() > BITS:
            raise ValueError(f"a whole number of more than {BITS} bits")


__all__ = ["parse", "read"]
