"""AFLW: 25,993 faces from Flickr in any pose, up to 21 points each (Köstinger et al., ICCVW 2011).

    ROOT/data/aflw.sqlite  ROOT/data/flickr/0/image00002.jpg …  (ROOT may also be the folder above)

The database has Faces, FaceImages, FaceRect, FacePose, FaceMetaData and FeatureCoords; a point that cannot be
seen has no row. The angles are in radians in the database, in degrees here.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.sqlite import opened
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
MARKUP, POINTS = "aflw21", 21
DATABASES = ("data/aflw.sqlite", "aflw/data/aflw.sqlite", "aflw.sqlite")
NONE = (None,) * 4
SCHEMA = """
CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT, db_id TEXT);
CREATE TABLE FaceImages (image_id INTEGER PRIMARY KEY, db_id TEXT, file_id TEXT, filepath TEXT, bw INTEGER,
  width INTEGER, height INTEGER);
CREATE TABLE FaceRect (face_id INTEGER, x INTEGER, y INTEGER, w INTEGER, h INTEGER, annot_type_id INTEGER);
CREATE TABLE FacePose (face_id INTEGER, roll REAL, pitch REAL, yaw REAL, annot_type_id INTEGER);
CREATE TABLE FaceMetaData (face_id INTEGER, sex TEXT, occluded INTEGER, glasses INTEGER, bw INTEGER,
  annot_type_id INTEGER);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL, annot_type_id INTEGER);
"""


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    database = first_of(root, *DATABASES)
    if database is None:
        raise DataSetError(f"there is no {DATABASES[0]} in {root}")
    faces, points = _read(database)
    pictures = first_of(database.parent, "flickr", "") or database.parent
    result = Survey(expected=len(faces))
    for face_id, place, x, y, wide, high, *rest in faces:
        identity = f"{without_suffix(str(place))}#{face_id}"
        shape = partial(_shape, points[face_id])
        try:
            box = Box(x, y, x + wide, y + high) if wide and high and wide > 0 and high > 0 else None
            result.take(identity, photo(pictures, place), shape, _attributes(*rest), "all", box)
        except (AttributeError, TypeError, ValueError) as error:  # SQLite lets any value stand anywhere
            raise FormatError(f"face {face_id}: {error}", path=database) from error
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write three drawn faces and the database in the layout of the set; one face lacks a point."""
    root = Path(folder)
    (root / "data").mkdir(parents=True)
    with closing(sqlite3.connect(root / "data" / "aflw.sqlite")) as database, database:
        database.executescript(SCHEMA)
        for number in range(3):
            face, file = 39341 + number, f"image{number:05d}.jpg"
            points = draw_as(root / "data" / "flickr" / "0" / file, number, MARKUP)
            database.execute("INSERT INTO Faces VALUES (?, ?, 'aflw')", (face, file))
            row = (number, file, f"0/{file}")
            database.execute("INSERT INTO FaceImages VALUES (?, 'aflw', ?, ?, 0, 150, 140)", row)
            database.execute("INSERT INTO FaceRect VALUES (?, 30, 25, 90, 90, 6)", (face,))
            database.execute("INSERT INTO FacePose VALUES (?, 0.0, 0.1, -0.2, 2)", (face,))
            database.execute(
                "INSERT INTO FaceMetaData VALUES (?, ?, 0, ?, 0, 0)", (face, "mf"[number % 2], number % 2)
            )
            rows = [(face, i + 1, x, y) for i, (x, y) in enumerate(points) if number or i != 16]
            database.executemany("INSERT INTO FeatureCoords VALUES (?, ?, ?, ?, 3)", rows)
    return root


def _read(path: Path) -> tuple[list[tuple[Any, ...]], dict[int, list[tuple[int, float, float]]]]:
    """All faces by file, and the points of each by number; of several rows for a face the first counts."""
    with opened(path, "the database of AFLW") as database:
        files = _first(database.rows("FaceImages", "file_id", "filepath"))
        boxes = _first(database.rows("FaceRect", "face_id", "x", "y", "w", "h"))
        poses = _first(database.rows("FacePose", "face_id", "roll", "pitch", "yaw"))
        people = _first(database.rows("FaceMetaData", "face_id", "sex", "glasses"))
        found = {
            face: (face, *files[file], *boxes.get(face, NONE[:4]), *poses.get(face, NONE[:3]),
                   *people.get(face, NONE[:2]))
            for face, file in database.rows("Faces", "face_id", "file_id")
            if file in files
        }  # fmt: skip
        points: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
        for face, *point in database.rows("FeatureCoords", "face_id", "feature_id", "x", "y"):
            points[face].append((point[0], point[1], point[2]))
    return sorted(found.values(), key=lambda row: (str(row[1]), row[0])), points


def _first(rows: Iterable[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
    """The rest of each row by what stands first in it."""
    found: dict[Any, tuple[Any, ...]] = {}
    for key, *rest in rows:
        found.setdefault(key, tuple(rest))
    return found


def _shape(rows: list[tuple[int, float, float]]) -> Shape | None:
    points = np.full((POINTS, 2), np.nan)
    for number, x, y in rows:
        if not isinstance(number, int) or not 1 <= number <= POINTS:
            raise FormatError(f"feature_id is {number}, wanted 1 to {POINTS}")
        points[number - 1] = x, y
    return Shape(points, MARKUP) if rows else None


def _attributes(roll: Any, pitch: Any, yaw: Any, sex: Any, glasses: Any) -> dict[str, Any]:
    """Angles in degrees, signed as in the database; gender and glasses in MTFL's words."""
    angles = {"roll": roll, "pitch": pitch, "yaw": yaw}
    words: dict[str, Any] = {f"aflw_{k}": math.degrees(v) for k, v in angles.items() if v is not None}
    if sex in ("m", "f"):
        words["gender"] = "male" if sex == "m" else "female"
    if glasses is not None:
        words["glasses"] = "glasses" if glasses else "no glasses"
    return words
