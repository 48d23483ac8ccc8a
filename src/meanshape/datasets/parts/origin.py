"""What a data set passes on to whatever learns from it: its terms, and its name and split."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from meanshape.core import toml, weights
from meanshape.core.errors import DataSetError, WeightsError
from meanshape.core.origin import NOT_STATED, Origin, joined
from meanshape.datasets.parts.card import DataSetCard
from meanshape.formats.text import read_text


def origin_of(card: DataSetCard, split: str | None, copy: str = "", stated: Origin | None = None) -> Origin:
    """Return the origin of a split.

    Parameters
    ----------
    copy : what tells sets of one name apart, such as two folders of photos
    stated : terms that take the place of the card's
    """
    name = f"{card.name}@{copy}" if copy else card.name
    learnt = (f"{name}:{split}" if split else name,)
    if stated is not None:
        return replace(stated, learnt_from=learnt)
    words = (f"{card.title}: {card.licence}",)
    return Origin(card.terms, card.commercial_use, words, learnt)


def copy_of(root: Path) -> str:
    """Return what tells a folder from others on this machine; its path may be private."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def of_labels(table: Path, own: Origin, people: Container[str]) -> Origin:
    """Return `own` with the terms of whatever placed the labels in a `.jsonl` file.

    A file `NAME.origin` beside it says them, or the cards of the models in its lines (`people` are none).
    """
    beside = table.with_suffix(".origin")
    if beside.is_file():
        found = _read(beside)
        return replace(found, learnt_from=(*own.learnt_from, *found.learnt_from))
    return joined([own, *map(_of_model, sorted(_models(table, people)))])


def _read(path: Path) -> Origin:
    """Return what a file beside labels says of their terms."""
    try:
        return Origin.read(toml.read(path))
    except (OSError, ValueError) as error:
        raise DataSetError(f"{path}: not a file with the terms of labels ({error})") from error


def _models(table: Path, people: Container[str]) -> set[str]:
    """Return the models that a file of predictions names; what is wrong with a line, its reader says."""
    found = set()
    for line in read_text(table).split("\n"):
        try:
            model = json.loads(line)["model"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if model is not None and str(model) not in people:
            found.add(str(model))
    return found


def _of_model(name: str) -> Origin:
    """Return what is known of a model that placed labels."""
    try:
        return weights.read_card(weights.folder(name) if name in weights.names() else name).origin
    except (WeightsError, OSError):
        return Origin(f"{NOT_STATED} (labels placed by {name})")
