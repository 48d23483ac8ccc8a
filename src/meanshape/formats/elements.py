"""XML that may come from anywhere: a document type, and with it every entity, is refused unread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder, indent, tostring
from xml.parsers import expat

from meanshape.core.errors import FormatError
from meanshape.core.prediction import Prediction
from meanshape.core.regular import read_bytes
from meanshape.formats.text import escaped, finite, unescaped, write_text

_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffe\\uffff]")
DEPTH = 50
"""Elements in one another; labels need six."""
BARE = 100_000
"""Elements without attributes in a file: they hold no labels, but each takes a hundred times its bytes."""
_LINE = "{}line"
"""Where `parse` keeps an element's line: no file's attribute can be called so."""


def parse(path: Path, root: str) -> Element:
    """Read a file whose outermost element is `root`; each element knows its line."""
    try:
        content = read_bytes(path)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path=path) from error
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise FormatError("it has a document type; labels need none", path, parser.CurrentLineNumber)

    depth = bare = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, bare
        depth, bare = depth + 1, bare + (not attributes)
        if depth > DEPTH or bare > BARE:
            what = (
                f"{DEPTH} elements in one another" if depth > DEPTH else f"{BARE:,} elements that say nothing"
            )
            raise FormatError(f"more than {what}; labels need none of it", path, parser.CurrentLineNumber)
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise FormatError(f"not XML: {expat.ErrorString(error.code)}", path, error.lineno) from error
    except FormatError:
        raise
    except (LookupError, ValueError) as error:  # the encoding that it names
        raise FormatError(f"not XML that can be read: {error}", path) from error
    top = builder.close()
    if top.tag != root:
        raise FormatError(f"wanted <{root}> around everything, got <{top.tag[:40]}>", path, line_of(top))
    return top


def line_of(element: Element) -> int:
    """The line in which an element begins."""
    return int(element.get(_LINE, "1"))


def number(element: Element, name: str, path: str | Path) -> float:
    """An attribute that must be a finite number."""
    return finite(text(element, name, path), path, line_of(element))


def text(element: Element, name: str, path: str | Path) -> str:
    """An attribute that must be there."""
    value = element.get(name)
    if value is None:
        raise FormatError(f"<{element.tag}> has no {name}", path, line_of(element))
    return value


def photo(element: Element, attribute: str, path: str | Path) -> Prediction:
    """Return the photo that an `<image>` is about, without faces; the attribute names it."""
    width, height = (
        int(number(element, key, path)) if element.get(key) else 0 for key in ("width", "height")
    )
    return Prediction((), (width, height), unescaped(text(element, attribute, path)))


def write(path: str | Path, top: Element) -> None:
    """Write a document, indented; letters that XML cannot hold are escaped as `formats.text` does."""
    indent(top)
    body = _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", tostring(top, encoding="unicode"))
    write_text(Path(path), f'<?xml version="1.0" encoding="UTF-8"?>\n{escaped(body)}\n')
