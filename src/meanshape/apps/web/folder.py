"""A folder of photos and their labels, corrected by hand: read, versioned, written whole.

Labels are lines of `labels.jsonl` in the folder, one a photo, which `meanshape train --data folder:FOLDER`
reads as it is; or `.pts` files beside the photos. Every save is on the disk, whole, before it is answered. A
save names the version it started from: what somebody else wrote meanwhile, in whatever process, is never
overwritten unseen. Nothing outside the folder is read or written, whatever links are put into it. Photos are
decoded elsewhere, by `photo_jobs`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from meanshape.apps.web.first import FirstPoints, mean_of
from meanshape.apps.web.labels import JsonLines, Labels, PtsFiles
from meanshape.apps.web.photo_jobs import Ask, Photo, PhotoJobs
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, MeanshapeError, OutputError, ShapeError, UnknownName
from meanshape.core.face import Emotion, Face
from meanshape.core.face_box import face_box
from meanshape.core.files import remove_parts
from meanshape.core.locks import FileLock
from meanshape.core.markup import MarkUp
from meanshape.core.openers import looks_like_picture
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets.folder import BY_HAND, CHECKED, LABELS, UNCHECKED, is_checked
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.sources import natural

LOCK = ".labels.lock"
PATIENCE = 10.0
"""Seconds that a save waits for that of another process."""


class ConflictError(MeanshapeError):
    """Somebody else saved meanwhile."""


@dataclass(frozen=True, slots=True)
class Label:
    """A photo's faces: `version` changes with every save, "" where nobody saved yet."""

    faces: tuple[Face, ...]
    version: str
    confidence: float | None = None


