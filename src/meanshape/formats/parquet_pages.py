"""What a Parquet file unpacks to, by its own description and the headers of its pages, before Arrow sees it.

A value that repeats takes no room in a file, so that a few kilobytes may hold gigabytes. Sums at the end of
the file are not to be relied on: each page's own header is what Arrow goes by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

from meanshape.core.errors import FormatError
from meanshape.formats import thrift

MAGIC = b"PAR1"
BYTE_ARRAY, FIXED = 6, (0, 1, 2, 4, 5)
"""Kinds of values: text; Boolean and numbers of four and eight bytes."""
DATA, DICTIONARY, DATA_2 = 5, 7, 8
PAGES = {0: DATA, 2: DICTIONARY, 3: DATA_2}
"""Where a page's header describes a page of a kind."""
DELTAS = (6, 7)
"""Encodings of text that is not read: in one of them texts share beginnings, and grow with the square."""
MOST, LARGEST = 2**24, 2**26
"""Values of one column in one group of rows, and bytes of one page."""
FOOTER, HEADER = 2**23, 2**16
"""Bytes of the description at the end, and of a page's header."""


@dataclass
class Budget:
    """What may still come: a file of `size` bytes has so many rows, values of a column, bytes and pages."""

    size: int
    values: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = 50_000 + self.size // 4
        self.most = 1_000_000 + 8 * self.size
        self.text = 1_000_000 + 64 * self.size
        self.page = min(LARGEST, self.text)
        self.pages = 10_000 + self.size // 16


def check(file: BufferedReader, texts: frozenset[str], wanted: frozenset[str]) -> Budget:
    """Check the columns `wanted` of an open file, of which `texts` are text; return what is left.

    Raises `FormatError` if it would take far more memory than a file of that size should.
    """
    budget = Budget(file.seek(0, 2))
    for group in _listed(_description(file, budget.size).get(4)):
        budget.rows -= _size(group.get(3))
        if budget.rows < 0:
            raise FormatError(f"too many rows for {budget.size:,} bytes")
        for column in _listed(group.get(1)):
            about = column.get(3)
            if 1 in column or not isinstance(about, dict) or not isinstance(about.get(3), list):
                raise FormatError("a column that is not described, or lies in another file")
            path = b".".join(part for part in about[3] if isinstance(part, bytes))
            name = path.partition(b".")[0].decode("utf-8", "replace")
            if name not in wanted:
                continue
            if about.get(1) not in ((BYTE_ARRAY,) if name in texts else FIXED):
                raise FormatError(f"column {name} holds values of another kind ({about.get(1)})")
            count = _values(file, about, budget)
            budget.values[path] = budget.values.get(path, budget.most) - count
            if count > MOST or budget.values[path] < 0:
                raise FormatError(f"column {name} has too many values for {budget.size:,} bytes")
    file.seek(0)
    return budget


def _description(file: BufferedReader, size: int) -> dict[int, Any]:
    """Return the structure at the end of the file."""
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != MAGIC or not 0 < length <= min(FOOTER, size - 12):
        raise FormatError("no Parquet file")
    file.seek(size - 8 - length)
    return thrift.struct(file.read(length))[0]


def _values(file: BufferedReader, about: dict[int, Any], budget: Budget) -> int:
    """Return how many values the pages of a column have."""
    at, dictionary = _size(about.get(9)), about.get(11)
    if dictionary:
        at = min(at, _size(dictionary))
    end, count = at + _size(about.get(7)), 0
    while at < end:
        budget.pages -= 1
        file.seek(at)
        page, length = thrift.struct(file.read(HEADER))
        kind = PAGES.get(_size(page.get(1)), 0)
        inner = page.get(kind, {})
        if budget.pages < 0 or _size(page.get(2)) > budget.page:
            raise FormatError("too many pages, or one too large, for a file of this size")
        if about[1] == BYTE_ARRAY and (inner.get(2) in DELTAS or inner.get(4) in DELTAS):
            raise FormatError("its text is in a delta encoding, which is not read; write it plain")
        count += _size(inner.get(1)) if kind in (DATA, DATA_2) else 0
        at += length + _size(page.get(3))
    if count != about.get(5):
        raise FormatError(f"{about.get(5)} values promised, {count} there")
    return count


def _listed(values: Any) -> list[dict[int, Any]]:
    """Return a list of structures."""
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise FormatError("its description lacks rows or columns")
    return values


def _size(value: Any) -> int:
    """Return a number that counts something."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FormatError("its description lacks a size")
    return value


__all__ = ["Budget", "check"]
