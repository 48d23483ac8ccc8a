"""CSV with a header, one point a row (written and read), or one face a row (read).

Long: `source,face,markup,point,name,x,y,visible,confidence`. Only `source`, `point` (index from 0, or name),
`x` and `y` are needed. Empty x and y: not annotated. `face` counts the faces of a photo from 0.

Wide: a column that names the photo, then `x1,y1,x2,y2,…` (counted from 0 or 1) or `NAME_x,NAME_y,…`, in the
mark-up's order. A photo on several rows has several faces.

What else is known of a face follows in columns of its own, the same on each of its rows, where any face has
it: `pitch,yaw,roll`, `emotion`, `attribute_NAME` (the likeliest labels). Photos without a face and boxes do
not fit in.

Relative points are in columns `x_rel,y_rel` instead, in the unit square of the face's box, which follows in
`left,top,right,bottom`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import BoxError, FormatError, suggestion
from meanshape.core.markup import markup as markup_of
from meanshape.core.markup import named
from meanshape.core.types import Box, Emotion, Face, Pose, Prediction
from meanshape.formats.faces import face, guess_markup
from meanshape.formats.text import finite, read_text, whole, write_text

COLUMNS = ("source", "face", "markup", "point", "name", "x", "y", "visible", "confidence")
EDGES = ("left", "top", "right", "bottom")
ANGLES, ATTRIBUTE = ("pitch", "yaw", "roll"), "attribute_"
PHOTO = ("source", "image", "file", "filename", "path", "photo")
"""What the column that names the photo may be called."""

_NUMBERED = re.compile(r"(?P<axis>[xy])_?(?P<number>\d+)|(?P<name>.+?)[_.](?P<end>[xy])")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


@dataclass(slots=True)
class _Rows:
    """The rows of one face in a long file: line, markup, and the cells of each point."""

    line: int
    markup: str
    points: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read a long or a wide file; photos come in the order in which they first appear."""
    reader = csv.DictReader(io.StringIO(read_text(Path(path)), newline=""), skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        photo = next((name for name in header if name.lower() in PHOTO), None)
        if photo is None:
            raise FormatError(f"no column names the photo; wanted one of {', '.join(PHOTO)}", path, 1)
        rows = _rows(reader, path)
        if {"x_rel", "y_rel", *EDGES} <= set(header):
            rows, header = _absolute(rows, path), [*header, "x", "y"]
        long = {"point", "x", "y"} <= set(header)
        faces = _long(rows, photo, markup, path) if long else _wide(rows, photo, header, markup, path)
        photos: dict[str, list[Face]] = {}
        for source, one in faces:
            photos.setdefault(source, []).append(one)
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}", path, reader.line_num) from error
    return [Prediction(tuple(many), (0, 0), source) for source, many in photos.items()]


def write(path: str | Path, predictions: Iterable[Prediction], relative: bool = False) -> None:
    """Write the long form; faces without points are left out. `relative`: points in their face's box."""
    text = io.StringIO(newline="")
    kept = [(p.source or "", [f for f in p.faces if f.shape is not None]) for p in predictions]
    said = [_said(one, relative) for _, faces in kept for one in faces]
    more = list(dict.fromkeys(column for cells in said for column in cells))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"{c}_rel" if relative and c in ("x", "y") else c for c in COLUMNS), *more])
    for source, faces in kept:
        for number, one in enumerate(faces):
            cells = _said(one, relative)
            rest = [cells.get(column, "") for column in more]
            writer.writerows([*row, *rest] for row in _cells(source, number, one, relative))
    write_text(Path(path), text.getvalue())


def _said(one: Face, relative: bool = False) -> dict[str, str]:
    """What is known of a face beside its points, by column; the box only where points are relative to it."""
    edges = zip(EDGES, one.box.as_list(), strict=True) if relative else ()
    cells = {name: f"{value:.9f}" for name, value in edges}
    if one.pose is not None:
        cells |= {name: f"{getattr(one.pose, name):.2f}" for name in ANGLES}
    if one.emotion is not None:
        cells["emotion"] = one.emotion.label
    for name, value in (one.attributes or {}).items():
        likeliest = (
            max(value, key=lambda label: value[label]) if isinstance(value, Mapping) and value else value
        )
        cells[ATTRIBUTE + name] = str(likeliest)
    return cells


def _cells(source: str, number: int, one: Face, relative: bool = False) -> Iterator[list[Any]]:
    shape = one.shape
    assert shape is not None
    digits = 12 if relative else 6
    for index, (x, y) in enumerate(one.box.relative(shape.points) if relative else shape.points):
        known = np.isfinite(x)
        yield [
            source,
            number,
            shape.markup.name,
            index,
            shape.markup.points[index],
            f"{x:.{digits}f}" if known else "",
            f"{y:.{digits}f}" if known else "",
            "" if shape.visible is None else int(shape.visible[index]),
            "" if shape.confidence is None else f"{shape.confidence[index]:.6f}",
        ]


