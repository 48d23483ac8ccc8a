"""Data sets: photos with labels, one file for each set.

A data set's module has `card`, `samples(root, split=None)`, `verify(root)` and `miniature(folder)`; ask
`meanshape.core.registry.dataset(name)` for it, or read what a data argument such as `mtfl:ROOT:test` names
with `load_data`.
"""

from __future__ import annotations

import os
from inspect import signature
from typing import Any

from meanshape.core import registry
from meanshape.core.errors import ConfigError, DataSetError, UnknownName
from meanshape.core.origin import Origin
from meanshape.core.sample import Sample
from meanshape.datasets.parts.origin import origin_of
from meanshape.datasets.parts.reader import TellsOrigin


def parse_data(text: str) -> tuple[str, str, str | None]:
    r"""Take a data argument `NAME:ROOT[:SPLIT]` apart: name, root, split or None.

    It is split at the first colon and, if what follows the last is a split of that data set, there; so
    `ibug300w:C:\faces\300w:common` is understood.
    """
    name, colon, rest = text.partition(":")
    if not colon or not name or not rest:
        raise ConfigError(f"wanted NAME:ROOT or NAME:ROOT:SPLIT for a data set, got {text!r}")
    splits = splits_of(name)
    root, colon, split = rest.rpartition(":")
    if colon and root and split in splits:
        return name, root, split
    if colon and not _there(rest) and _there(root):
        raise UnknownName.of(f"split of {name}", split, splits)
    return name, rest, None


def _there(path: str) -> bool:
    """Tell whether something is at a path; a name too long is nothing, and no error."""
    return os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111


def load_data(text: str, allow_missing: bool = False, markup: str | None = None) -> list[Sample]:
    """Read the samples that a data argument names; without a split, all that are there.

    Parameters
    ----------
    allow_missing : take what there is of an incomplete split, which else is a `DataSetError`
    markup : the mark-up of the user's own labels (data set `folder`) where it is not clear
    """
    name, root, split = parse_data(text)
    module = registry.dataset(name)
    said = with_markup(module, markup)
    return list(module.samples(root, split, allow_missing=allow_missing, **said))


def thinned(samples: list[Sample], limit: int | None) -> list[Sample]:
    """Return so many samples, evenly spread; None or 0: all."""
    if not limit or limit >= len(samples):
        return samples
    return [samples[number * len(samples) // limit] for number in range(limit)]


def with_markup(module: Any, markup: str | None) -> dict[str, str]:
    """Return the keyword that tells a data set's module the mark-up; none where nobody named one.

    Raises
    ------
    DataSetError : the data set has a mark-up of its own
    """
    if markup is None:
        return {}
    if "markup" not in signature(module.samples).parameters:
        own = module.card.markup or ", ".join(module.card.markups) or "none"
        raise DataSetError(f"{module.card.name} has its own mark-up, {own}; markup= is for the set 'folder'")
    return {"markup": markup}


def origin(text: str, stated: Origin | None = None) -> Origin:
    """Return the terms and the name of the faces that a data argument names.

    Parameters
    ----------
    stated : what the user says of data that say nothing of themselves
    """
    name, root, split = parse_data(text)
    module = registry.dataset(name)
    if isinstance(module, TellsOrigin):
        return module.origin(root, split, stated)
    return origin_of(module.card, split)


def splits_of(name: str) -> tuple[str, ...]:
    """The names of a data set's splits."""
    card = registry.card("datasets", name) or {"splits": registry.dataset(name).card.splits}
    return tuple(card.get("splits", ()))


__all__ = ["load_data", "origin", "parse_data", "splits_of", "thinned", "with_markup"]
