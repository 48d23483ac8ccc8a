"""Label files, read and written: points in pixels, (0, 0) the centre of the top-left pixel.

Every format speaks `Prediction`, one for each photo, so that any can be turned into any other. What a format
cannot hold it refuses or, where it says so, leaves out; a size that a format does not hold is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from meanshape.core.errors import FormatError, OutputError, UnknownName, suggestion
from meanshape.core.prediction import Prediction
from meanshape.core.regular import open_regular
from meanshape.formats.faults import Faults

FORMATS = ("pts", "csv", "jsonl", "parquet", "coco", "cvat", "dlib_xml", "ljson")
"""All formats; each is a module with `read` and `write`."""

LENIENT = ("csv", "coco", "cvat", "dlib_xml", "ljson")
"""Formats of which one bad label does not cost the others."""

SUFFIXES = {
    ".pts": "pts",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".json": "coco",
    ".xml": "dlib_xml",
    ".ljson": "ljson",
}
"""The module that writes files of a suffix."""

TITLES = {
    "coco": "COCO keypoints",
    "cvat": "CVAT for images",
    "dlib_xml": "dlib's XML",
    "ljson": "menpo's landmarks",
}
"""What files are whose suffix does not say it."""

LONGER = {".coco.json": "coco", ".cvat.xml": "cvat", ".dlib.xml": "dlib_xml"}
"""Endings that say more than their last part."""


def read(
    path: str | Path, markup: str | None = None, form: str | None = None, faults: Faults | None = None
) -> list[Prediction]:
    """Read a label file by its suffix, or as a format that is named.

    A single label that cannot be read is left out; one whose box alone is wrong gets that of its points.
    `faults` takes what was wrong, and without it a warning says it. Where no label can be read, and in the
    formats of our own (`jsonl`, `parquet`), the first one is raised.

    `markup` names the mark-up of a file that does not; without, it is guessed from the number of points
    where only one mark-up has so many. Of `.xml` and `.json` files, what is in them says what they are.
    """
    name = form or by_name(path)
    if form is None and Path(path).suffix.lower() in (".xml", ".json"):
        name = _by_content(Path(path), name)
    reader: Callable[..., list[Prediction]] = _module(name).read
    return reader(path, markup, faults) if name in LENIENT else reader(path, markup)


def write(path: str | Path, predictions: Iterable[Prediction], form: str | None = None) -> None:
    """Write a label file by its suffix, or as a format that is named."""
    _module(form or by_name(path)).write(path, list(predictions))


def called(path: str | Path, form: str | None = None) -> str:
    """Return a file's name, with what it is where its suffix does not say so."""
    title = TITLES.get(form or by_name(path))
    return f"{path} ({title}; .jsonl holds everything)" if title else f"{path}"


def check(path: str | Path, photos: int) -> None:
    """Say what is in the way of writing the labels of so many photos, before there are any."""
    form = by_name(path)
    if form in ("pts", "ljson") and photos > 1:
        folder = Path(path).with_suffix("")
        where = (
            f"name a folder, {folder}/" if form == "pts" else "write .jsonl, and convert that into a folder"
        )
        raise OutputError(f"{path}: one .{form} file cannot hold the labels of {photos} photos; {where}")
    if form == "parquet":
        _module(form).needed()


def by_name(path: str | Path) -> str:
    """The format that a file's name says."""
    name, suffix = Path(path).name.lower(), Path(path).suffix.lower()
    for ending, form in LONGER.items():
        if name.endswith(ending):
            return form
    if suffix not in SUFFIXES:
        raise FormatError(unknown(path), path=path)
    return SUFFIXES[suffix]


def unknown(path: str | Path) -> str:
    """Return what to say of a name that no format has."""
    suffix = Path(path).suffix.lower()
    which = f"no label format has the suffix {suffix!r}" if suffix else "a label file has a suffix"
    return f"{which}{suggestion(suffix, SUFFIXES)}"


def _by_content(path: Path, name: str) -> str:
    """Which of two formats of one suffix a file is of, by its first words."""
    try:
        with open_regular(path) as file:
            head = file.read(4096)
    except OSError:
        return name  # its reader says what is wrong
    if name in ("cvat", "dlib_xml"):
        return "cvat" if b"<annotations" in head else "dlib_xml"
    return "ljson" if b'"landmarks"' in head and b'"images"' not in head else name


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise UnknownName.of("label format", name, FORMATS)
    return import_module(f"meanshape.formats.{name}")


__all__ = ["FORMATS", "SUFFIXES", "Faults", "by_name", "called", "check", "read", "write"]
