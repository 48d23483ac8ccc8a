"""Finding the files of a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from meanshape.core.errors import DataSetError
from meanshape.core.files import below
from meanshape.core.openers import SUFFIXES, looks_like_picture
from meanshape.core.regular import read_bytes
from meanshape.formats.text import decode_names, read_text

PHOTOS = SUFFIXES
"""Suffixes of photos, in lower case."""


def existing_folder(root: str | Path, name: str) -> Path:
    """The root of a data set as a path; `DataSetError` where there is no such folder."""
    path = Path(root).expanduser()
    if not os.path.isdir(path):  # noqa: PTH112 - a name too long is no folder, and no error either
        what = "is a file" if os.path.exists(path) else "does not exist"  # noqa: PTH110
        raise DataSetError(f"{name} wants a folder, and {path} {what}")
    return path


def photos(folder: Path) -> dict[str, Path]:
    """Photos of a folder by name without suffix, in order of names; a .png wins over a .jpg of the same
    name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda p: (p.stem, p.suffix)):
        if path.suffix.lower() in PHOTOS and not path.name.startswith("."):
            found[path.stem] = path
    return found


def photos_below(root: Path) -> dict[str, Path]:
    """Photos at any depth by their name without suffix, in lower case; the first of a name counts."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PHOTOS and not path.name.startswith("."):
            found.setdefault(path.stem.lower(), path)
    return found


def pictures_below(root: Path) -> list[Path]:
    """Every picture at any depth, of whatever kind, sorted; where there is none, a `DataSetError`."""
    folder = existing_folder(root, "a set of photos")
    found = [
        p for p in sorted(folder.rglob("*")) if p.is_file() and p.name[0] != "." and looks_like_picture(p)
    ]
    if not found:
        raise DataSetError(f"{root}: there are no pictures in this folder")
    return found


def labels_in(folder: Path, *suffixes: str, below: bool = False) -> list[Path]:
    """Return a folder's files of these suffixes, in whatever case, sorted; `below`: at any depth."""
    found = folder.rglob("*") if below else folder.glob("*")
    return sorted(path for path in found if path.suffix.lower() in suffixes and path.name[0] != ".")


def first_of(root: Path, *names: str) -> Path | None:
    """The first of several places below the root where there is something; `""` is the root itself."""
    return next((root / name for name in names if (root / name).exists()), None)


def rows(path: Path, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each line of a list, blank ones passed over; no list is a `DataSetError`."""
    if not path.is_file():
        raise DataSetError(f"there is no list {path.name} in {path.parent}")
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.split(separator) if separator is None else line.rstrip().split(separator)


def photo(folder: Path, name: str) -> Path | None:
    """The photo `folder/name`, whatever the case of its suffix, or the one that replaced it (.png for
    .jpg). A name that leads out of the folder is no photo's.
    """
    place = below(name)
    if place is None:
        return None
    path = folder / place
    if os.path.isfile(path):  # noqa: PTH113 - a name too long is no file, and no error either
        return path
    for suffix in (".jpg", ".png", ".jpeg", ".JPG", ".PNG"):
        other = path.with_suffix(suffix)
        if os.path.isfile(other):  # noqa: PTH113
            return other
    return None


def listed(path: Path, suffixes: bool = False) -> list[str] | None:
    """Sample ids from a list with one a line, slashes forward, without suffixes unless these are asked for;
    None where there is no list.
    """
    if not path.is_file():
        return None
    ids = []
    for line in decode_names(_content(path)).splitlines():
        word = line.strip().replace("\\", "/").removeprefix("./")
        if word and not word.startswith("#"):
            ids.append(word if suffixes else without_suffix(word))
    return ids


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read ({error.strerror or error})") from error


def without_suffix(name: str) -> str:
    """Drop the suffix of a photo or a label file; other dots belong to the name."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in PHOTOS | {".pts", ".asf"} else name
