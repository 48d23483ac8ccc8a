"""Where the points of a face are before anybody has moved them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.core.markup import MarkUp, markup
from meanshape.core.shape import Shape
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.turns import view

SURE = 0.02
"""Disagreement with the mirrored photo, in box sizes, at which confidence has fallen to 1 / e."""

Mean = NDArray[np.float64]
"""Points (K, 2) of the faces that were labelled so far, on average, in the unit square of their boxes."""

SIDES = frozenset(("left", "right"))
SAME = {"eyebrow": "brow", "pupil": "eye", "iris": "eye", "lips": "mouth", "jawline": "jaw", "upper": "top"}
"""Words for the same part of a face, as people call their points and as the mark-ups here do."""

APART = 0.04
"""How far from each other points are put that belong in one place, in box sizes."""


class FirstPoints:
    """Finds faces and places points by a model, by what was labelled so far, and by the names of points.

    Parameters
    ----------
    kind : the mark-up of the labels
    pipeline : finds the faces; None: nobody does
    """

    def __init__(self, kind: MarkUp, pipeline: Pipeline | None) -> None:
        self.kind, self.pipeline = kind, pipeline

    @property
    def converts(self) -> bool:
        """Whether the model's points are those of the labels, or become them."""
        own = None if self.pipeline is None else self.pipeline.model.markup
        return own is not None and own.gives(self.kind.name)

    def faces(self, pixels: Pixels, mean: Mean | None) -> tuple[tuple[Face, ...], float]:
        """Return the faces of a photo with their points, and how certain the least certain is."""
        if self.pipeline is None:
            return (), 0.0
        faces: list[Face] = []
        sure: list[float] = []
        for found in self.pipeline.search(pixels):
            seen = view(pixels, found.box, found.roll)
            shape = self.shape(seen.pixels, seen.box, mean)
            faces.append(replace(found.face, box=found.box, shape=seen.placed(shape)))
            sure.append(self._confidence(seen.pixels, seen.box, shape))
        return tuple(faces), min(sure, default=0.0)

    def shape(self, pixels: Pixels, box: Box, mean: Mean | None) -> Shape:
        """Return the model's points, else the mean of the labels, else points where such names belong."""
        if self.converts:
            assert self.pipeline is not None
            return self.pipeline.model.predict(pixels, box).to(self.kind.name)
        start = self._by_names(pixels, box)
        if mean is not None:
            start = np.where(np.isfinite(mean), mean, start)
        return Shape(box.absolute(start), self.kind)

    def _by_names(self, pixels: Pixels, box: Box) -> NDArray[np.float64]:
        """Return points (K, 2) in the box: as the model sees this face, or as faces are on average."""
        from meanshape.evaluation.starts import mean_face

        if self.pipeline is not None and self.pipeline.model.markup is not None:
            shape = self.pipeline.model.predict(pixels, box)
            return named_like(self.kind, shape.markup, box.relative(shape.points))
        known = markup("ibug68")
        return named_like(self.kind, known, np.asarray(mean_face(known), np.float64))

    def _confidence(self, pixels: Pixels, box: Box, shape: Shape) -> float:
        """Return how sure the model is of the face's points on average, 0..1; a model that does not say so is
        asked again about the mirrored photo, and is as sure as the two agree.
        """
        if not self.converts:
            return 0.0
        if shape.confidence is not None:
            return float(shape.confidence[np.isfinite(shape.points).all(1)].mean())
        width = pixels.shape[1]
        mirrored = Box(width - 1 - box.right, box.top, width - 1 - box.left, box.bottom)
        other = self.shape(np.ascontiguousarray(pixels[:, ::-1]), mirrored, None).mirrored(width)
        apart = float(np.nanmean(np.hypot(*(other.points - shape.points).T))) / box.size
        return math.exp(-apart / SURE)


def mean_of(faces: Iterable[Face]) -> Mean | None:
    """Return where points are on average; NaN where a point was never labelled, None without any face."""
    known = [face.box.relative(face.shape.points) for face in faces if face.shape is not None]
    if not known:
        return None
    there = np.isfinite(known)
    count = there.sum(0)
    return np.where(count > 0, np.where(there, known, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def named_like(kind: MarkUp, known: MarkUp, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (K, 2) where another mark-up's points and groups (K', 2) of the same words are.

    Points whose names say nothing lie on an ellipse. None lies on another.
    """
    places = {name: points[[index]] for index, name in enumerate(known.points)}
    places |= {name: points[list(indices)] for name, indices in known.groups.items()}
    places = {name: place for name, place in places.items() if np.isfinite(place).all()}
    found = ellipse(len(kind))
    for index, name in enumerate(kind.points):
        like = _most_like(name, places)
        if like is not None:
            found[index] = places[like].mean(axis=0)
        elif sides := _words(name) & SIDES:  # the subject's left is on the right of the picture
            away = abs(found[index, 0] - 0.5)
            found[index, 0] = 0.5 + (away if "left" in sides else -away)
    for index in range(1, len(found)):
        while (np.hypot(*(found[:index] - found[index]).T) < APART / 2).any():
            found[index, 0] += APART
    return found


def _most_like(name: str, others: Iterable[str]) -> str | None:
    """Return the name on the same side of the face that shares most words, and has fewest beside them."""
    words = _words(name)
    scored = [
        ((len(words & _words(other) - SIDES), -len(_words(other) - words)), other)
        for other in others
        if _words(other) & SIDES == words & SIDES
    ]
    (shared, _), best = max(scored, key=lambda one: one[0], default=((0, 0), None))
    return best if shared else None


def _words(name: str) -> set[str]:
    return {SAME.get(word, word) for word in name.lower().replace("-", "_").split("_")}


def ellipse(count: int) -> NDArray[np.float64]:
    """Return points (count, 2) evenly on an ellipse in the unit square."""
    angle = 2 * np.pi * np.arange(count) / count
    return 0.5 + 0.4 * np.stack([np.sin(angle), -np.cos(angle)], 1)
