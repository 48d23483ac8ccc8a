"""Labels from a file, a folder of files or a data set, and into a file or a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from meanshape import formats
from meanshape.core import registry
from meanshape.core.errors import BoxError, ConfigError, FormatError
from meanshape.core.types import Box, Face, Prediction, Sample

SINGLE = ("pts", "ljson")
"""Formats with a file for each photo."""


def gather(source: str, form: str | None, markup: str | None) -> list[Prediction]:
    """Read the labels that an argument names: a file, a folder of .pts or .ljson, or NAME:ROOT[:SPLIT]."""
    name, colon, _ = source.partition(":")
    path = Path(source).expanduser()
    if colon and name in registry.names("datasets") and not path.exists():
        return _of_data_set(source, markup)
    if not path.exists():
        raise ConfigError(f"{source}: there is no such file, folder or data set")
    if path.is_file():
        return formats.read(path, markup, form)
    kinds = (form,) if form else SINGLE
    files = [file for kind in kinds for file in sorted(path.rglob(f"*.{kind}"))]
    if not files:
        raise FormatError("no .pts and no .ljson files are in it", path=path)
    return [
        replace(one, source=file.relative_to(path).with_suffix("").as_posix())
        for file in files
        for one in formats.read(file, markup, form)
    ]


def put(predictions: list[Prediction], target: str, form: str | None, relative: bool, whole: bool) -> int:
    """Write labels to a file, or one file for each photo into a folder; return how many files."""
    path = Path(target).expanduser()
    folder = form in SINGLE and (target.endswith(("/", "\\")) or not path.suffix or path.is_dir())
    if relative and _form(path, form) not in ("csv", "parquet"):
        raise ConfigError("points relative to the face's box are written to .csv and .parquet files only")
    if whole and _form(path, form) != "dlib_xml":
        raise ConfigError("--whole rounds points for dlib's .xml files only")
    if folder:
        return _put_each(predictions, path, str(form))
    if relative or whole:
        import_module(f"meanshape.formats.{_form(path, form)}").write(path, predictions, True)
    else:
        formats.write(path, predictions, form)
    return 1


def _form(path: Path, form: str | None) -> str:
    return form or formats.by_name(path)


def _put_each(predictions: Iterable[Prediction], folder: Path, form: str) -> int:
    """Write a file for each photo, or for each face where a file holds one."""
    count = 0
    for prediction in predictions:
        stem = Path((prediction.source or "photo").replace("\\", "/").lstrip("/"))
        shapes = [face for face in prediction.faces if face.shape is not None]
        groups = [[face] for face in shapes] if form == "pts" else [shapes]
        for number, faces in enumerate(group for group in groups if group):
            name = stem.stem + (f"_{number + 1}" if len(groups) > 1 else "")
            place = folder / stem.parent / f"{name}.{form}"
            formats.write(place, [replace(prediction, faces=tuple(faces))], form)
            count += 1
    return count


def _of_data_set(source: str, markup: str | None) -> list[Prediction]:
    """The labels of a data set; faces of one photo come together, photos by their path below the root."""
    from meanshape.core.image import image_size
    from meanshape.datasets import load_data, parse_data

    root = Path(parse_data(source)[1]).expanduser()
    root = root if root.is_dir() else root.parent
    photos: dict[str, tuple[tuple[int, int], list[Face]]] = {}
    for sample in load_data(source, allow_missing=True, markup=markup):
        if isinstance(sample.image, str | Path):
            place = Path(sample.image)
            name = place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
            size = photos[name][0] if name in photos else image_size(place)
        else:
            height, width = sample.pixels().shape[:2]
            name, size = sample.id, (width, height)
        photos.setdefault(name, (size, []))[1].extend(_faces(sample, size))
    return [Prediction(tuple(faces), size, name) for name, (size, faces) in photos.items()]


def _faces(sample: Sample, size: tuple[int, int]) -> list[Face]:
    """A sample as a face: in its own box, else in the canonical one, else tight around its points."""
    box = sample.own_box or sample.box
    if box is None:
        try:
            box = Box.whole(*size) if sample.shape is None else sample.shape.box()
        except BoxError:  # no point, or all on one line
            return []
    return [Face(box, sample.shape, attributes=dict(sample.attributes) or None)]


__all__ = ["SINGLE", "gather", "put"]