def _rows(reader: csv.DictReader[str], path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row, none missing and none too many."""
    for row in reader:
        line = reader.line_num
        if None in row or None in row.values():
            raise FormatError(f"wanted {len(reader.fieldnames or ())} cells as in the header", path, line)
        cells = {key: value.strip() for key, value in row.items()}
        if any(cells.values()):
            yield line, cells


def _absolute(
    rows: Iterable[tuple[int, dict[str, str]]], path: str | Path
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with points in pixels, of rows with points in the unit square of a box."""
    for line, cells in rows:
        x, y = _xy(cells["x_rel"], cells["y_rel"], path, line)
        left, top, right, bottom = (finite(cells[name], path, line) for name in EDGES)
        known = np.isfinite(x)
        cells["x"] = repr(left + float(x) * (right - left)) if known else ""
        cells["y"] = repr(top + float(y) * (bottom - top)) if known else ""
        yield line, cells


def _long(
    rows: Iterable[tuple[int, dict[str, str]]], photo: str, markup: str | None, path: str | Path
) -> Iterator[tuple[str, Face]]:
    faces: dict[tuple[str, str], _Rows] = {}
    for line, cells in rows:
        key = cells[photo], cells.get("face", "")
        one = faces.setdefault(key, _Rows(line, markup or _kind(cells)))
        if cells["point"] in one.points:
            raise FormatError(f"point {cells['point']} of {cells[photo]} is there twice", path, line)
        one.points[cells["point"]] = line, cells
    for (source, _), one in faces.items():
        yield source, _long_face(one, path)


def _long_face(rows: _Rows, path: str | Path) -> Face:
    """Put the rows of one face together; points without a row are not annotated."""
    name = rows.markup
    if not name:
        name = guess_markup(max(map(whole, rows.points)) + 1, path, rows.line)
    names = markup_of(name).points
    points, visible, confidence = np.full((len(names), 2), np.nan), [True] * len(names), [1.0] * len(names)
    seen = sure = False
    for word, (line, cells) in rows.points.items():
        index = _index(word, names, path, line)
        points[index] = _xy(cells["x"], cells["y"], path, line)
        if text := cells.get("visible", ""):
            seen = True
            visible[index] = _truth(text, path, line)
        if text := cells.get("confidence", ""):
            sure = True
            confidence[index] = finite(text, path, line)
    made = face(
        points, name, visible if seen else None, confidence if sure else None, source=path, line=rows.line
    )
    line, cells = next(iter(rows.points.values()))
    return _with_said(made, cells, path, line)


def _with_said(made: Face, cells: Mapping[str, str], path: str | Path, line: int) -> Face:
    """Add to a face what the other columns say."""
    pose = None
    if all(cells.get(name) for name in ANGLES):
        pose = Pose(*(finite(cells[name], path, line) for name in ANGLES))
    emotion = Emotion(cells["emotion"]) if cells.get("emotion") else None
    attributes = {
        name.removeprefix(ATTRIBUTE): value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value
    }
    if "x_rel" in cells:
        try:
            made = replace(made, box=Box(*(finite(cells[name], path, line) for name in EDGES)))
        except BoxError as error:
            raise FormatError(str(error), path, line) from error
    return replace(made, pose=pose, emotion=emotion, attributes=attributes or None)


def _wide(
    rows: Iterable[tuple[int, dict[str, str]]],
    photo: str,
    header: Sequence[str],
    markup: str | None,
    path: str | Path,
) -> Iterator[tuple[str, Face]]:
    columns = _pairs(header, path)
    for line, cells in rows:
        name = markup or _kind(cells) or guess_markup(len(columns), path, line)
        points = [_xy(cells[x], cells[y], path, line) for x, y in columns]
        yield cells[photo], face(points, name, source=path, line=line)


def _pairs(header: Sequence[str], path: str | Path) -> list[tuple[str, str]]:
    """The columns of each point's x and y, in the order of the header or of their numbers."""
    axes: dict[str, dict[str, str]] = {}
    for column in header:
        match = _NUMBERED.fullmatch(column)
        if match:
            axes.setdefault(match["number"] or match["name"], {})[match["axis"] or match["end"]] = column
    for key, both in axes.items():
        if len(both) != 2:
            raise FormatError(f"point {key!r} has a column for {next(iter(both))} only", path, 1)
    if not axes:
        raise FormatError("wanted columns point, x, y, or x1, y1, x2, y2 …, or NAME_x, NAME_y …", path, 1)
    if all(whole(key) >= 0 for key in axes):
        axes = dict(sorted(axes.items(), key=lambda item: whole(item[0])))
    return [(both["x"], both["y"]) for both in axes.values()]


def _index(word: str, names: Sequence[str], path: str | Path, line: int) -> int:
    if word in names:
        return names.index(word)
    if 0 <= whole(word) < len(names):
        return whole(word)
    raise FormatError(f"no point {word!r} among {len(names)}{suggestion(word, names)}", path, line)


def _xy(x: str, y: str, path: str | Path, line: int) -> tuple[float, float]:
    """Both numbers, or NaN for both where both cells are empty."""
    if not x and not y:
        return np.nan, np.nan
    return finite(x, path, line), finite(y, path, line)


def _kind(cells: Mapping[str, str]) -> str:
    """The mark-up that a row names, if it names one."""
    word = cells.get("markup", "")
    return named(word).name if word else ""


def _truth(text: str, path: str | Path, line: int) -> bool:
    if text.lower() not in _TRUTH:
        raise FormatError(f"visible is 0 or 1, not {text!r}", path, line)
    return _TRUTH[text.lower()]
