"""Cells of CSV files that a spreadsheet shows and never runs.

Excel, LibreOffice and Google Sheets take a cell that begins with `=`, `+`, `-` or `@` for a formula, and a
formula can start programs or send data away. Such a text gets an apostrophe in front, which `plain` takes
away again; so does what follows a semicolon, a tab or a line break, where cells end in some countries.
Numbers stay numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_FORMULA = r"""(?=(?:['"]|[^\S\t\r\n])*[=+\-@＝＋－＠])"""
_BARE = re.compile(rf"(^|[;\t\r\n]){_FORMULA}")
_GUARDED = re.compile(rf"(^|[;\t\r\n])'{_FORMULA}")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_QUOTED = re.compile(r'[,;\t\r\n"]')
_HARMLESS = re.compile(r'[^=+\-@＝＋－＠,;\t\r\n"]*')


def render_row(cells: Iterable[Any]) -> str:
    """Return one row with its line break: each cell as `str` writes it, guarded; None is empty."""
    return ",".join(map(_cell, cells)) + "\n"


def guarded(text: str) -> str:
    """Return a text that no spreadsheet runs."""
    return text if _NUMBER.fullmatch(text) else _BARE.sub(r"\1'", text)


def plain(cell: str) -> str:
    """Return the text of which `guarded` made this cell."""
    return _GUARDED.sub(r"\1", cell) if "'" in cell else cell


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    if _HARMLESS.fullmatch(text):  # nearly all: quickly
        return text
    text = guarded(text)
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if _QUOTED.search(text) else text


__all__ = ["guarded", "plain", "render_row"]
