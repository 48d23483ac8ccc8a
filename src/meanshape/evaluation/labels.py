"""What a model says about a face beside its points, and how often it is right.

A model that answers attributes has a method `attributes(image, box)`, which returns by attribute a label, an
`Emotion`, or a probability for each label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meanshape.core.image import Pixels
from meanshape.core.types import Box, Emotion, Sample

ATTRIBUTES = ("emotion", "gender", "smile", "glasses", "pose")
GROUPED_BY = ("gender", "glasses", "pose")
"""Labels by which errors are reported apart."""

Labels = Mapping[str, tuple[str | None, ...]]


def true_labels(sample: Sample) -> dict[str, str]:
    """Return the labels that a sample has."""
    return {key: v for key in ATTRIBUTES if isinstance(v := sample.attributes.get(key), str)}


def answered_labels(model: Any, pixels: Pixels, box: Box) -> dict[str, str]:
    """Return the labels that a model answers, none for most models."""
    ask = getattr(model, "attributes", None)
    if not callable(ask):
        return {}
    answers = {key: _label(value) for key, value in ask(pixels, box).items() if key in ATTRIBUTES}
    return {key: label for key, label in answers.items() if label is not None}


def accuracy(truth: Sequence[str | None], answers: Sequence[str | None]) -> float:
    """Return the share of labelled faces whose answer is right, in percent; no answer is a wrong one."""
    right = [a == t for t, a in zip(truth, answers, strict=True) if t is not None]
    return 100.0 * float(np.mean(right))


def balanced_accuracy(truth: Sequence[str | None], answers: Sequence[str | None]) -> float:
    """Return the mean of the accuracies of each label that occurs, in percent."""
    per_label = []
    for label in {t for t in truth if t is not None}:
        per_label.append(accuracy([t if t == label else None for t in truth], answers))
    return float(np.mean(per_label))


def columns(rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[str | None, ...]]:
    """Return by attribute one label per face, of those attributes that any face has."""
    names = [key for key in ATTRIBUTES if any(key in row for row in rows)]
    return {key: tuple(row.get(key) for row in rows) for key in names}


def _label(value: Any) -> str | None:
    """Return the label that an answer means."""
    if isinstance(value, Emotion):
        return value.label
    if isinstance(value, Mapping):
        return str(max(value, key=lambda key: value[key])) if value else None
    return value if isinstance(value, str) else None
