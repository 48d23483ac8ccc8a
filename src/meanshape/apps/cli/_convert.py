"""Labels from a file, a folder of files or a data set, and into a file or a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from meanshape import formats
from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import BoxError, ConfigError, FormatError, writing
from meanshape.core.face import Face
from meanshape.core.files import derived, ending, fitting, write_below
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.datasets.folder import is_checked

SINGLE = ("pts", "ljson")
"""Formats with a file for each photo."""
_OF_MANY = (".xml", ".jsonl", ".csv", ".parquet")
"""Suffixes of label files with many photos; `.json` may be anything."""

KEEP = ("csv", "jsonl", "parquet")
"""Formats that say of a face that nobody has looked at it; the others do not get it."""


def gather(source: str, form: str | None, markup: str | None, faults: formats.Faults) -> list[Prediction]:
    """Read the labels that an argument names: a file, a folder of .pts or .ljson, or NAME:ROOT[:SPLIT]."""
    name, colon, _ = source.partition(":")
    path = Path(source).expanduser()
    if colon and name in registry.names("datasets") and not path.exists():
        found = _of_data_set(source, markup)
    elif not path.exists():
        raise ConfigError(f"{source}: there is no such file, folder or data set")
    elif path.is_file():
        found = formats.read(path, markup, form, faults)
    else:
        found = _of_folder(path, form, markup, faults)
    if not found:
        raise FormatError("it names no photo", path=source)
    return found


def _of_folder(
    folder: Path, form: str | None, markup: str | None, faults: formats.Faults
) -> list[Prediction]:
    """Read the .pts and .ljson files of a folder, each photo by its file's place."""
    if form not in (*SINGLE, None):
        raise ConfigError(f"{folder}: a folder of .pts or .ljson files is read; of {form}, name the file")
    files = [file for kind in ((form,) if form else SINGLE) for file in ending(folder, f".{kind}")]
    others = [file.name for file in sorted(folder.iterdir()) if file.suffix.lower() in _OF_MANY]
    if not files:
        hint = f"; name the file that is meant, such as {folder / others[0]}" if others else ""
        raise FormatError(f"no .pts and no .ljson files are in it{hint}", path=folder)
    faults.skipped += [FormatError("not read: it is no .pts and no .ljson file", folder / n) for n in others]
    found = []
    for file in files:
        source = file.relative_to(folder).with_suffix("").as_posix()
        try:
            found += [replace(one, source=source) for one in formats.read(file, markup, form, faults)]
        except FormatError as error:
            faults.skipped.append(error)
    if not found:
        faults.refuse()
    return found


def put(predictions: list[Prediction], target: str, form: str | None, relative: bool, whole: bool) -> int:
    """Write labels to a file, or one file for each photo into a folder; return how many files."""
    path = Path(target).expanduser()
    folder = form in SINGLE and (target.endswith(("/", "\\")) or not path.suffix or path.is_dir())
    if relative and form_of(path, form) not in ("csv", "parquet"):
        raise ConfigError("points relative to the face's box are written to .csv and .parquet files only")
    if whole and form_of(path, form) != "dlib_xml":
        raise ConfigError("--whole rounds points for dlib's .xml files only")
    if folder:
        return _put_each(predictions, path, str(form))
    if relative or whole:
        import_module(f"meanshape.formats.{form_of(path, form)}").write(path, predictions, True)
    else:
        formats.write(path, predictions, form)
    return 1


def looked_at(predictions: list[Prediction], target: str, form: str | None) -> list[Prediction]:
    """Leave out faces that nobody has looked at, where the format would not say so."""
    if form_of(target, form) in KEEP:
        return predictions
    return [replace(one, faces=tuple(filter(is_checked, one.faces))) for one in predictions]


def form_of(path: str | Path, form: str | None) -> str:
    """Return the format that is named, else the one that a file's name says."""
    if form is None and (str(path).endswith(("/", "\\")) or Path(path).expanduser().is_dir()):
        raise ConfigError(f"{path}: a folder; say what goes into it, by --to {' or --to '.join(SINGLE)}")
    return form or formats.by_name(path)


def _put_each(predictions: list[Prediction], folder: Path, form: str) -> int:
    """Write a file for each photo, or for each face where a file holds one; none outside, none twice."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()  # it may be a link; what lies in it may not
    as_text = import_module(f"meanshape.formats.{form}").as_text
    names = _names([prediction.source for prediction in predictions])
    taken: set[str] = set()
    for prediction in predictions:
        shapes = [face for face in prediction.faces if face.shape is not None]
        groups = [[face] for face in shapes] if form == "pts" else [shapes]
        for number, faces in enumerate((group for group in groups if group), 1):
            name = names[prediction.source] + (f"_{number}" if len(groups) > 1 else "")
            while name.lower() in taken:
                name += "_"
            taken.add(name.lower())
            path = folder / f"{name}.{form}"
            text = as_text(path, [replace(prediction, faces=tuple(faces))])
            with writing(path):
                write_below(root, f"{name}.{form}", text.encode(), make=True)
    return len(taken)


def _names(sources: Iterable[str | None]) -> dict[str | None, str]:
    """Return the path of each photo's file below the folder, without the suffix.

    Photos that differ in their suffix alone keep it: of `a.jpg` and `a.png` come `a.jpg.pts` and `a.png.pts`.
    """
    paths = {source: derived(source or "") or "photo" for source in sources}
    stems = {source: _stem(path) for source, path in paths.items()}
    often = Counter(stem.lower() for stem in stems.values())
    plain = {s: stem if often[stem.lower()] == 1 else paths[s] for s, stem in stems.items()}
    return {source: "/".join(map(fitting, path.split("/"))) for source, path in plain.items()}


def _stem(path: str) -> str:
    """Return a path without its suffix, unless nothing but dots would be left."""
    folder, slash, name = path.rpartition("/")
    stem = Path(name).stem
    return folder + slash + (stem if stem.strip(".") else name)


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


__all__ = ["SINGLE", "form_of", "gather", "looked_at", "put"]
