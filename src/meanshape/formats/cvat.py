"""CVAT for images 1.1 (`.cvat.xml`): a skeleton for each face, or a list of points.

    <annotations><image name="a.jpg" width="640" height="480">
      <skeleton label="ibug68"><points label="chin" outside="0" occluded="0" points="12.5,30.5"/>…</skeleton>
      <box label="face" xtl="1" ytl="2" xbr="30" ybr="40"/> </image></annotations>

The label is the mark-up, those of a skeleton's parts are the names of points (or their numbers, from 1 as
CVAT draws them). CVAT calls the *corner* of the first pixel (0, 0), half a pixel from where it is here.
Faces without points are boxes; boxes of faces with points, scores, poses and labels do not fit in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import BoxError, FormatError, suggestion
from meanshape.core.markup import markup as markup_of
from meanshape.core.markup import markup_names
from meanshape.core.types import Box, Face, MarkUp, Prediction, Shape
from meanshape.formats import elements
from meanshape.formats.faces import face, guess_markup
from meanshape.formats.text import finite, whole

HALF = 0.5
"""What CVAT calls the centre of the first pixel."""


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read a file; photos come in its order, those without faces too."""
    top = elements.parse(Path(path), "annotations")
    return [
        Prediction(tuple(_faces(image, path, markup)), _size(image, path), elements.text(image, "name", path))
        for image in top.iter("image")
    ]


def write(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write one file for all photos."""
    top = Element("annotations")
    SubElement(top, "version").text = "1.1"
    for number, prediction in enumerate(predictions):
        width, height = prediction.size
        image = SubElement(
            top, "image", id=f"{number}", name=prediction.source or "", width=f"{width}", height=f"{height}"
        )
        for one in prediction.faces:
            if one.shape is None:
                _write_box(image, one.box)
            else:
                _write_shape(image, one.shape)
    elements.write(path, top)


def _write_box(image: Element, box: Box) -> None:
    edges = zip(("xtl", "ytl", "xbr", "ybr"), box.as_list(), strict=True)
    SubElement(image, "box", {"label": "face", **{name: f"{v + HALF:.8f}" for name, v in edges}})


def _write_shape(image: Element, shape: Shape) -> None:
    skeleton = SubElement(image, "skeleton", label=shape.markup.name, source="file", z_order="0")
    seen = np.ones(len(shape), bool) if shape.visible is None else shape.visible
    for name, (x, y), sight in zip(shape.markup.points, shape.points, seen, strict=True):
        known = bool(np.isfinite(x))
        SubElement(
            skeleton,
            "points",
            label=name,
            outside="0" if known else "1",
            occluded="0" if sight else "1",
            points=f"{x + HALF:.8f},{y + HALF:.8f}" if known else "0,0",
        )


def _size(image: Element, path: str | Path) -> tuple[int, int]:
    width, height = (
        int(elements.number(image, name, path)) if image.get(name) else 0 for name in ("width", "height")
    )
    return width, height


def _faces(image: Element, path: str | Path, markup: str | None) -> list[Face]:
    """The faces of a photo, in the file's order."""
    found = []
    for element in image:
        if element.tag == "skeleton":
            found.append(_skeleton(element, path, markup))
        elif element.tag == "points":
            points = _numbers(element, path)
            name = markup or _named(element, len(points), path)
            found.append(face(points, name, source=path, line=elements.line_of(element)))
        elif element.tag == "box":
            found.append(Face(_box(element, path)))
    return found


def _skeleton(element: Element, path: str | Path, markup: str | None) -> Face:
    line, parts = elements.line_of(element), list(element.iter("points"))
    kind = markup_of(markup or _named(element, len(parts), path))
    points, seen = np.full((len(kind), 2), np.nan), np.ones(len(kind), bool)
    for part in parts:
        index = _index(elements.text(part, "label", path), kind, path, part)
        seen[index] = part.get("occluded", "0") != "1"
        if part.get("outside", "0") != "1":
            points[index] = _numbers(part, path)[0]
    return face(points, kind.name, None if seen.all() else seen, source=path, line=line)


def _named(element: Element, count: int, path: str | Path) -> str:
    """The mark-up that a label names, or that alone has so many points."""
    label = element.get("label", "")
    return label if label in markup_names() else guess_markup(count, path, elements.line_of(element))


def _index(word: str, kind: MarkUp, path: str | Path, part: Element) -> int:
    if word in kind.points:
        return kind.points.index(word)
    if 1 <= whole(word) <= len(kind):
        return whole(word) - 1
    near = suggestion(word, kind.points)
    raise FormatError(f"{kind.name} has no point {word!r}{near}", path, elements.line_of(part))


def _numbers(element: Element, path: str | Path) -> NDArray[np.float64]:
    """The points (K, 2) of an element `points="x,y;x,y"`."""
    line, pairs = elements.line_of(element), elements.text(element, "points", path).split(";")
    rows = [[finite(word.strip(), path, line) for word in pair.split(",")] for pair in pairs]
    if any(len(row) != 2 for row in rows):
        raise FormatError("wanted x,y;x,y …", path, line)
    return np.array(rows) - HALF


def _box(element: Element, path: str | Path) -> Box:
    try:
        return Box(*(elements.number(element, name, path) - HALF for name in ("xtl", "ytl", "xbr", "ybr")))
    except BoxError as error:
        raise FormatError(str(error), path, elements.line_of(element)) from error
