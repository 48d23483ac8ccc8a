"""What people do with a prediction: look at it, write it, or hand it on to pandas and supervision.

`Prediction` has each of these functions as a method of the same name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from meanshape import formats
from meanshape.core.errors import ConfigError, FormatError, MeanshapeError, MissingExtra, ResultError
from meanshape.core.face import Face
from meanshape.core.image import ImageLike, Pixels, encode, read_image, write_image
from meanshape.core.openers import SUFFIXES
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats.csv import ANGLES, ATTRIBUTE, EDGES
from meanshape.inference.options import Color
from meanshape.inference.overlay import Style, draw
from meanshape.inference.overlays import check_picture

ROWS = ("points", "faces")
KINDS = ("keypoints", "detections")
WIDEST = 1024
"""Pixels of the longer side of the picture in a notebook."""


def plot(
    prediction: Prediction,
    image: ImageLike | None = None,
    *,
    ax: Any = None,
    style: Style | None = None,
    color: Color | None = None,
) -> Any:
    """Return matplotlib's axes with the picture and the faces on it."""
    pixels = picture(prediction, image, color)
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtra.of("plot", "Plotting a prediction") from error
    if ax is None:
        _, ax = pyplot.subplots()
    ax.imshow(draw(pixels, prediction, style))
    ax.set_axis_off()
    return ax


def save(
    prediction: Prediction,
    path: str | os.PathLike[str],
    image: ImageLike | None = None,
    *,
    style: Style | None = None,
    color: Color | None = None,
) -> None:
    """Write labels or the picture with the faces on it; the suffix says which."""
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix in formats.SUFFIXES:
        formats.write(path, [prediction])
    elif suffix in SUFFIXES:
        pixels = picture(prediction, image, color)
        check_picture(path, *([] if prediction.source is None else [prediction.source]))
        write_image(path, draw(pixels, prediction, style))
    else:
        known = ", ".join([*formats.SUFFIXES, ".png", ".jpg"])
        raise FormatError(f"{path}: a prediction is saved as one of {known}, not as {suffix!r}")


def picture(prediction: Prediction, image: ImageLike | None, color: Color | None = None) -> Pixels:
    """Return RGB pixels (H, W, 3): of the picture given, or of what the prediction was made of."""
    kept, order = prediction.picture
    if image is None and kept is None and prediction.source is not None and Path(prediction.source).is_file():
        kept = prediction.source
    if image is None and kept is None:
        raise ResultError(
            f"the picture of {prediction!r} is not at hand (arrays are not kept): give it, as in "
            "prediction.plot(image)"
        )
    pixels = read_image(kept if image is None else image, color or order)
    size = pixels.shape[1], pixels.shape[0]
    if 0 not in prediction.size and size != prediction.size:
        raise ResultError(
            "the picture has {} x {} pixels, and that of the prediction had {} x {}".format(
                *size, *prediction.size
            )
        )
    return pixels


