"""CSV with a header, one point a row (written and read), or one face a row (read).

Long: `source,face,markup,point,name,x,y,visible,confidence,left,top,right,bottom`. Only `source`, `point`
(index from 0, or name), `x` and `y` are needed. Empty x and y: not annotated. `face` counts the faces of a
photo from 0. The last four are the face's box, the same on each of its rows; without them it is tight around
the points.

Wide: a column that names the photo, then `x1,y1,x2,y2,…` (counted from 0 or 1) or `NAME_x,NAME_y,…`, in the
mark-up's order, or boxes alone. A photo on several rows has several faces.

What else is known of a face follows in columns of its own where any face has it: `score`, `track`,
`pitch,yaw,roll`, `emotion`, `attribute_NAME` (the likeliest labels). Photos without a face and faces without
points are not written.

Relative points are in columns `x_rel,y_rel` instead, in the unit square of the face's box.

A text that a spreadsheet would run as a formula is written with an apostrophe before it, which reading takes
away (`formats.cells`).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import FormatError, suggestion
from meanshape.core.face import Emotion, Face, Pose
from meanshape.core.markup import markup as markup_of
from meanshape.core.markup import named
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats.cells import plain, render_row
from meanshape.formats.faces import guess_markup
from meanshape.formats.faults import Faults, Labels
from meanshape.formats.text import escaped, finite, read_text, unescaped, whole, write_text

EDGES = ("left", "top", "right", "bottom")
COLUMNS = ("source", "face", "markup", "point", "name", "x", "y", "visible", "confidence", *EDGES)
ANGLES, ATTRIBUTE = ("pitch", "yaw", "roll"), "attribute_"
PHOTO = ("source", "image", "file", "filename", "path", "photo")
"""What the column that names the photo may be called."""

_NUMBERED = re.compile(r"(?P<axis>[xy])_?(?P<number>\d+)|(?P<name>.+?)[_.](?P<end>[xy])")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


@dataclass(slots=True)
class _Row:
    """A row: its line, its cells, and what is wrong with it as a whole."""

    line: int
    cells: dict[str, str]
    wrong: FormatError | None = None


def read(path: str | Path, markup: str | None = None, faults: Faults | None = None) -> list[Prediction]:
    """Read a long or a wide file; photos come in the order in which they first appear."""
    text = read_text(Path(path), breaks=True)  # a name in quotes may hold some
    own = text.startswith(",".join(COLUMNS[:5]))  # where names are as they are, spaces in front of them too
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=not own)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        photo = next((name for name in header if name.lower() in PHOTO), None)
        if photo is None:
            told = "" if len(header) > 1 else "; cells are divided by commas, not by semicolons or tabs"
            raise FormatError(f"no column names the photo; wanted one of {', '.join(PHOTO)}{told}", path, 1)
        rows = list(_rows(reader, path, photo if own else None))
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}", path, reader.line_num) from error
    points = {"x", "y"} <= set(header) or {"x_rel", "y_rel", *EDGES} <= set(header)
    photos: dict[str, list[Face]] = {}
    with Labels(path, faults) as labels:
        if "point" in header and points:
            faces = _long(rows, photo, markup, labels)
        else:
            faces = _wide(rows, photo, _pairs(header, path), markup, labels)
        for source, one in faces:
            photos.setdefault(source, []).append(one)
    return [Prediction(tuple(many), (0, 0), unescaped(source)) for source, many in photos.items()]


def write(path: str | Path, predictions: Iterable[Prediction], relative: bool = False) -> None:
    """Write the long form; faces without points are left out. `relative`: points in their face's box."""
    kept = [(p.source or "", [f for f in p.faces if f.shape is not None]) for p in predictions]
    said = [_said(one, relative) for _, faces in kept for one in faces]
    more = [c for c in dict.fromkeys(column for known in said for column in known) if c not in EDGES]
    lines = [render_row([*(f"{c}_rel" if relative and c in ("x", "y") else c for c in COLUMNS), *more])]
    faces_of: Counter[str] = Counter()  # a photo may come in several predictions
    for source, faces in kept:
        for number, one in enumerate(faces, faces_of[source]):
            known = _said(one, relative)
            rest = [known.get(column, "") for column in (*EDGES, *more)]
            lines += [render_row([*row, *rest]) for row in _cells(source, number, one, relative)]
        faces_of[source] += len(faces)
    write_text(Path(path), escaped("".join(lines)))


def _said(one: Face, relative: bool = False) -> dict[str, str]:
    """What is known of a face beside its points, by column."""
    digits = 9 if relative else 6
    cells = {name: f"{value:.{digits}f}" for name, value in zip(EDGES, one.box.as_list(), strict=True)}
    if one.score is not None:
        cells["score"] = f"{one.score:.6f}"
    if one.track is not None:
        cells["track"] = f"{one.track}"
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


