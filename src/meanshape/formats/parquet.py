"""Parquet: a row for each face, in columns; holds everything. Needs pyarrow: pip install
'meanshape[parquet]'.

`source, width, height, model, seconds, error, face, left, top, right, bottom, score, track, markup, x, y,
visible, confidence, relative, more`: the points are lists; a photo without faces has a row whose `face` is
null; `more` is JSON with pose, emotion and attributes. Where `relative` is true, points lie in the unit
square of the face's box.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import FormatError, MissingExtra, writing
from meanshape.core.face import Face
from meanshape.core.files import replacing
from meanshape.core.prediction import Prediction
from meanshape.core.regular import open_regular
from meanshape.core.shape import Shape
from meanshape.formats.parquet_pages import check
from meanshape.formats.text import escaped, unescaped

MORE = ("pose", "emotion", "attributes")
TEXTS = frozenset(("source", "model", "error", "markup", "more"))
GROUP = 4096
"""Rows that are written together."""


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read a file; rows of one photo follow one another. `markup` is not needed."""
    predictions: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    try:
        for row in _read_rows(Path(path)):
            key = tuple(row[name] for name in ("source", "width", "height", "model", "seconds", "error"))
            if not predictions or not row["face"] or predictions[-1][0] != key:
                predictions.append((key, {"faces": []}))
            if row["face"] is not None:
                predictions[-1][1]["faces"].append(_face(row))
        return [_prediction(key, values["faces"]) for key, values in predictions]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        if isinstance(error, FormatError) and error.path is not None:
            raise
        raise FormatError(f"not as Meanshape writes it: {error}", path=path) from error


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, a dictionary of columns each; never all of them in memory."""
    arrow, parquet = needed()
    wanted = frozenset(_schema(arrow).names)
    try:
        with open_regular(path) as file:
            text = check(file, TEXTS, wanted).text
            opened = parquet.ParquetFile(file, read_dictionary=sorted(TEXTS))
            there = [name for name in opened.schema_arrow.names if name in wanted]
            for batch in opened.iter_batches(GROUP, columns=there):
                columns = [_values(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    text -= sum(len(value) for value in values if isinstance(value, str))
                    if text < 0:
                        raise FormatError("far more text than a file of this size should hold")
                    yield dict(zip(there, values, strict=True))
    except FormatError as error:
        raise FormatError(str(error), path) from error
    except (OSError, ValueError, MemoryError) as error:  # pyarrow's own errors are ValueErrors
        raise FormatError(f"not a Parquet file: {error}", path=path) from error


def _values(column: Any) -> list[Any]:
    """Return the values of a column; a text that repeats is one object."""
    if not hasattr(column, "dictionary"):
        values: list[Any] = column.to_pylist()
        return values
    texts = column.dictionary.to_pylist()
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]


def write(path: str | Path, predictions: Iterable[Prediction], relative: bool = False) -> None:
    """Write a file; `relative` puts the points into the unit square of each face's box."""
    arrow, parquet = needed()
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file, parquet.ParquetWriter(file, _schema(arrow)) as writer:
            for group in _groups(predictions, relative):  # never all rows in memory
                writer.write_table(table(group))


def _groups(predictions: Iterable[Prediction], relative: bool) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in groups of about `GROUP`; at least one group, for a file with no rows has columns, too."""
    group: list[dict[str, Any]] = []
    for prediction in predictions:
        group += rows(prediction, relative)
        if len(group) >= GROUP:
            yield group
            group = []
    yield group


def needed() -> tuple[Any, Any]:
    """Return pyarrow and its reader; `MissingExtra` where there is none."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra.of("parquet", "A Parquet file") from None
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any) -> Any:
    """The columns and their types."""
    number, word, many = arrow.float64(), arrow.string(), arrow.list_(arrow.float64())
    whole = arrow.int64()
    columns = {
        "source": word,
        "width": whole,
        "height": whole,
        "model": word,
        "seconds": number,
        "error": word,
    }
    columns |= {"face": whole, "left": number, "top": number, "right": number, "bottom": number}
    columns |= {"score": number, "track": whole, "markup": word, "x": many, "y": many}
    columns |= {
        "visible": arrow.list_(arrow.bool_()),
        "confidence": many,
        "relative": arrow.bool_(),
        "more": word,
    }
    return arrow.schema(list(columns.items()))


def table(rows: list[dict[str, Any]]) -> Any:
    """Return rows as an Arrow table: every column, whatever the rows have."""
    arrow, _ = needed()
    return arrow.Table.from_pylist(rows, schema=_schema(arrow))


def rows(prediction: Prediction, relative: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a photo, a dictionary of columns each."""
    return list(_rows(prediction, relative))


def _rows(prediction: Prediction, relative: bool) -> Iterator[dict[str, Any]]:
    """The rows of a photo."""
    data = prediction.to_dict()
    width, height = data["size"]
    photo = {name: data[name] for name in ("source", "model", "seconds", "error")}
    photo |= {name: escaped(photo[name]) for name in ("source", "error") if photo[name] is not None}
    photo |= {"width": width, "height": height, "face": None}
    if not prediction.faces:
        yield photo
    for number, (face, plain) in enumerate(zip(prediction.faces, data["faces"], strict=True)):
        left, top, right, bottom = face.box.as_list()
        row = {**photo, "face": number, "left": left, "top": top, "right": right, "bottom": bottom}
        row |= {"score": face.score, "track": face.track, "relative": relative}
        row["more"] = json.dumps({name: plain[name] for name in MORE if plain[name] is not None}) or None
        if face.shape is not None:
            points = face.box.relative(face.shape.points) if relative else face.shape.points
            plain_shape = plain["shape"]
            row |= {"markup": face.shape.markup.name, "x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
            row |= {"visible": plain_shape["visible"], "confidence": plain_shape["confidence"]}
        yield row


def _face(row: Mapping[str, Any]) -> Face:
    """A face of a row."""
    box = Box(row["left"], row["top"], row["right"], row["bottom"])
    shape = None
    if row["markup"] is not None:
        points = np.column_stack([row["x"], row["y"]]).astype(np.float64)
        shape = Shape(
            box.absolute(points) if row["relative"] else points,
            row["markup"],
            row["visible"],
            row["confidence"],
        )
    data = Prediction((Face(box, shape, row["score"], track=row["track"]),), (0, 0)).to_dict()
    data["faces"][0] |= json.loads(row["more"] or "{}")
    return Prediction.from_dict(data).faces[0]


def _prediction(key: tuple[Any, ...], faces: list[Face]) -> Prediction:
    source, width, height, model, seconds, error = key
    source = None if source is None else unescaped(source)
    return Prediction(tuple(faces), (width, height), source, model, seconds or 0.0, error)