class Folder:
    """The photos of one folder and their labels.

    Parameters
    ----------
    root : the folder; photos in its folders count, too
    kind : the mark-up of the labels
    pipeline : places the first points; None: they come from the labels made so far
    labels : "jsonl", one file for all; or "pts", one beside each photo, for single faces without gaps
    """

    def __init__(
        self,
        root: str | Path,
        kind: MarkUp,
        pipeline: Pipeline | None = None,
        labels: Literal["jsonl", "pts"] = "jsonl",
    ) -> None:
        """List the photos and read the labels; `FormatError` names what is broken in them."""
        self.root, self.kind, self.pipeline, self.labels = Path(root).resolve(), kind, pipeline, labels
        self.photos = self._list()
        self._saved: Labels = (
            JsonLines(self.root, kind) if labels == "jsonl" else PtsFiles(self.root, kind, self.photos)
        )
        self._converts = FirstPoints(kind, pipeline).converts
        self._first: dict[str, Label] = {}
        self._lock = Lock()
        self._sweep()

    def _list(self) -> dict[str, str]:
        """Return where each photo lies, by its name, below the root; a link's name is not where it lies."""
        found = {
            path.relative_to(self.root).as_posix(): path.resolve()
            for path in self.root.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(self.root).parts)
            and path.is_file()
            and path.resolve().is_relative_to(self.root)
            and looks_like_picture(path)
        }
        if not found:
            raise ConfigError(f"{self.root}: there are no pictures in this folder")
        return {name: found[name].relative_to(self.root).as_posix() for name in sorted(found, key=natural)}

    def _sweep(self) -> None:
        """Remove what saves that were killed left; where somebody saves now, another start does."""
        files = self._saved.files.values() if isinstance(self._saved, PtsFiles) else (LABELS,)
        with suppress(OutputError), FileLock(self.root / LOCK, "held"):
            remove_parts(self.root, files)

    def photo(self, name: str) -> Photo:
        """Return a photo; names that are not of the list are unknown, whatever they spell."""
        if name not in self.photos:
            raise UnknownName(f"no photo of this folder is called {name!r}")
        return Photo(self.root, self.photos[name], name)

    def unplaced(self) -> list[str]:
        """Return the photos for which a model has points to place, while nobody has asked for them yet."""
        if self.pipeline is None:
            return []
        with self._lock:
            return [name for name in self.photos if self._label(name) is None]

    def overview(self) -> list[dict[str, Any]]:
        """Return all photos: those to be corrected first, the least certain before the others."""
        with self._lock:
            self._saved.refresh()
            rows = [self._row(name) for name in self.photos]
        unsure = [row["confidence"] if row["confidence"] is not None else 2.0 for row in rows]
        order = sorted(range(len(rows)), key=lambda n: (rows[n]["done"], unsure[n], n))
        return [rows[n] for n in order]

    def _row(self, name: str) -> dict[str, Any]:
        saved, first = self._saved.get(name), self._first.get(name)
        faces = saved.faces if saved is not None else first.faces if first is not None else None
        checked = sum(map(is_checked, saved.faces)) if saved is not None else 0
        return {
            "name": name,
            "done": saved is not None and checked == len(saved.faces),
            "faces": None if faces is None else len(faces),
            "checked": checked,
            "confidence": None if first is None else first.confidence,
        }

    def label(self, name: str, ask: Ask | None = None) -> Label:
        """Return what was saved for a photo; else where the model, or the mean of the labels, puts points.

        `ask` has photos worked on by a worker; None: it is done here.
        """
        self.photo(name).check()
        with self._lock:
            self._saved.refresh()
            there = self._label(name)
        return there or self._place_all(name, ask)

    def save(self, name: str, version: str, faces: Sequence[Mapping[str, Any]]) -> str:
        """Write a photo's faces and return the new version.

        Raises
        ------
        ConflictError : `version` is not what is on the disk
        ShapeError, FormatError : points that cannot be, or that the format cannot hold
        OutputError : they could not be written; all is as before
        """
        label = Prediction(tuple(self._face(face) for face in faces), self.photo(name).size(), name, BY_HAND)
        held = "another process has been saving for a long time; try again"
        with FileLock(self.root / LOCK, held, PATIENCE), self._lock:
            self._saved.refresh(sure=True)
            if version != self._saved.version(name):
                raise ConflictError(f"{name} was saved elsewhere since you opened it; reload it to see that")
            before = self._saved.get(name)
            boxes = [face for face in before.faces if face.shape is None] if before is not None else []
            self._saved.put(name, replace(label, faces=(*label.faces, *boxes)))  # the page shows points alone
            return self._saved.version(name)

    def place(self, name: str, box: Box, ask: Ask | None = None) -> Shape:
        """Return where the points of a face in a box would be."""
        photo = self.photo(name)
        photo.size()  # what is no photo needs no worker
        shape: Shape = self._asked(ask)("points", photo=photo, box=box, **self._known())
        return shape

    def png(self, name: str, ask: Ask | None = None) -> bytes:
        """Return a photo as browsers show it, upright."""
        photo = self.photo(name)
        photo.size()
        data: bytes = (ask or self._do)("png", photo=photo)
        return data

    def _asked(self, ask: Ask | None) -> Ask:
        """Return who places points: without a model there is nothing to wait for."""
        return self._do if ask is None or self.pipeline is None else ask

    def _do(self, work: str, **details: Any) -> Any:
        """Work on a photo here."""

        def pipeline() -> Pipeline:
            assert self.pipeline is not None
            return self.pipeline

        return getattr(PhotoJobs(pipeline), work)(**details)

    def _known(self) -> dict[str, Any]:
        """Return what there is to place points by."""
        mean = None if self._converts else mean_of(self._labelled())
        return {"kind": self.kind, "mean": mean, "model": self.pipeline is not None}

    def _label(self, name: str) -> Label | None:
        """Return what is saved, else what is placed already."""
        saved = self._saved.get(name)
        return self._first.get(name) if saved is None else Label(saved.faces, self._saved.version(name))

    def _labelled(self) -> list[Face]:
        """Return the faces that somebody has looked at."""
        with self._lock:
            saved = [self._saved.get(name) for name in self.photos]
        return [face for one in saved if one is not None for face in one.faces if is_checked(face)]

    def _place_all(self, name: str, ask: Ask | None) -> Label:
        faces, sure = self._asked(ask)("faces", photo=self.photo(name), **self._known())
        with self._lock:
            self._first[name] = Label(faces, "", sure)
        return self._first[name]

    def _face(self, data: Mapping[str, Any]) -> Face:
        """Return a face as the page sends it: points, null where there is none, which are visible, the box.

        The tight box of 68 points is the canonical one; other points say nothing of it, so that it must come
        along. Training needs it: it is what the detector will give. What else was known of the face comes
        back as it was; `checked` false says that nobody has looked at it.
        """
        points, visible = data.get("points"), data.get("visible")
        if not isinstance(points, list) or len(points) != len(self.kind):
            raise ShapeError(f"a face of {self.kind.name} has {len(self.kind)} points")
        try:
            rows = [
                [math.nan, math.nan] if x is None or y is None else [float(x), float(y)] for x, y in points
            ]
        except (TypeError, ValueError, OverflowError):
            raise ShapeError("a point is [x, y], or [null, null] where there is none") from None
        if not isinstance(visible, list | None):
            raise ShapeError("visible is a list of true and false")
        shape = Shape(rows, self.kind, visible)
        box = face_box(shape) or _sent(data.get("box")) or shape.box()
        return Face(box, shape, emotion=_emotion(data.get("emotion")), attributes=_attributes(data))


def _attributes(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the labels say of a face, and whether somebody has looked at it."""
    said = data.get("attributes")
    if not isinstance(said, dict | None) or not all(map(_plain, (said or {}).values())):
        raise ShapeError("attributes are names and values: words, numbers, or some of these by name")
    known = {name: value for name, value in (said or {}).items() if name != CHECKED}
    if data.get("checked") is False:
        known[CHECKED] = UNCHECKED
    return known or None


def _plain(value: Any, depth: int = 2) -> bool:
    """Tell whether a value is a word, a finite number, or a few of these."""
    if isinstance(value, dict | list) and depth:
        return all(_plain(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value))
    return (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )


def _emotion(said: Any) -> Emotion | None:
    """Return an emotion {label, probabilities} that came along, or none."""
    if said is None:
        return None
    try:
        return Emotion(str(said["label"]), dict(said.get("probabilities") or {}))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ShapeError("an emotion has a label and probabilities") from None


def _sent(box: Any) -> Box | None:
    """Return a box [left, top, right, bottom] that came along, or none."""
    if box is None:
        return None
    try:
        left, top, right, bottom = (float(edge) for edge in box)
    except (TypeError, ValueError):
        raise ShapeError("a box is [left, top, right, bottom]") from None
    return Box(left, top, right, bottom)
