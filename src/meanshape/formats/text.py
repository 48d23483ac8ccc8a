"""Reading and writing the text of label files: one way to decode, one way to fail, never half a file."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

from meanshape.core.errors import FormatError, writing


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark; `FormatError` where it is none."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("not a text file in UTF-8", path=path) from error
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path=path) from error


def parse_json(text: str, source: str | Path, line: int | None = None) -> Any:
    """Parse JSON; what is none, goes too deep or has a number too long to read is a `FormatError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = error.lineno if line is None else line
        raise FormatError(f"not JSON: {error.msg} at column {error.colno}", source, where) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON that can be read: {error}", source, line) from error


def whole(word: str) -> int:
    """Read a whole number of up to nine decimal digits; anything else is -1."""
    return int(word) if word.isdecimal() and len(word) < 10 else -1


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file beside its place and move it there, so that no half-written file is ever seen."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem[:40]}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            part.write_text(text, "utf-8", newline="\n")
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def finite(word: str, source: str | Path, line: int) -> float:
    """Read a finite number; letters, NaN and infinity are errors that name the line."""
    try:
        value = float(word.replace("_", "?"))  # Python alone would read 1_0 as ten
    except ValueError:
        raise FormatError(f"wanted a number, got {word[:40]!r}", path=source, line=line) from None
    if not math.isfinite(value):
        raise FormatError(f"wanted a finite number, got {word!r}", path=source, line=line)
    return value
