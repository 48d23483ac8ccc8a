"""Labels on the disk: lines of one `labels.jsonl`, or a `.pts` file beside each photo.

What counts is what is on the disk: nothing is remembered before it is written. Lines of other photos, and of
none, stay as they are.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from meanshape.core.errors import FormatError, ShapeError, writing
from meanshape.core.face import Face
from meanshape.core.files import ending, open_below, read_below, write_below
from meanshape.core.markup import MarkUp
from meanshape.core.markup import markup as markup_called
from meanshape.core.prediction import Prediction
from meanshape.core.regular import read_whole
from meanshape.core.shape import Shape
from meanshape.datasets.folder import BY_HAND, LABELS, picture_of
from meanshape.formats import jsonl, pts
from meanshape.formats.faces import guess_markup


class Labels(Protocol):
    """What is saved for the photos of a folder."""

    def refresh(self, sure: bool = False) -> None:
        """Read again what has changed; with `sure`, also what changed without looking like it."""

    def get(self, name: str) -> Prediction | None:
        """Return what is saved for a photo, if anything is."""

    def version(self, name: str) -> str:
        """Return a word that changes with every save; "" where nothing is saved."""

    def put(self, name: str, label: Prediction) -> None:
        """Write a photo's label; `OutputError` where that fails, and all is as before."""


class JsonLines:
    """One line a photo in `labels.jsonl`.

    A photo on several lines has the faces of all; they become one line when it is saved. Lines that name no
    photo are kept.
    """

    def __init__(self, root: Path, kind: MarkUp) -> None:
        """Read what is there; `FormatError` names a line that is broken or has other points."""
        self.root, self.kind, self.path = root, kind, root / LABELS
        self._state: tuple[int, int, int] | None = None
        self._content = b""
        self._lines: dict[str, Prediction] = {}
        self._order: list[str] = []
        self._saved: dict[str, Prediction] = {}
        self._own: dict[str, list[str]] = {}
        self.refresh()

    def refresh(self, sure: bool = False) -> None:
        """Read the file again if it is not the one that was read."""
        content, state = b"", None
        try:
            with open_below(self.root, LABELS) as file:
                now = os.fstat(file.fileno())
                state = (now.st_mtime_ns, now.st_size, now.st_ino)
                if state == self._state and not sure:
                    return
                content = read_whole(file, size=now.st_size)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", self.path) from error
        if content != self._content:
            self._take(content)
        self._state = state

    def get(self, name: str) -> Prediction | None:
        """Return the faces of all lines of a photo."""
        return self._saved.get(name)

    def version(self, name: str) -> str:
        """Return a hash of what is saved."""
        return _hash("\n".join(self._own[name]).encode()) if name in self._own else ""

    def put(self, name: str, label: Prediction) -> None:
        """Write the whole file with another line for this photo."""
        own = self._own.get(name, [])
        mine = set(own)  # a photo may have thousands of lines
        lines = [line for line in self._order if line not in mine]
        lines.insert(self._order.index(own[0]) if own else len(lines), jsonl.render(label))
        content = "".join(f"{line}\n" for line in lines).encode()
        with writing(self.path):
            write_below(self.root, LABELS, content)
        self._take(content)

    def _take(self, content: bytes) -> None:
        """Parse a file's content: only lines that are new, for there may be thousands and one changed."""
        try:
            order = [line for line in content.decode("utf-8-sig").split("\n") if line.strip()]
        except UnicodeDecodeError as error:
            raise FormatError("not a text file in UTF-8", self.path) from error
        lines = {}
        parts: dict[str, list[Prediction]] = {}
        own: dict[str, list[str]] = {}
        for number, line in enumerate(order, 1):
            one = self._lines.get(line) or self._checked(jsonl.parse(line, self.path, number), number)
            lines[line] = one
            if one.source is not None:
                parts.setdefault(one.source, []).append(one)
                own.setdefault(one.source, []).append(line)
        self._content, self._order, self._lines = content, order, lines
        self._saved, self._own = {name: _joined(some) for name, some in parts.items()}, own

    def _checked(self, label: Prediction, number: int) -> Prediction:
        """Refuse points that the page would show as others."""
        for face in label.faces:
            if face.shape is not None and face.shape.markup != self.kind:
                found = face.shape.markup.name
                message = f"points of {found}, not of {self.kind.name}; open the folder with --markup {found}"
                raise FormatError(message, self.path, number)
        return label