def png(prediction: Prediction) -> bytes | None:
    """Return what a notebook shows, a picture at most 1024 pixels wide or high; None: the line of text."""
    import cv2

    if prediction.picture[0] is None:
        return None
    with suppress(MeanshapeError):  # moved, closed or of another size by now: the text says what there is
        drawn = draw(picture(prediction, None), prediction)
        factor = WIDEST / max(drawn.shape[:2])
        if factor < 1:
            drawn = np.asarray(
                cv2.resize(drawn, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
            )
        return encode("prediction.png", drawn)
    return None


def to_df(prediction: Prediction, rows: Literal["points", "faces"] = "points") -> Any:
    """Return a pandas DataFrame of `table`."""
    columns = table(prediction, rows)
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("A data frame needs pandas: pip install pandas") from error
    return pandas.DataFrame(columns)


def table(prediction: Prediction, rows: Literal["points", "faces"] = "points") -> dict[str, list[Any]]:
    """Return columns by name, with one row a point or one a face; what is not known is None."""
    if rows not in ROWS:
        raise ConfigError(f"rows is {' or '.join(ROWS)}, not {rows!r}")
    of = _point_rows if rows == "points" else _face_rows
    found = [row for number, face in enumerate(prediction.faces) for row in of(face, number)]
    names = dict.fromkeys(name for row in found for name in row) or dict.fromkeys(FIRST[rows])
    columns = {name: [row.get(name) for row in found] for name in names}
    return columns | {"source": [prediction.source] * len(found)}


FIRST: Mapping[str, tuple[str, ...]] = {
    "points": ("source", "face", "track", "markup", "point", "name", "x", "y", "visible", "confidence"),
    "faces": ("source", "face", "track", *EDGES, "score", "markup", *ANGLES, "emotion"),
}
"""The columns that are always there; a face's attributes follow, as in CSV files."""


def _point_rows(face: Face, number: int) -> list[dict[str, Any]]:
    """Return a row for each point of a face."""
    shape = face.shape
    if shape is None:
        return []
    visible = [None] * len(shape) if shape.visible is None else shape.visible.tolist()
    sure = [None] * len(shape) if shape.confidence is None else shape.confidence.tolist()
    return [
        dict(zip(FIRST["points"], (None, number, face.track, shape.markup.name, *told), strict=True))
        for told in zip(
            range(len(shape)), shape.markup.points, *shape.points.T.tolist(), visible, sure, strict=True
        )
    ]


def _face_rows(face: Face, number: int) -> list[dict[str, Any]]:
    """Return the one row of a face."""
    pose = [None] * 3 if face.pose is None else [getattr(face.pose, angle) for angle in ANGLES]
    kind = None if face.shape is None else face.shape.markup.name
    emotion = None if face.emotion is None else face.emotion.label
    told = (None, number, face.track, *face.box.as_list(), face.score, kind, *pose, emotion)
    row = dict(zip(FIRST["faces"], told, strict=True))
    for name, shares in (face.attributes or {}).items():
        likeliest = max(shares, key=lambda k: shares[k]) if isinstance(shares, Mapping) and shares else shares
        row[f"{ATTRIBUTE}{name}"] = likeliest
    return [row]


def to_supervision(prediction: Prediction, kind: Literal["keypoints", "detections"] = "keypoints") -> Any:
    """Return the faces as supervision's KeyPoints (points that are missing lie at 0, 0) or Detections."""
    if kind not in KINDS:
        raise ConfigError(f"kind is {' or '.join(KINDS)}, not {kind!r}")
    try:
        import supervision
    except ImportError as error:
        raise MissingExtra("This needs supervision: pip install supervision") from error
    if kind == "detections":
        faces = prediction.faces
        return supervision.Detections(**_detections(faces)) if faces else supervision.Detections.empty()
    shapes = [face.shape for face in prediction.faces if face.shape is not None]
    return supervision.KeyPoints(*_keypoints(shapes)) if shapes else supervision.KeyPoints.empty()


def _keypoints(shapes: Sequence[Shape]) -> tuple[Any, ...]:
    """Return xy (N, K, 2), class_id (N,), confidence (N, K) or None; versions name the last differently."""
    if len({shape.markup.name for shape in shapes}) > 1:
        raise ResultError(
            "supervision's KeyPoints have one mark-up, and these faces several: convert them first"
        )
    sure = None
    if all(shape.confidence is not None for shape in shapes):
        sure = np.array([shape.confidence for shape in shapes], np.float32)
    points = np.nan_to_num(np.array([shape.points for shape in shapes])).astype(np.float32)
    return points, np.zeros(len(shapes), int), sure


def _detections(faces: Sequence[Face]) -> dict[str, Any]:
    """Return the fields of Detections by name."""
    scores, tracks = [face.score for face in faces], [face.track for face in faces]
    return {
        "xyxy": np.array([face.box.as_list() for face in faces], np.float32),
        "class_id": np.zeros(len(faces), int),
        "confidence": None if None in scores else np.array(scores, np.float32),
        "tracker_id": None if None in tracks else np.array(tracks, int),
    }
