"""A folder of photos and their labels, corrected by hand: read, versioned, written whole.

Labels are lines of `labels.jsonl` in the folder, one a photo, which `meanshape train --data folder:FOLDER`
reads as it is; or `.pts` files beside the photos. Every save is on the disk, whole, before it is answered. A
save names the version it started from: what somebody else wrote meanwhile is never overwritten unseen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, FormatError, MeanshapeError, ShapeError, UnknownName
from meanshape.core.image import Pixels, read_image
from meanshape.core.markup import MarkUp
from meanshape.core.types import Box, Face, Prediction, Shape
from meanshape.datasets.folder import BY_HAND
from meanshape.formats import jsonl, pts
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.sources import SUFFIXES, natural

LABELS = "labels.jsonl"
SURE = 0.02
"""Disagreement with the mirrored photo, in box sizes, at which confidence has fallen to 1 / e."""


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
        self._saved: dict[str, Prediction] = {}
        self._read_at: tuple[int, int] | None = None
        self._first: dict[str, Label] = {}
        self._lock = Lock()
        self._reload()
        self._pool = ThreadPoolExecutor(1, "pre-place")
        for name in self.photos:
            if name not in self._saved and pipeline is not None:
                self._pool.submit(self._quietly_place, name)

    def _list(self) -> dict[str, Path]:
        """Return the photos by name, none outside the folder."""
        found = {
            path.relative_to(self.root).as_posix(): path
            for path in self.root.rglob("*")
            if path.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(self.root).parts)
            and path.is_file()
            and path.resolve().is_relative_to(self.root)
        }
        if not found:
            raise ConfigError(f"{self.root}: there are no pictures in this folder")
        return {name: found[name] for name in sorted(found, key=natural)}

    def path(self, name: str) -> Path:
        """Return where a photo is; names that are not of the list are unknown, whatever they spell."""
        if name not in self.photos:
            raise UnknownName(f"no photo of this folder is called {name!r}")
        return self.photos[name]

    def overview(self) -> list[dict[str, Any]]:
        """Return all photos: those to be corrected first, the least certain before the others."""
        with self._lock:
            self._reload()
            rows = [
                {
                    "name": name,
                    "done": name in self._saved,
                    "faces": len(self._label(name).faces)
                    if name in self._saved or name in self._first
                    else None,
                    "confidence": self._first[name].confidence if name in self._first else None,
                }
                for name in self.photos
            ]
        unsure = [row["confidence"] if row["confidence"] is not None else 2.0 for row in rows]
        order = sorted(range(len(rows)), key=lambda n: (rows[n]["done"], unsure[n], n))
        return [rows[n] for n in order]

    def label(self, name: str) -> Label:
        """Return what was saved for a photo; else where the model, or the mean of the labels, puts points."""
        path = self.path(name)
        with self._lock:
            self._reload()
            if name in self._saved or name in self._first:
                return self._label(name)
        return self._place_all(name, read_image(path))

    def save(self, name: str, version: str, faces: Sequence[Mapping[str, Any]]) -> str:
        """Write a photo's faces and return the new version.

        Raises
        ------
        ConflictError : `version` is not what is on the disk
        ShapeError, FormatError : points that cannot be, or that the format cannot hold
        """
        path = self.path(name)
        height, width = read_image(path).shape[:2]
        made = tuple(self._face(face) for face in faces)
        if self.labels == "pts" and (
            len(made) != 1 or made[0].shape is None or np.isnan(made[0].shape.points).any()
        ):
            raise FormatError(
                "a .pts file holds one face with all its points; start with --labels jsonl", path=path
            )
        with self._lock:
            self._reload()
            if version != self._version(name):
                raise ConflictError(f"{name} was saved elsewhere since you opened it; reload it to see that")
            self._saved[name] = Prediction(made, (width, height), name, BY_HAND)
            self._write(name)
            self._reload()  # what counts is what is on the disk, rounded as the format rounds
            return self._version(name)

    def place(self, name: str, box: Box) -> Shape:
        """Return where the points of a face in a box would be."""
        pixels = read_image(self.path(name))
        return self._in_box(pixels, box)

    def close(self) -> None:
        """Stop placing points."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # Labels on the disk

    def _reload(self) -> None:
        """Read the labels again if the file is not the one that was read."""
        if self.labels == "pts":
            self._saved = {
                n: self._from_pts(n) for n, p in self.photos.items() if p.with_suffix(".pts").exists()
            }
            return
        file = self.root / LABELS
        if not file.exists():
            self._saved, self._read_at = {}, None
            return
        state = file.stat()
        if (state.st_mtime_ns, state.st_size) != self._read_at:
            self._saved = {str(p.source): p for p in jsonl.read(file)}
            self._read_at = state.st_mtime_ns, state.st_size

    def _from_pts(self, name: str) -> Prediction:
        path = self.photos[name].with_suffix(".pts")
        shape = Shape(pts.read_points(path), self.kind)
        return Prediction((Face(shape.box(), shape),), (0, 0), name, BY_HAND)

    def _write(self, name: str) -> None:
        if self.labels == "pts":
            shape = self._saved[name].faces[0].shape
            assert shape is not None
            pts.write_points(self.photos[name].with_suffix(".pts"), shape.points)
            return
        jsonl.write(self.root / LABELS, self._saved.values())

    def _version(self, name: str) -> str:
        if name not in self._saved:
            return ""
        return hashlib.sha256(jsonl.render(self._saved[name]).encode()).hexdigest()[:16]

    def _label(self, name: str) -> Label:
        if name in self._saved:
            return Label(self._saved[name].faces, self._version(name))
        return self._first[name]

    def _face(self, data: Mapping[str, Any]) -> Face:
        """Return a face as the page sends it: points, null where there is none, which are visible, the box.

        The tight box of 68 points is the canonical one; other points say nothing of it, so that it must come
        along. Training needs it: it is what the detector will give.
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
        return Face(shape.box() if len(shape) == 68 else _sent(data.get("box")) or shape.box(), shape)

    # First points

    def _quietly_place(self, name: str) -> None:
        """Place points before they are asked for; what is wrong with a photo is said when it is opened."""
        try:
            self._place_all(name, read_image(self.photos[name]))
        except MeanshapeError:
            return

    def _place_all(self, name: str, pixels: Pixels) -> Label:
        """Find the faces and place their points, and say how certain the least certain is."""
        faces: list[Face] = []
        sure: list[float] = []
        if self.pipeline is not None:
            for face in self.pipeline(pixels).faces:
                box = self.pipeline.detector.canonical(face.box)
                shape = self._in_box(pixels, box)
                faces.append(replace(face, box=box, shape=shape, pose=None))
                sure.append(self._confidence(pixels, box, shape))
        label = Label(tuple(faces), "", min(sure, default=0.0))
        with self._lock:
            self._first[name] = label
        return label

    def _in_box(self, pixels: Pixels, box: Box) -> Shape:
        """Return the model's points, else the mean of the labels so far, else points on an ellipse."""
        if self.pipeline is not None and self._converts():
            return self.pipeline.model.predict(pixels, box).to(self.kind.name)
        known = [
            face.box.relative(face.shape.points)
            for saved in self._saved.values()
            for face in saved.faces
            if face.shape is not None
        ]
        return Shape(box.absolute(np.nanmean(known, axis=0) if known else ellipse(len(self.kind))), self.kind)

    def _converts(self) -> bool:
        own = None if self.pipeline is None else self.pipeline.model.markup
        return own is not None and (own.name == self.kind.name or self.kind.name in own.conversions)

    def _confidence(self, pixels: Pixels, box: Box, shape: Shape) -> float:
        """Return how sure the model is of the face's points on average, 0..1; a model that does not say so is
        asked again about the mirrored photo, and is as sure as the two agree.
        """
        if not self._converts():
            return 0.0
        if shape.confidence is not None:
            return float(shape.confidence[np.isfinite(shape.points).all(1)].mean())
        width = pixels.shape[1]
        mirrored = Box(width - 1 - box.right, box.top, width - 1 - box.left, box.bottom)
        other = self._in_box(np.ascontiguousarray(pixels[:, ::-1]), mirrored).mirrored(width)
        apart = float(np.nanmean(np.hypot(*(other.points - shape.points).T))) / box.size
        return math.exp(-apart / SURE)


def _sent(box: Any) -> Box | None:
    """Return a box [left, top, right, bottom] that came along, or none."""
    if box is None:
        return None
    try:
        left, top, right, bottom = (float(edge) for edge in box)
    except (TypeError, ValueError):
        raise ShapeError("a box is [left, top, right, bottom]") from None
    return Box(left, top, right, bottom)


def ellipse(count: int) -> NDArray[np.float64]:
    """Return points (count, 2) evenly on an ellipse in the unit square."""
    angle = 2 * np.pi * np.arange(count) / count
    return 0.5 + 0.4 * np.stack([np.sin(angle), -np.cos(angle)], 1)
