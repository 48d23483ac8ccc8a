"""The `.xml` of dlib's imglab: boxes in whole pixels, and parts with numbers for names.

    <dataset><comment>markup: ibug68</comment><images><image file="a.jpg" width="640" height="480">
      <box top="10" left="12" width="40" height="44"><part name="00" x="13.25" y="20"/>…</box>

A box holds the pixels from left to left + width - 1; its edges here lie half a pixel outside. dlib itself
reads whole numbers only: where points lie between pixels, round them for it (`whole=True`). Points that are
not annotated are left out. Visibility, scores, poses and labels do not fit in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import FormatError, ResultError
from meanshape.core.face import Face
from meanshape.core.markup import markup as markup_of
from meanshape.core.markup import markup_names
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats import elements
from meanshape.formats.faces import guess_markup
from meanshape.formats.faults import Faults, Labels
from meanshape.formats.text import whole

SAYS = "markup:"


def read(path: str | Path, markup: str | None = None, faults: Faults | None = None) -> list[Prediction]:
    """Read a file; photos come in its order, those without faces too."""
    top = elements.parse(Path(path), "dataset")
    said = (top.findtext("comment") or "").strip()
    if markup is None and said.startswith(SAYS) and said.removeprefix(SAYS).strip() in markup_names():
        markup = said.removeprefix(SAYS).strip()
    predictions = []
    with Labels(path, faults) as labels:
        for image in top.iter("image"):
            try:
                photo = elements.photo(image, "file", path)
            except (FormatError, ResultError) as error:
                labels.skip(error, line=elements.line_of(image))
                continue
            faces = []
            for box in image:
                with labels.one(line=elements.line_of(box)):
                    if box.tag != "box":
                        raise FormatError(f"a <{box.tag}> is not read: faces are boxes", path)
                    if box.get("ignore") != "1":
                        faces.append(_face(box, markup, labels))
            predictions.append(replace(photo, faces=tuple(faces)))
    return predictions


def write(path: str | Path, predictions: Sequence[Prediction], whole: bool = False) -> None:
    """Write one file for all photos, whose faces are all of one mark-up; `whole` rounds points for dlib."""
    kinds = {f.shape.markup.name for p in predictions for f in p.faces if f.shape is not None}
    if len(kinds) > 1:
        raise FormatError(f"one file holds one mark-up, not {' and '.join(sorted(kinds))}", path=path)
    top = Element("dataset")
    if kinds:
        SubElement(top, "comment").text = f"{SAYS} {kinds.pop()}"
    images = SubElement(top, "images")
    for prediction in predictions:
        image = SubElement(images, "image", file=prediction.source or "")
        if all(prediction.size):
            image.attrib |= {"width": f"{prediction.size[0]}", "height": f"{prediction.size[1]}"}
        for face in prediction.faces:
            _write_face(image, face, whole)
    elements.write(path, top)


def _write_face(image: Element, face: Face, whole: bool) -> None:
    box = face.box
    numbers = {"top": box.top + 0.5, "left": box.left + 0.5, "width": box.width, "height": box.height}
    rounded = {
        name: f"{max(round(v), 1) if name in ('width', 'height') else round(v)}"
        for name, v in numbers.items()
    }
    element = SubElement(image, "box", rounded)
    if face.shape is None:
        return
    digits = max(2, len(str(len(face.shape) - 1)))
    for index, (x, y) in enumerate(face.shape.points):
        if np.isfinite(x):
            cells = {"x": f"{x:.0f}", "y": f"{y:.0f}"} if whole else {"x": _short(x), "y": _short(y)}
            SubElement(element, "part", {"name": f"{index:0{digits}d}", **cells})


def _short(value: float) -> str:
    """A number to a hundred-millionth, without zeros at its end."""
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _face(element: Element, markup: str | None, labels: Labels) -> Face:
    line, path = elements.line_of(element), labels.path
    parts = list(element.iter("part"))
    shape = _shape(parts, markup, path, line) if parts else None

    def box() -> Box:
        left, top = (elements.number(element, name, path) - 0.5 for name in ("left", "top"))
        width, height = (elements.number(element, name, path) for name in ("width", "height"))
        return Box(left, top, left + width, top + height)

    return Face(labels.box(box, shape, line=line), shape)


def _shape(parts: list[Element], markup: str | None, path: str | Path, line: int) -> Shape:
    """A shape of parts that are called by the names of points, or by numbers from 0."""
    names = [elements.text(part, "name", path) for part in parts]
    if len(set(names)) != len(names):
        raise FormatError("a part is there twice", path, line)
    numbered = all(whole(name) >= 0 for name in names)
    count = max(map(whole, names)) + 1 if numbered else len(names)
    kind = markup_of(markup or guess_markup(count, path, line))
    points = np.full((len(kind), 2), np.nan)
    for part, name in zip(parts, names, strict=True):
        index = kind.points.index(name) if name in kind.points else whole(name)
        if not 0 <= index < len(kind):
            raise FormatError(f"{kind.name} has no part {name!r}", path, elements.line_of(part))
        points[index] = elements.number(part, "x", path), elements.number(part, "y", path)
    return Shape(points, kind)
