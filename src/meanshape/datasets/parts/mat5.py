"""Checking a MATLAB file of version 5 before SciPy reads it: its compiled reader trusts lengths and crashes.

A file is 128 bytes, then elements: type, length, content. A matrix is an element that holds others: flags
with its class, dimensions, a name, then numbers, or a matrix for each cell or field.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from meanshape.core.errors import FormatError

SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of one number, by type."""
MATRIX, COMPRESSED, INT32, UINT32 = 14, 15, 5, 6
CELL, STRUCT, CHAR, NUMBERS = 1, 2, 4, range(6, 16)
LARGEST, DEEPEST, MANY, NUMBERS_IN_ALL = 2**27, 8, 2**17, 2**24
"""Bytes that a file's variables may unpack to, matrices that may lie in one another, matrices of a file, and
numbers in a variable: eight bytes each in memory, however they are packed."""

ENOUGH = 6
"""Elements of a matrix beside its cells: flags, dimensions, name, fields' names; and one too many."""

Element = tuple[int, memoryview]


@dataclass(slots=True)
class Left:
    """What a file may still hold: matrices, whether in one another or not, and numbers of a variable."""

    matrices: int = MANY
    numbers: int = NUMBERS_IN_ALL


def check(data: bytes) -> None:
    """Raise `FormatError` unless every length in a file fits what holds it."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or len(data) < 128:
        raise FormatError("not a MATLAB file of version 5")
    left, rest = LARGEST, Left()
    for kind, content in _elements(memoryview(data)[128:], order):
        if kind == COMPRESSED:
            unpacked = _unpacked(content, left)
            left -= len(unpacked)
            for inner, whole in _elements(memoryview(unpacked), order):
                rest.numbers = NUMBERS_IN_ALL
                _check_matrix(inner, whole, order, rest, 0)
        else:
            rest.numbers = NUMBERS_IN_ALL
            _check_matrix(kind, content, order, rest, 0)


def _unpacked(content: memoryview, most: int) -> bytes:
    try:
        data = zlib.decompressobj().decompress(content, most + 1)
    except zlib.error as error:
        raise FormatError(f"a broken variable ({error})") from error
    if len(data) > most:
        raise FormatError(f"variables that unpack to more than {LARGEST:,} bytes")
    return data


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """Yield type and content of each element; short ones keep both in eight bytes."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise FormatError("cut off")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        first, step = at + 8, size
        if kind >> 16:
            kind, size, first, step = kind & 0xFFFF, kind >> 16, at + 4, 0
        if first + size > len(data) or (first == at + 4 and size > 4):
            raise FormatError("an element longer than what holds it")
        yield kind, data[first : first + size]
        at += 8 + step + (0 if kind == COMPRESSED else -step % 8)


def _check_matrix(kind: int, content: memoryview, order: str, left: Left, depth: int) -> None:
    """Check a matrix and what it holds."""
    if kind != MATRIX:
        raise FormatError(f"an element of type {kind} where a matrix should be")
    if depth > DEEPEST:
        raise FormatError(f"more than {DEEPEST} matrices in one another")
    left.matrices -= 1
    if left.matrices < 0:
        raise FormatError(f"more than {MANY:,} variables, cells and fields")
    if not len(content):
        return  # an empty cell
    parts = list(islice(_elements(content, order), left.matrices + ENOUGH))  # of more, their count is wrong
    if len(parts) < 3:
        raise FormatError("a matrix without flags, dimensions and name")
    (flags, word), (dims, sizes) = parts[:2]
    if flags != UINT32 or len(word) != 8 or dims != INT32 or len(sizes) % 4 or not sizes:
        raise FormatError("a matrix without flags, dimensions and name")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    count = math.prod(shape) if min(shape) >= 0 else NUMBERS_IN_ALL + 1
    if count > NUMBERS_IN_ALL or not 2 <= len(shape) <= 32:
        raise FormatError(f"a matrix of dimensions {shape!s:.80}")
    left.numbers -= count
    if left.numbers < 0:
        raise FormatError(f"more than {NUMBERS_IN_ALL:,} numbers in a variable")
    _check_content(struct.unpack(f"{order}II", word)[0], count, parts[3:], order, left, depth)


def _check_content(flags: int, count: int, parts: list[Element], order: str, left: Left, depth: int) -> None:
    """Check that a matrix holds as much as its dimensions say."""
    kind, planes = flags & 0xFF, 2 if flags & 0x800 else 1
    if kind in (CELL, STRUCT):
        if kind == STRUCT:
            if len(parts) < 2 or parts[0][0] != INT32 or len(parts[0][1]) != 4:
                raise FormatError("a structure without names")
            (length,) = struct.unpack(f"{order}i", parts[0][1])
            if not 1 <= length <= 64:
                raise FormatError(f"a structure whose names have {length} letters")
            count *= len(parts[1][1]) // length
            parts = parts[2:]
        if count > left.matrices:
            raise FormatError(f"more than {MANY:,} variables, cells and fields")
        if len(parts) != count:
            raise FormatError(f"{count} cells or fields promised, {len(parts)} there")
        for inner, content in parts:
            _check_matrix(inner, content, order, left, depth + 1)
    elif kind == CHAR or kind in NUMBERS:
        if not (count == 0 and not parts) and len(parts) != planes:
            raise FormatError(f"{planes} blocks of numbers promised, {len(parts)} there")
        for inner, content in parts:
            wanted = count * SIZES.get(inner, 0)
            text = kind == CHAR and inner == 16 and count <= len(content) <= 4 * count  # UTF-8
            if inner not in SIZES or (len(content) != wanted and not text):
                raise FormatError(f"{wanted} bytes of numbers promised, {len(content)} there")
    else:
        raise FormatError(f"a matrix of class {kind}, which no data set has")
