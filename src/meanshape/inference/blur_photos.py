"""Faces hidden in photos: where each result goes, what is done already, and what is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from meanshape.core.errors import (
    BoxError,
    ConfigError,
    FormatError,
    ImageError,
    MeanshapeError,
    OutputError,
    ShapeError,
    writing,
)
from meanshape.core.files import check_place, fitting, write_below
from meanshape.core.image import Pixels, encode, read_image
from meanshape.core.openers import SUFFIXES
from meanshape.inference.blur import hide
from meanshape.inference.blur_record import Entry
from meanshape.inference.outputs import writable
from meanshape.inference.overlays import JPEG, check_picture
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.regions import Region, regions
from meanshape.inference.thorough import SMALLEST

SHARE = 0.008
"""The smallest face to look for, in longer sides of the photo, where that is more than `SMALLEST`."""

Find = Callable[[Pixels, str], Sequence[Region]]


class Places:
    """Where the result of each photo goes: into a folder, by its path below the folder of all; or one file.

    A JPEG becomes a JPEG and a PNG a PNG; of other kinds `.png` is added to the name.

    Parameters
    ----------
    target : a folder; with a picture's suffix and a single photo, a file
    sources : the photos
    base : the folder that they lie in; None: the nearest that holds all of them
    """

    def __init__(self, target: str | Path, sources: Sequence[str], base: str | None = None) -> None:
        """Check that pictures can be written there and that none replaces a photo, before any work."""
        target = Path(target)
        if target.suffix.lower() in SUFFIXES and not target.is_dir():
            if len(sources) > 1:
                raise OutputError(f"{target}: one file cannot hold {len(sources)} photos; name a folder")
            check_picture(target, *sources)
            self.folder, self.names = target.parent, dict.fromkeys(sources, target.name)
        else:
            self.folder, self.names = target, _names(sources, base)
        writable(self.folder)
        self.root = self.folder.resolve()  # it may be a link; what lies in it may not
        taken: dict[str, str] = {}
        there = {os.path.realpath(source) for source in sources}
        for source, name in self.names.items():
            path = self.folder / name
            if (other := taken.setdefault(name.lower(), source)) != source:
                raise OutputError(f"{path}: the result of both {other} and {source}; blur them one by one")
            check_place(path)
            if os.path.realpath(path) in there:
                raise OutputError(f"{path}: this would replace a photo of yours; name another folder")

    def done(self, source: str) -> bool:
        """Tell whether a photo has its result already; a link is none."""
        path = self.folder / self.names[source]
        return path.is_file() and not path.is_symlink()

    def write(self, source: str, pixels: Pixels) -> None:
        """Write a picture (H, W, 3), whole or not at all, following no link."""
        name = self.names[source]
        try:
            data = encode(name, pixels)
        except ImageError as error:
            raise OutputError(str(error)) from error
        with writing(self.folder / name):
            write_below(self.root, name, data, make=True)


def outside(sources: Sequence[str], target: str | Path) -> list[str]:
    """Return the photos that do not lie in the output folder: an earlier run's results are none of them."""
    folder = os.path.realpath(target)
    if not Path(folder).is_dir():
        return list(sources)
    inside = os.path.join(folder, "")  # noqa: PTH118
    left = [source for source in sources if not os.path.realpath(source).startswith(inside)]
    if sources and not left:
        raise OutputError(f"{target}: this would replace photos of yours; name another folder")
    return left


def finder(pipeline: Pipeline, kind: str, grow: float, min_face: float | None) -> Find:
    """Return what finds the regions of a picture (H, W, 3); None: a smallest face by its size."""

    def find(pixels: Pixels, source: str) -> list[Region]:
        least = max(SMALLEST, SHARE * max(pixels.shape[:2])) if min_face is None else min_face
        own = pipeline.with_settings(min_face=least)
        faces = own.find(pixels, source) if kind == "box" else own(pixels, source=source).faces
        return regions(faces, kind, grow)

    return find


def hidden(
    sources: Sequence[str], find: Find, mode: str, blocks: int, strict: bool = False
) -> Iterator[tuple[Entry, Pixels | None]]:
    """Yield what is hidden in each photo and its pixels then; None, and an error, if it could not be read.

    With `strict`, what is wrong with a photo is raised.
    """
    for source in sources:
        try:
            pixels = read_image(source)
            parts = tuple(find(pixels, source))
            entry = Entry(source, (pixels.shape[1], pixels.shape[0]), parts)
            shown = hide(pixels, parts, mode, blocks)
        except MeanshapeError as error:
            if strict or not isinstance(error, ImageError | BoxError | ShapeError | FormatError):
                raise
            yield _broken(source, str(error)), None
        except Exception as error:  # a photo nobody foresaw must not end a run over a million others
            if strict:
                raise
            yield _broken(source, f"{type(error).__name__}: {error}"), None
        else:
            yield entry, shown


def applied(entries: Sequence[Entry], path: str | Path) -> Find:
    """Return what finds the regions of a picture in a record; `path` is what a message calls it."""
    known = {os.path.normpath(entry.source): entry for entry in entries if entry.error is None}

    def find(pixels: Pixels, source: str) -> tuple[Region, ...]:
        entry = known.get(os.path.normpath(source))
        if entry is None:
            raise ImageError(f"{source}: not in the record {path}; call the photos as the record does")
        return entry.fit(pixels)

    return find


def _broken(source: str, error: str) -> Entry:
    return Entry(source, (0, 0), (), error if source in error else f"{source}: {error}")


def _names(sources: Sequence[str], base: str | None) -> dict[str, str]:
    """Return the path below the output folder of each photo's result."""
    places = {source: os.path.abspath(source) for source in sources}  # noqa: PTH100 - links stay as they are
    folders = [os.path.dirname(place) for place in places.values()]  # noqa: PTH120
    try:
        root = os.path.abspath(base) if base is not None else os.path.commonpath(folders)  # noqa: PTH100
    except ValueError as error:
        raise ConfigError("the photos lie on several drives: blur them one drive at a time") from error
    return {source: _name(os.path.relpath(place, root)) for source, place in places.items()}


def _name(path: str) -> str:
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    kept = suffix.lower() in (*JPEG, ".png")
    name = f"{fitting(stem)}{suffix}" if kept else f"{fitting(name)}.png"
    return "/".join([*Path(folder).parts, name]) if folder else name
