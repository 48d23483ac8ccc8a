"""What a model says about a face beside its points, and how often it is right.

A model that answers attributes has a method `attributes(image, box)`, which returns by attribute a label, an
`Emotion`, or a probability for each label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meanshape.core.box import Box
from meanshape.core.face import Emotion
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.methods.shared.abilities import TellsAttributes

ATTRIBUTES = ("emotion", "gender", "smile", "glasses", "pose")
GROUPED_BY = ("gender", "glasses", "pose")
"""Labels by which errors are reported apart."""

Labels = Mapping[str, tuple[str | None, ...]]


def true_labels(sample: Sample) -> dict[str, str]:
    """Return the labels that a sample has."""
    return {key: v for key in ATTRIBUTES if isinstance(v := sample.attributes.get(key), str)}


def answered_labels(model: Any, pixels: Pixels, box: Box) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """Return the labels that a model answers, none for most models, and those that it chose among, where it
    says so.
    """
    if not isinstance(model, TellsAttributes):
        return {}, {}
    said = {key: value for key, value in model.attributes(pixels, box).items() if key in ATTRIBUTES}
    answers = {key: label for key, value in said.items() if (label := _label(value)) is not None}
    return answers, {key: options for key, value in said.items() if (options := _options(value))}


def shared_labels(
    truth: Sequence[Mapping[str, str]], options: Mapping[str, frozenset[str]]
) -> tuple[list[dict[str, str]], dict[str, dict[str, int]]]:
    """Return the faces' true labels without those that a model knows nothing of, and how many faces had each
    of these: a model that was never taught "contempt" is measured on the labels that both have.
    """
    kept, unknown = [], dict[str, dict[str, int]]()
    for row in truth:
        foreign = {key for key, label in row.items() if key in options and label not in options[key]}
        kept.append({key: label for key, label in row.items() if key not in foreign})
        for key in foreign:
            counts = unknown.setdefault(key, {})
            counts[row[key]] = counts.get(row[key], 0) + 1
    return kept, unknown


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


def _options(value: Any) -> frozenset[str]:
    """Return the labels among which an answer was chosen, none where it does not say."""
    chances = value.probabilities if isinstance(value, Emotion) else value
    return frozenset(map(str, chances)) if isinstance(chances, Mapping) else frozenset()


def _label(value: Any) -> str | None:
    """Return the label that an answer means."""
    if isinstance(value, Emotion):
        return value.label
    if isinstance(value, Mapping):
        return str(max(value, key=lambda key: value[key])) if value else None
    return value if isinstance(value, str) else None
