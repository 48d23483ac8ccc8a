"""Verifying a copy of a data set against its card, its lists and its own photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meanshape.core.errors import DataSetError, FormatError, ImageError
from meanshape.core.sample import Sample
from meanshape.datasets.parts.card import DataSetCard
from meanshape.datasets.parts.duplicates import perceptual_hash
from meanshape.datasets.parts.survey import Survey

COMPOSED = frozenset(("trainval", "full", "all"))
"""Splits made of other splits."""

OUTSIDE = 0.25
"""How far beyond the picture a point may lie, in units of the shape's larger side, before it is called a
fault.
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a copy of a data set: `kind` is missing, count, extra, label, corrupt or
    outside.
    """

    kind: str
    message: str

    def __str__(self) -> str:
        """Kind and message in one line."""
        return f"{self.kind}: {self.message}"


def check(
    card: DataSetCard,
    survey: Callable[[str | Path, str | None], Survey],
    root: str | Path,
    hashes: dict[str, int] | None = None,
) -> list[Problem]:
    """Read everything at `root`, decode every photo, and list what is wrong.

    A split of which nothing is there is not a fault; one of which something is missing is. Into `hashes` goes
    the perceptual hash of each photo, by the id of its first sample.
    """
    try:
        everything = survey(root, None)
    except (FormatError, DataSetError) as error:
        return [Problem("label" if isinstance(error, FormatError) else "missing", str(error))]
    if not everything.found and not everything.broken:
        return [Problem("missing", f"nothing of {card.name} is at {root}")]
    ids = Counter(sample.id for sample in everything.found)
    problems = [Problem("label", f"{i} is there {times} times") for i, times in ids.items() if times > 1]
    problems += [Problem("label", str(error)) for error in everything.broken]
    problems += _against_splits(card, survey, root, set(ids))
    hashed = set()
    for sample in everything.found:
        photo = sample.image if isinstance(sample.image, str | Path) else sample.id
        new = None if photo in hashed else hashes
        hashed.add(photo)
        problems += look_at(sample, new)
    return problems


def _against_splits(
    card: DataSetCard,
    survey: Callable[[str | Path, str | None], Survey],
    root: str | Path,
    ids: set[str],
) -> list[Problem]:
    """What the lists, or the card's counts, want and do not find, and what is in no split."""
    problems: list[Problem] = []
    divided = False
    for split in [name for name in card.splits if name not in COMPOSED] or card.splits:
        try:
            part = survey(root, split)
        except DataSetError:  # no list for this split
            continue
        divided = True
        if not part.found:
            continue
        ids = ids - {sample.id for sample in (*part.found, *part.left_out)}
        problems += [Problem("missing", sentence) for sentence in part.missing]
        if part.absent > len(part.missing):
            count = f"{len(part.found)} of {part.expected} samples are here"
            problems.append(Problem("count", f"split {split!r}: {count}"))
    extra = sorted(ids) if divided else ()  # a folder of one's own need not be divided
    return problems + [Problem("extra", f"{i} is in no split") for i in extra]


def look_at(sample: Sample, hashes: dict[str, int] | None = None) -> list[Problem]:
    """Decode a sample's photo and hold its points against the size."""
    try:
        pixels = sample.pixels()
    except ImageError as error:
        return [Problem("corrupt", f"{sample.id}: {error}")]
    if hashes is not None:
        hashes[sample.id] = perceptual_hash(pixels)
    height, width = pixels.shape[:2]
    if sample.shape is None:
        return []
    points = sample.shape.points[np.isfinite(sample.shape.points).all(axis=1)]
    if not len(points):
        return [Problem("label", f"{sample.id}: no point is annotated")]
    slack = OUTSIDE * float(np.ptp(points, axis=0).max())
    beyond = (points < -0.5 - slack) | (points > np.array([width, height]) - 0.5 + slack)
    if not beyond.any():
        return []
    return [
        Problem(
            "outside",
            f"{sample.id}: {int(beyond.any(axis=1).sum())} points lie outside the {width} x {height} picture",
        )
    ]
