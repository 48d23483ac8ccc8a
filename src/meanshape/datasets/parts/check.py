"""Verifying a copy of a data set against its card, its lists and its own photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meanshape.core.errors import DataSetError, FormatError, ImageError
from meanshape.core.types import Sample
from meanshape.datasets.parts.card import DataSetCard
from meanshape.datasets.parts.survey import Survey

OUTSIDE = 0.25
"""How far beyond the picture a point may lie, in units of the shape's larger side, before it is called a fault."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a copy of a data set: `kind` is missing, count, label, corrupt or outside."""

    kind: str
    message: str

    def __str__(self) -> str:
        """Kind and message in one line."""
        return f"{self.kind}: {self.message}"


def check(card: DataSetCard, survey: Callable[[str | Path, str | None], Survey], root: str | Path) -> list[Problem]:
    """Read everything at `root`, decode every photo, and list what is wrong."""
    try:
        result = survey(root, None)
    except (FormatError, DataSetError) as error:
        return [Problem("label" if isinstance(error, FormatError) else "missing", str(error))]
    if not result.found and not result.broken:
        return [Problem("missing", f"nothing of {card.name} is at {root}")]
    problems = [Problem("missing", sentence) for sentence in result.missing]
    problems += [Problem("label", str(error)) for error in result.broken]
    problems += [Problem("label", f"{i} is there {n} times") for i, n in Counter(s.id for s in result.found).items() if n > 1]
    for sample in result.found:
        problems += look_at(sample)
    return problems


def look_at(sample: Sample) -> list[Problem]:
    """Decode a sample's photo and hold its points against the size."""
    try:
        height, width = sample.pixels().shape[:2]
    except ImageError as error:
        return [Problem("corrupt", f"{sample.id}: {error}")]
    if sample.shape is None:
        return []
    points = sample.shape.points[np.isfinite(sample.shape.points).all(axis=1)]
    if not len(points):
        return [Problem("label", f"{sample.id}: no point is annotated")]
    slack = OUTSIDE * float(np.ptp(points, axis=0).max())
    beyond = (points < -0.5 - slack) | (points > np.array([width, height]) - 0.5 + slack)
    if not beyond.any():
        return []
    return [Problem("outside", f"{sample.id}: {int(beyond.any(axis=1).sum())} points lie outside the {width} x {height} picture")]