def _rows(reader: csv.DictReader[str], path: str | Path, exact: str | None) -> Iterator[_Row]:
    """The rows that are not empty, stripped but for one column."""
    for row in reader:
        found = {
            key: plain(value if key == exact else value.strip())
            for key, value in row.items()
            if key is not None and value is not None
        }
        wrong = None
        if None in row or None in row.values():
            said = f"wanted {len(reader.fieldnames or ())} cells as in the header"
            wrong = FormatError(said, path, reader.line_num)
        if wrong or any(found.values()):
            yield _Row(reader.line_num, found, wrong)


def _long(rows: Iterable[_Row], photo: str, markup: str | None, labels: Labels) -> list[tuple[str, Face]]:
    """One point a row."""
    faces: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        if photo in row.cells:
            faces.setdefault((row.cells[photo], row.cells.get("face", "")), []).append(row)
        elif row.wrong:
            labels.skip(row.wrong)
    found = []
    for (source, _), some in faces.items():
        with labels.one(line=some[0].line):
            found.append((source, _long_face(some, markup, labels)))
    return found


def _long_face(rows: Sequence[_Row], markup: str | None, labels: Labels) -> Face:
    """Put the rows of one face together; points without a row are not annotated."""
    path, first, places = labels.path, rows[0], dict[str, _Row]()
    for row in rows:
        if row.wrong:
            raise row.wrong
        if places.setdefault(row.cells["point"], row) is not row:
            raise FormatError(f"point {row.cells['point']} is there twice", path, row.line)
        if (said := row.cells.get("markup", "")) != first.cells.get("markup", ""):
            one = first.cells.get("markup", "")
            raise FormatError(f"one face has points of {one or 'none'} and {said or 'none'}", path, row.line)
    name = markup or _kind(first.cells) or guess_markup(max(map(whole, places)) + 1, path, first.line)
    names = markup_of(name).points
    points, visible, confidence = np.full((len(names), 2), np.nan), [True] * len(names), [1.0] * len(names)
    seen = sure = False
    for word, row in places.items():
        index = _index(word, names, path, row.line)
        points[index] = _place(row, path)
        if text := row.cells.get("visible", ""):
            seen = True
            visible[index] = _truth(text, path, row.line)
        if text := row.cells.get("confidence", ""):
            sure = True
            confidence[index] = finite(text, path, row.line)
    shape = Shape(points, name, visible if seen else None, confidence if sure else None)
    return _face(first, shape, labels)


def _face(row: _Row, shape: Shape | None, labels: Labels) -> Face:
    """A face of its points and of what the other columns of its first row say."""
    cells, path, line = row.cells, labels.path, row.line

    def box() -> Box:
        if not set(EDGES) <= set(cells):
            raise FormatError(f"a box has the columns {', '.join(EDGES)}", path, line)
        left, top, right, bottom = (finite(cells[name], path, line) for name in EDGES)
        return Box(left, top, right, bottom, score)

    score = finite(cells["score"], path, line) if cells.get("score") else None
    if any(cells.get(name) for name in EDGES):
        edges = labels.box(box, shape, line=line)
    else:
        edges = Box.around(shape.points if shape is not None else ())
    pose = None
    if all(cells.get(name) for name in ANGLES):
        pose = Pose(*(finite(cells[name], path, line) for name in ANGLES))
    attributes = {
        name.removeprefix(ATTRIBUTE): value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value
    }
    return Face(
        edges,
        shape,
        score,
        pose,
        Emotion(cells["emotion"]) if cells.get("emotion") else None,
        attributes or None,
        _track(cells["track"], path, line) if cells.get("track") else None,
    )


def _track(text: str, path: str | Path, line: int) -> int:
    """A track's number; tables with gaps in the column write 3 as 3.0."""
    number = finite(text, path, line)
    if number < 0 or not number.is_integer():
        raise FormatError(f"track is a whole number from 0, not {text!r}", path, line)
    return int(number)


def _wide(
    rows: Iterable[_Row],
    photo: str,
    columns: Sequence[tuple[str, str]],
    markup: str | None,
    labels: Labels,
) -> list[tuple[str, Face]]:
    """One face a row, with points in pairs of columns, or with a box alone."""
    found = []
    for row in rows:
        with labels.one(line=row.line):
            if row.wrong:
                raise row.wrong
            shape = None
            if columns:
                name = markup or _kind(row.cells) or guess_markup(len(columns), labels.path, row.line)
                points = [_xy(row.cells[x], row.cells[y], labels.path, row.line) for x, y in columns]
                shape = Shape(points, name)
            found.append((row.cells[photo], _face(row, shape, labels)))
    return found


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
    if not axes and not set(EDGES) & set(header):
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


def _place(row: _Row, path: str | Path) -> tuple[float, float]:
    """The point of a row in pixels."""
    cells, line = row.cells, row.line
    if "x_rel" not in cells:
        return _xy(cells["x"], cells["y"], path, line)
    x, y = _xy(cells["x_rel"], cells["y_rel"], path, line)
    left, top, right, bottom = (finite(cells[name], path, line) for name in EDGES)
    return left + x * (right - left), top + y * (bottom - top)


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
