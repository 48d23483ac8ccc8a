"""menpo's `.ljson`: the faces of one photo, whose name is the file's. Points are `[y, x]`, from 0.

Version 2 has one face, version 3 a group for each, version 1 the parts of one. Not annotated is `null`.
Boxes, visibility, scores, poses and the photo's suffix do not fit in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import FormatError, in_words
from meanshape.core.face import Face
from meanshape.core.markup import markup_names
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats.faces import face, guess_markup
from meanshape.formats.faults import Faults, Labels
from meanshape.formats.text import dump_json, parse_json, read_text, write_text


def read(path: str | Path, markup: str | None = None, faults: Faults | None = None) -> list[Prediction]:
    """Read a file as one photo of the same name."""
    data = parse_json(read_text(Path(path)), path)
    try:
        groups = list(_groups(data, path))
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not as menpo's landmarks are ({in_words(error)})", path) from error
    faces = []
    with Labels(path, faults) as labels:
        for number, group in enumerate(groups, 1):
            with labels.one(f"group {number}" if len(groups) > 1 else ""):
                faces.append(_face(group, markup, path))
    return [Prediction(tuple(faces), (0, 0), Path(path).stem)]


def write(path: str | Path, predictions: Sequence[Prediction]) -> None:
    """Write the faces of one photo; faces without points are left out."""
    write_text(Path(path), as_text(path, predictions))


def as_text(path: str | Path, predictions: Sequence[Prediction]) -> str:
    """Return what `write` writes; `path` is named in errors."""
    if len(predictions) != 1:
        raise FormatError(f"a .ljson file holds one photo, and {len(predictions)} came", path=path)
    shapes = [one.shape for one in predictions[0].faces if one.shape is not None]
    if len(shapes) == 1:
        data: dict[str, Any] = {"version": 2, **_group(shapes[0])}
    else:
        data = {"version": 3, "groups": {f"face_{n}": _group(shape) for n, shape in enumerate(shapes)}}
    return f"{dump_json(data)}\n"


def _group(shape: Shape) -> dict[str, Any]:
    points = [[None, None] if np.isnan(x) else [float(y), float(x)] for x, y in shape.points]
    labels = [
        {"label": name, "mask": list(indices)} for name, indices in shape.markup.groups.items() if indices
    ]
    connectivity = [list(edge) for edge in shape.markup.edges]
    return {
        "markup": shape.markup.name,
        "labels": labels,
        "landmarks": {"points": points, "connectivity": connectivity},
    }


def _groups(data: Mapping[str, Any], path: str | Path) -> list[Mapping[str, Any]]:
    """The groups of a file of any version, each as one of version 2."""
    version = data.get("version")
    if version == 1:
        points = [one["point"] for part in data["groups"] for one in part["landmarks"]]
        return [{"landmarks": {"points": points}}]
    if version == 2:
        return [data]
    if version == 3:
        return list(data["groups"].values())
    raise FormatError(f"wanted version 1, 2 or 3, got {version!r}", path)


def _face(group: Mapping[str, Any], markup: str | None, path: str | Path) -> Face:
    if not isinstance(group, Mapping):
        raise FormatError(f"wanted a group of points, not {group!r:.40}", path)
    rows = group["landmarks"]["points"]
    points = np.array([_xy(number, row, path) for number, row in enumerate(rows)])
    said = group.get("markup")
    name = markup or (said if said in markup_names() else guess_markup(len(points), path))
    return face(points, name, source=path)


def _xy(number: int, row: Any, path: str | Path) -> tuple[float, float]:
    """A point [y, x]; NaN where there is none."""
    if isinstance(row, list) and len(row) == 2:
        y, x = (np.nan if value is None else value for value in row)
        if all(isinstance(value, int | float) and not np.isinf(value) for value in (x, y)):
            return float(x), float(y)
    raise FormatError(f"point {number}: wanted [y, x], got {row!r:.40}", path)