class PtsFiles:
    """A `.pts` file beside each photo, for single faces without gaps.

    Parameters
    ----------
    photos : all photos by name, which is where they lie below the root
    """

    def __init__(self, root: Path, kind: MarkUp, photos: Iterable[str]) -> None:
        """Find out which file is whose."""
        self.root, self.kind = root, kind
        self.files = pts_names(root, list(photos))
        for name in self.files:
            self.get(name)  # what is broken is said now

    def refresh(self, sure: bool = False) -> None:
        """Do nothing: each file is read when it is asked for."""

    def get(self, name: str) -> Prediction | None:
        """Read a photo's file."""
        content = self._read(name)
        if content is None:
            return None
        path = self.root / self.files[name]
        try:
            shape = Shape(pts.parse(content.decode("utf-8-sig"), path), self.kind)
            return Prediction((Face(shape.box(), shape),), (0, 0), name, BY_HAND)
        except UnicodeDecodeError as error:
            raise FormatError("not a text file in UTF-8", path) from error
        except ShapeError as error:
            raise FormatError(str(error), path) from error

    def version(self, name: str) -> str:
        """Return a hash of the file."""
        content = self._read(name)
        return "" if content is None else _hash(content)

    def put(self, name: str, label: Prediction) -> None:
        """Write a photo's file; `FormatError` for what it cannot hold."""
        path = self.root / self.files[name]
        shapes = [face.shape for face in label.faces]
        if len(shapes) != 1 or shapes[0] is None or np.isnan(shapes[0].points).any():
            message = "a .pts file holds one face with all its points; start with --labels jsonl"
            raise FormatError(message, path)
        with writing(path):
            write_below(self.root, self.files[name], pts.render(shapes[0].points, path).encode())

    def _read(self, name: str) -> bytes | None:
        try:
            return read_below(self.root, self.files[name])
        except FileNotFoundError:
            return None
        except OSError as error:
            path = self.root / self.files[name]
            raise FormatError(f"cannot be read: {error.strerror or error}", path) from error


def pts_names(root: Path, photos: Sequence[str]) -> dict[str, str]:
    """Return the name of each photo's `.pts` file: `a.pts`, or `a.png.pts` where `a.pts` is that of `a.jpg`.

    Whose `a.pts` is, the data set `folder` says, so that training finds the same photo.
    """
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in photos}
    often = Counter(stem.lower() for stem in stems.values())
    known = set(photos)

    def plain(name: str, stem: str) -> bool:
        if often[stem.lower()] > 1 or stem in known:
            return picture_of(root, stem) == root / name
        return True

    files = {name: f"{stem if plain(name, stem) else name}.pts" for name, stem in stems.items()}
    there = {name.lower(): name for name in (p.relative_to(root).as_posix() for p in ending(root, ".pts"))}
    return {name: there.get(file.lower(), file) for name, file in files.items()}


def markup_of_labels(root: Path) -> MarkUp | None:
    """Return the mark-up of the labels in a folder: of the first shape in `labels.jsonl`."""
    try:
        for number, line in enumerate(read_below(root, LABELS).split(b"\n"), 1):
            for face in _parsed(line, root / LABELS, number):
                if face.shape is not None:
                    return face.shape.markup
    except OSError:  # it is read again later, and what is wrong is said then
        return None
    return None


def markup_of_pts(root: Path) -> MarkUp | None:
    """Return the mark-up of the `.pts` files in a folder, as the number of points in the first tells it."""
    root = root.resolve()
    for path in ending(root, ".pts"):
        try:
            text = read_below(root, path.relative_to(root).as_posix()).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FormatError("not a text file in UTF-8", path) from error
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", path) from error
        return markup_called(guess_markup(len(pts.parse(text, path)), path))
    return None


def _joined(lines: Sequence[Prediction]) -> Prediction:
    """Return a photo's lines as one, with the faces of all."""
    if len(lines) == 1:
        return lines[0]
    return replace(lines[0], faces=tuple(face for line in lines for face in line.faces))


def _parsed(line: bytes, path: Path, number: int) -> Sequence[Face]:
    try:
        return jsonl.parse(line.decode("utf-8-sig"), path, number).faces if line.strip() else ()
    except UnicodeDecodeError as error:
        raise FormatError("not a text file in UTF-8", path, number) from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
