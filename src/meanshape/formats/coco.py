"""COCO's keypoints: one `.json` file for all photos, with names and edges of the points in its categories.

Each point is `x, y, v`: v is 0 where it is not annotated, 1 where it is hidden, 2 where it can be seen;
where nobody said, 2. Points and boxes (left, top, width, height) count as everywhere here: (0, 0) is the
centre of the first pixel. Poses, emotions, confidences and who predicted do not fit in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.box import Box
from meanshape.core.errors import FormatError, in_words
from meanshape.core.face import Face
from meanshape.core.markup import MarkUp, markup_names
from meanshape.core.markup import markup as markup_of
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats.faces import guess_markup
from meanshape.formats.faults import Faults, Labels
from meanshape.formats.text import dump_json, parse_json, read_text, write_text


def read(path: str | Path, markup: str | None = None, faults: Faults | None = None) -> list[Prediction]:
    """Read a file; photos come in its order, those without faces too."""
    data = parse_json(read_text(Path(path)), path)
    try:
        kinds = {category["id"]: category for category in data.get("categories") or ()}
        images, annotations = list(data["images"]), list(data["annotations"])
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not as COCO's keypoints are: {in_words(error)}", path) from error
    with Labels(path, faults) as labels:
        photos = _photos(images, labels)
        faces: dict[Any, list[Face]] = {key: [] for key in photos}
        for number, annotation in enumerate(annotations, 1):
            which = annotation.get("id", f"number {number}") if isinstance(annotation, dict) else number
            with labels.one(f"annotation {which}"):
                if not isinstance(annotation, dict):
                    raise FormatError(f"wanted an object, not {annotation!r:.40}", path)
                key = annotation["image_id"]
                if key not in faces:
                    raise FormatError(f"there is no image {key!r}", path)
                kind = kinds.get(annotation.get("category_id"), {})
                faces[key].append(_face(annotation, kind, markup, labels, f"annotation {which}"))
    return [replace(photo, faces=tuple(faces[key])) for key, photo in photos.items()]


def _photos(images: list[Any], labels: Labels) -> dict[Any, Prediction]:
    """The photos by id, without faces."""
    photos: dict[Any, Prediction] = {}
    for number, image in enumerate(images, 1):
        try:
            size = (image.get("width") or 0, image.get("height") or 0)
            photo = Prediction((), size, image["file_name"])
            before = photos.setdefault(image["id"], photo)
            if before.source != photo.source:
                raise FormatError(f"its id {image['id']!r} is that of {before.source}", labels.path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            labels.skip(error, f"image number {number}")
    return photos


def write(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write one file for all photos; each mark-up is a category, from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kinds: dict[str | None, tuple[int, MarkUp | None]] = {}
    for prediction in predictions:
        width, height = prediction.size
        number = len(images) + 1
        images.append({"id": number, "file_name": prediction.source or "", "width": width, "height": height})
        for face in prediction.faces:
            name = None if face.shape is None else face.shape.markup.name
            kinds.setdefault(name, (len(kinds) + 1, None if face.shape is None else face.shape.markup))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kinds[name][0],
                    **_plain(face),
                }
            )
    categories = [_category(number, kind) for number, kind in kinds.values()]
    data = {"images": images, "annotations": annotations, "categories": categories}
    write_text(Path(path), dump_json(data) + "\n")


def _category(number: int, kind: MarkUp | None) -> dict[str, Any]:
    if kind is None:
        return {"id": number, "name": "face", "supercategory": "face", "keypoints": [], "skeleton": []}
    skeleton = [[a + 1, b + 1] for a, b in kind.edges]  # COCO counts points from 1
    return {
        "id": number,
        "name": f"face_{kind.name}",
        "supercategory": "face",
        "markup": kind.name,
        "keypoints": list(kind.points),
        "skeleton": skeleton,
    }


def _plain(face: Face) -> dict[str, Any]:
    """A face as COCO has it."""
    box, keypoints = face.box, []
    if face.shape is not None:
        seen = np.ones(len(face.shape), bool) if face.shape.visible is None else face.shape.visible
        for (x, y), sight in zip(face.shape.points, seen, strict=True):
            keypoints += [0.0, 0.0, 0] if np.isnan(x) else [float(x), float(y), 1 + int(sight)]
    plain: dict[str, Any] = {
        "bbox": [box.left, box.top, box.width, box.height],
        "area": box.area,
        "iscrowd": 0,
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
    }
    return plain if face.score is None else {**plain, "score": face.score}


def _face(
    data: Mapping[str, Any], kind: Mapping[str, Any], markup: str | None, labels: Labels, what: str
) -> Face:
    """A face as we have it."""
    numbers = data.get("keypoints") or []
    shape = None
    if numbers:
        points, sight = _points(numbers, labels.path)
        name = markup or _markup(kind, len(points), labels.path)
        hidden = (sight == 1).any()
        shape = Shape(points, name, sight == 2 if hidden else None)

    def box() -> Box:
        left, top, width, height = map(float, data["bbox"])
        return Box(left, top, left + width, top + height)

    if "bbox" not in data:
        if shape is None:
            raise FormatError("it has neither bbox nor keypoints", labels.path)
        return Face(shape.box(), shape, data.get("score"))
    return Face(labels.box(box, shape, what), shape, data.get("score"))


def _points(numbers: Any, path: str | Path) -> tuple[Any, Any]:
    """Points (K, 2) and their v (K,)."""
    array = np.asarray(numbers, np.float64)
    if array.ndim != 1 or len(array) % 3:
        raise FormatError(f"keypoints must be x, y, v of each point, not {array.shape} numbers", path)
    table = array.reshape(-1, 3)
    return np.where(table[:, 2:] > 0, table[:, :2], np.nan), table[:, 2]


def _markup(kind: Mapping[str, Any], count: int, path: str | Path) -> str:
    """The mark-up that a category names, whose points it names, or that alone has so many."""
    named = kind.get("markup")
    if named in markup_names() and len(markup_of(named)) == count:
        return str(named)
    points = kind.get("keypoints", ())
    for name in markup_names() if len(points) == count else ():
        if markup_of(name).points == tuple(points):
            return name
    return guess_markup(count, path)
