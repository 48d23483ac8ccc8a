"""CVAT 1.1, for images and for video (`.cvat.xml`): a skeleton for each face, or a list of points.

    <annotations><image name="a.jpg" width="640" height="480">
      <skeleton label="ibug68"><points label="chin" outside="0" occluded="0" points="12.5,30.5"/>…</skeleton>
      <box label="face" xtl="1" ytl="2" xbr="30" ybr="40"/> </image></annotations>

The label is the mark-up, those of a skeleton's parts are the names of points (or their numbers, from 1 as
CVAT draws them). CVAT calls the *corner* of the first pixel (0, 0), half a pixel from where it is here.
Faces without points are boxes; boxes of faces with points, scores, poses and labels do not fit in.

In the form for video, which is read only, a `<track>` has the same elements for one face, one a frame. Frames
are called as CVAT calls their pictures, `frame_000012`; tracks keep their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, FormatError, ResultError, suggestion
from meanshape.core.face import Face
from meanshape.core.markup import MarkUp, markup_names
from meanshape.core.markup import markup as markup_of
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats import elements
from meanshape.formats.faces import face, guess_markup
from meanshape.formats.faults import Faults, Labels
from meanshape.formats.text import finite, whole

HALF = 0.5
"""What CVAT calls the centre of the first pixel."""
MOST_POINTS = 10_000
"""Of one element; faces have some hundreds at most."""


def read(path: str | Path, markup: str | None = None, faults: Faults | None = None) -> list[Prediction]:
    """Read a file; photos come in its order, those without faces too, and after them the frames."""
    top = elements.parse(Path(path), "annotations")
    with Labels(path, faults) as labels:
        for other in top:
            if other.tag not in ("version", "meta", "image", "track"):
                labels.skip(FormatError(f"a <{other.tag}> is not read", path, elements.line_of(other)))
        photos = [_photo(image, markup, labels) for image in top.iter("image")]
        frames = _frames(top, markup, labels)
    return [*(photo for photo in photos if photo is not None), *frames]


def _photo(image: Element, markup: str | None, labels: Labels) -> Prediction | None:
    """A photo and its faces, in the file's order; None where it has no name."""
    try:
        photo = elements.photo(image, "name", labels.path)
    except (FormatError, ResultError) as error:
        labels.skip(error, line=elements.line_of(image))
        return None
    faces = []
    for element in image:
        with labels.one(line=elements.line_of(element)):
            faces += _faces(element, markup, labels.path)
    return replace(photo, faces=tuple(faces))


def _frames(top: Element, markup: str | None, labels: Labels) -> list[Prediction]:
    """The frames of a video in which a track has something, in order."""
    frames: dict[int, list[Face]] = {}
    for track in top.iter("track"):
        number = whole(track.get("id", ""))
        for element in track:
            with labels.one(line=elements.line_of(element)):
                element.set("label", element.get("label") or track.get("label") or "")
                found = _faces(element, markup, labels.path)
                at = whole(elements.text(element, "frame", labels.path))
                if at < 0:
                    raise FormatError("a frame has a number from 0", labels.path)
                frames.setdefault(at, []).extend(
                    replace(one, track=number if number >= 0 else None) for one in found
                )
    size = _frame_size(top)
    return [Prediction(tuple(faces), size, f"frame_{at:06d}") for at, faces in sorted(frames.items())]


def _frame_size(top: Element) -> tuple[int, int]:
    said = top.find("meta//original_size")
    if said is None:
        return 0, 0
    width, height = (max(whole(said.findtext(key) or ""), 0) for key in ("width", "height"))
    return width, height


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


def _faces(element: Element, markup: str | None, path: str | Path) -> list[Face]:
    """The face of an element; none where it says that it is not in the picture, or of what is no face."""
    line = elements.line_of(element)
    if element.get("outside") == "1" or element.tag == "attribute":
        return []
    if element.tag == "skeleton":
        return _skeleton(element, path, markup)
    if element.tag == "points":
        points = _numbers(element, path)
        return [face(points, markup or _named(element, len(points), path), source=path, line=line)]
    if element.tag == "box":
        return [Face(_box(element, path))]
    raise FormatError(f"a <{element.tag}> is not read: faces are skeletons, points or boxes", path, line)


def _skeleton(element: Element, path: str | Path, markup: str | None) -> list[Face]:
    line, parts = elements.line_of(element), list(element.iter("points"))
    kind = markup_of(markup or _named(element, len(parts), path))
    points, seen = np.full((len(kind), 2), np.nan), np.ones(len(kind), bool)
    taken = set[int]()
    for part in parts:
        index = _index(elements.text(part, "label", path), kind, path, part)
        if index in taken:
            raise FormatError(f"{kind.points[index]} is there twice", path, elements.line_of(part))
        taken.add(index)
        seen[index] = part.get("occluded", "0") != "1"
        if part.get("outside", "0") != "1":
            place = _numbers(part, path)
            if len(place) != 1:
                said = f"a part of a skeleton is one point x,y, not {len(place)}"
                raise FormatError(said, path, elements.line_of(part))
            points[index] = place[0]
    if parts and np.isnan(points).all():
        return []
    return [face(points, kind.name, None if seen.all() else seen, source=path, line=line)]


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
    line, said = elements.line_of(element), elements.text(element, "points", path)
    if said.count(";") >= MOST_POINTS:
        raise FormatError(f"more than {MOST_POINTS:,} points in one element", path, line)
    pairs = said.split(";")
    rows = [[finite(word.strip(), path, line) for word in pair.split(",")] for pair in pairs]
    if any(len(row) != 2 for row in rows):
        raise FormatError("wanted points x,y;x,y …", path, line)
    return np.array(rows) - HALF


def _box(element: Element, path: str | Path) -> Box:
    """The box of an element; of a rotated one (clockwise, about its centre) the upright box around it."""
    edges = (elements.number(element, name, path) - HALF for name in ("xtl", "ytl", "xbr", "ybr"))
    try:
        box = Box(*edges)
        if element.get("rotation") is None:
            return box
        angle = np.radians(elements.number(element, "rotation", path))
        cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
        wide, high = box.right - box.left, box.bottom - box.top
        half = np.array([wide * cos + high * sin, wide * sin + high * cos]) / 2
        return Box(*(box.center - half), *(box.center + half))
    except BoxError as error:
        raise FormatError(str(error), path, elements.line_of(element)) from error
