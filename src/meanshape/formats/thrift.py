"""Thrift's compact protocol, in which Parquet files say what they hold: read into dictionaries and lists."""

from __future__ import annotations

from typing import Any

from meanshape.core.errors import FormatError

BOOLEANS, BYTE, WHOLE, DOUBLE, BINARY, LIST, STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 9, 12
DEEPEST = 10


def struct(data: bytes, at: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure by their numbers, and where it ends.

    Raises `FormatError` if it is none, or has a field twice, of which readers might take either.
    """
    if depth > DEEPEST:
        raise FormatError("its description goes too deep")
    found: dict[int, Any] = {}
    number = 0
    while head := _byte(data, at):
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _whole(data, at)
        if number in found:
            raise FormatError("its description says something twice")
        found[number], at = _value(data, at, head & 15, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return one value and where the next begins."""
    if kind in BOOLEANS:
        return kind == 1, at
    if kind == BYTE:
        return _byte(data, at), at + 1
    if kind in WHOLE:
        return _whole(data, at)
    if kind == DOUBLE:
        _byte(data, at + 7)
        return None, at + 8
    if kind == BINARY:
        length, at = _varint(data, at)
        return data[at : at + length], at + length
    if kind == LIST:
        return _list(data, at, depth)
    if kind == STRUCT:
        return struct(data, at, depth + 1)
    raise FormatError(f"its description has a value of kind {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head = _byte(data, at)
    count, kind, at = head >> 4, head & 15, at + 1
    if count == 15:
        count, at = _varint(data, at)
    values = []
    for _ in range(count):
        value, at = _value(data, at, BYTE if kind in BOOLEANS else kind, depth)
        values.append(value)
    return values, at


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise FormatError("its description is cut off")
    return data[at]


def _whole(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(data, at)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise FormatError("its description has a number too long")


__all__ = ["struct"]
