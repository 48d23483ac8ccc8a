"""Groups of faces, by what a data set says of them: age, ethnicity, pose, occlusion, size …

A number becomes a band, a code its word, a label stays. What nobody said is None, and in no group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics
from meanshape.core.errors import UnknownName
from meanshape.core.sample import Sample
from meanshape.evaluation.labels import accuracy
from meanshape.evaluation.measures import Measures

BANDS: dict[str, tuple[int, ...]] = {
    "age": (0, 3, 13, 20, 40, 60),  # years
    "yaw": (0, 15, 30, 45, 60),  # degrees, to either side
    "pitch": (0, 10, 20, 30),
    "roll": (0, 10, 20, 30),
    "hidden": (0, 1, 10, 25, 50),  # percent of the points
    "size": (0, 10, 20, 30, 40, 60, 100, 200),  # pixels, the root of the box's area
}
"""Where bands of numbers begin."""

WORDS = {
    "blur": ("clear", "normal blur", "heavy blur"),
    "occlusion": ("not hidden", "partly hidden", "heavily hidden"),
}
"""What the codes of WIDER FACE mean."""

FEW = 30
"""A group of fewer faces says little."""

OF_THE_FACE = frozenset(("hidden", "size"))
"""Groups that follow from shape and box."""


@runtime_checkable
class TellsVisible(Protocol):
    """A picture that knows which points are seen in it."""

    @property
    def visible(self) -> NDArray[np.bool_] | None:
        """Return the points (K,) that are, None before it was looked at."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The measures of one group of faces; all in percent, None where there is nothing to measure.

    Attributes
    ----------
    count, missed : its faces, and those of them that the detector missed
    nme, interval : as of `Measures`
    accuracy : by attribute, of what the model answers
    """

    count: int
    missed: int
    nme: float | None
    interval: tuple[float, float] | None
    accuracy: dict[str, float]

    @property
    def few(self) -> bool:
        """Tell whether the group is too small to say much."""
        return self.count < FEW


def known_groups(samples: Sequence[Sample]) -> list[str]:
    """Return the names by which these samples can be grouped: those with two groups or more."""
    names = Counter(key for sample in samples for key in sample.attributes)
    return [name for name in (*names, *sorted(OF_THE_FACE)) if len({*group(samples, name)} - {None}) > 1]


def check_groups(samples: Sequence[Sample], by: Iterable[str]) -> None:
    """Raise `UnknownName` for a name that none of the samples has."""
    for name in by:
        if not any(group(samples, name)):
            raise UnknownName.of("group of these faces", name, known_groups(samples))


def group(samples: Sequence[Sample], name: str) -> tuple[str | None, ...]:
    """Return the group of each sample."""
    return tuple(_label(name, _value(sample, name)) for sample in samples)


def ordered(name: str, labels: Sequence[str | None]) -> list[str]:
    """Return the groups that occur, bands and codes by their size, others by name."""
    there = {label for label in labels if label is not None}
    known = [*WORDS.get(name, ()), *_bands(name)]
    return [label for label in known if label in there] or sorted(there)


def slices(found: Measures, name: str) -> dict[str, Slice]:
    """Return the measures of each group."""
    labels = found.groupings.get(name) or found.labels.get(name, ())
    errors = found.per_face()
    made = {}
    for label in ordered(name, labels):
        inside = np.array([other == label for other in labels])
        values = errors[inside]
        values = values[np.isfinite(values)]
        right = {}
        for key, answers in found.answers.items():
            truth = [t if i else None for t, i in zip(found.labels.get(key, ()), inside, strict=False)]
            if any(t is not None for t in truth):
                right[key] = accuracy(truth, answers)
        made[label] = Slice(
            int(inside.sum()),
            int(found.missed[inside].sum()),
            float(values.mean()) if len(values) else None,
            metrics.bootstrap_interval(values) if len(values) > 1 else None,
            right,
        )
    return made


def as_plain(found: Mapping[str, Slice]) -> dict[str, dict[str, Any]]:
    """Return groups as plain values, for JSON."""
    return {
        label: {
            "count": one.count,
            "missed": one.missed,
            "nme": one.nme,
            "nme_interval": None if one.interval is None else list(one.interval),
            "accuracy": one.accuracy,
        }
        for label, one in found.items()
    }


def _value(sample: Sample, name: str) -> object:
    """Return what is known of a face."""
    if name == "size":
        box = sample.own_box or sample.box
        return None if box is None else box.size
    if name == "hidden":
        visible = None if sample.shape is None else sample.shape.visible
        if visible is None and isinstance(sample.image, TellsVisible):
            visible = sample.image.visible
        return None if visible is None else 100.0 * float(1 - np.mean(visible))
    return sample.attributes.get(name)


def _label(name: str, value: object) -> str | None:
    """Return the group of a value."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or value != value:
        return None
    if name in WORDS:
        return WORDS[name][int(value)] if 0 <= value < len(WORDS[name]) else str(value)
    if name not in BANDS:
        return str(value)
    bands = dict(zip(_bands(name), pairwise((*BANDS[name], inf)), strict=True))
    return next(label for label, (_, high) in bands.items() if abs(value) < high)


def _bands(name: str) -> list[str]:
    """Return the words for bands of numbers: to below the next one."""
    starts = BANDS.get(name, ())
    return [f"{low} to {high}" for low, high in pairwise(starts)] + [f"{low} and more" for low in starts[-1:]]
