"""Reading and writing the text of label files: one way to decode, one way to fail, never half a file."""

from __future__ import annotations

import json
import locale
import math
import os
import re
from pathlib import Path
from typing import Any

from meanshape.core import regular
from meanshape.core.errors import FormatError, in_words, writing
from meanshape.core.files import replacing

_UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that steer a terminal, or turn round what it shows: names of files may hold them."""

_ESCAPE = re.compile(r"\\u(d[89a-f][0-9a-f]{2}|00[01][0-9a-f]|fff[ef])")


def read_text(path: Path, breaks: bool = False) -> str:
    """Read a UTF-8 file, with or without a byte order mark; `FormatError` where it is none.

    Line breaks become `\\n`, or stay as they are (`breaks`).
    """
    try:
        return regular.read_text(path, encoding="utf-8-sig", breaks=breaks)
    except UnicodeDecodeError as error:
        raise FormatError("not a text file in UTF-8", path=path) from error
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path=path) from error


def decode_names(data: bytes) -> str:
    """Return a list of file names as text; names that are not UTF-8 come as the system gives them."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if os.name == "nt":
            return data.decode(locale.getpreferredencoding(False), "replace")
        return data.decode("utf-8", "surrogateescape")


def parse_json(text: str, source: str | Path, line: int | None = None) -> Any:
    """Parse JSON; what is none, goes too deep or has a number too long to read is a `FormatError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = error.lineno if line is None else line
        raise FormatError(f"not JSON: {error.msg} at column {error.colno}", source, where) from error
    except (ValueError, RecursionError, MemoryError) as error:
        said = "too large" if isinstance(error, MemoryError) else in_words(error)
        raise FormatError(f"not JSON that can be read: {said}", source, line) from error


def dump_json(data: Any, indent: int | None = None, ascii_only: bool = False) -> str:
    """Render JSON without NaN; a name that is not UTF-8 is told in escapes, which `parse_json` reads back."""
    return escaped(json.dumps(data, ensure_ascii=ascii_only, allow_nan=False, indent=indent))


def printable(text: str) -> str:
    """Return a text that no terminal obeys: control characters become escapes."""
    return _UNPRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escaped(text: str) -> str:
    """Return a text that every file holds: a lone surrogate becomes the six letters that JSON has for it.

    Python has one in a name for each byte that is not UTF-8.
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def unescaped(text: str) -> str:
    """Return the name of which `escaped`, or a writer of XML, made this."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text


def whole(word: str) -> int:
    """Read a whole number of up to nine decimal digits; anything else is -1."""
    return int(word) if word.isdecimal() and len(word) < 10 else -1


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file beside its place and move it there, so that no half-written file is ever seen."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())


def finite(word: str, source: str | Path, line: int) -> float:
    """Read a finite number; letters, NaN and infinity are errors that name the line."""
    try:
        value = float(word.replace("_", "?"))  # Python alone would read 1_0 as ten
    except ValueError:
        raise FormatError(f"wanted a number, got {word[:40]!r}", path=source, line=line) from None
    if not math.isfinite(value):
        raise FormatError(f"wanted a finite number, got {word[:40]!r}", path=source, line=line)
    return value
