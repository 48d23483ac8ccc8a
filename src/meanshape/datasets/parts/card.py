"""The card of a data set: the TOML file beside its reader, with what people and menus need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meanshape.core import resources, toml
from meanshape.core.errors import DataSetError
from meanshape.core.origin import NOT_STATED

FAMILIES = ("controlled", "wild", "own")
"""Taken in a laboratory, taken anywhere, or whatever the user has."""


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of a data set: where it lies, which split it belongs to, how many samples were published."""

    folder: str
    split: str
    count: int
    also: tuple[str, ...] = ()
    """Other places of the same folder in copies that are about."""


@dataclass(frozen=True, slots=True)
class DataSetCard:
    """What a data set is: mark-up, counts, terms, source."""

    name: str
    title: str
    markup: str | None
    family: str
    home: str
    licence: str
    """The terms as its publisher words them."""
    citation: str
    splits: Mapping[str, int]
    """Published number of samples per split; 0 where nothing is published (the user decides)."""
    terms: str = NOT_STATED
    """The terms in a few words, for the cards of weights that learn from it."""
    commercial_use: bool = False
    """Whether weights that learn from it may be used commercially; True only where its terms say so."""
    faults: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Names of the values of each attribute, as the files number them."""
    box: tuple[float, ...] | None = None
    """The canonical box as `Box.part` of the set's own; None without such boxes."""
    markups: tuple[str, ...] = ()
    """All mark-ups, of a set that has several."""
    unit: str = "faces"
    """What `splits` counts."""
    sources: tuple[str, ...] = ()
    """Where the layout on disk is known from, for sets that we have no copy of."""
    composed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Splits made of others, but for trainval (train and validation), full and all (everything)."""
    shared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Splits of other sets (`NAME:SPLIT`) that hold some of the same photos as a split of this one."""
    evaluation_only: bool = False
    """Whether nothing may learn from it."""
    extra: str | None = None
    """The optional part of the package that reading it needs."""

    def expected(self, split: str | None) -> int:
        """How many samples a split should have; 0 where nobody says, and for everything that is there."""
        return self.splits.get(split, 0) if split else 0

    def check_split(self, split: str | None) -> None:
        """Refuse a split that this data set does not have."""
        if split is not None and split not in self.splits:
            known = ", ".join(self.splits)
            raise DataSetError(f"{self.name} has no split {split!r}; it has {known}")


def load_card(module_file: str) -> DataSetCard:
    """Read the card beside a data set's module: `card = load_card(__file__)`."""
    path = resources.beside(module_file, f"{Path(module_file).stem}.toml")
    table = toml.parse(path.read_text("utf-8"))
    parts = tuple(Part(**{**part, "also": tuple(part.get("also", ()))}) for part in table.pop("parts", ()))
    faults, markups = tuple(table.pop("faults", ())), tuple(table.pop("markups", ()))
    sources = tuple(table.pop("sources", ()))
    markup = table.pop("markup", None) or None
    box = table.pop("box", None)
    return DataSetCard(
        name=path.stem,
        markup=markup,
        parts=parts,
        faults=faults,
        markups=markups,
        sources=sources,
        box=None if box is None else tuple(box),
        **table,
    )
