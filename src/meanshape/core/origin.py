"""Where weights come from: under which terms they may be used, and which faces they have learnt from.

Both are inherited: from data, from the weights that a training starts from, from teachers, from labels that
a model placed, and from the data of a calibration. The strictest terms bind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

NOT_STATED = "not stated"
UNKNOWN = "unknown"
"""In `learnt_from`: something that nobody has written down."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Terms and data of weights or of labels; by default nobody has said anything.

    Attributes
    ----------
    licence : the terms in a few words
    commercial_use : True only where somebody has said that commercial use is free
    terms : for each source its own words
    learnt_from : `NAME:SPLIT` of each data set, and "unknown" for what is not known
    chosen_by : the same of the faces that only chose among states of a training, or settings; they pass on no
        terms
    """

    licence: str = NOT_STATED
    commercial_use: bool = False
    terms: tuple[str, ...] = ()
    learnt_from: tuple[str, ...] = (UNKNOWN,)
    chosen_by: tuple[str, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Return what a card or a table of the same keys says; anything but `true` is no permission."""
        return cls(
            licence=str(values.get("licence", NOT_STATED)) or NOT_STATED,
            commercial_use=values.get("commercial_use") is True,
            terms=_texts(values.get("terms", ())),
            learnt_from=_texts(values.get("learnt_from", UNKNOWN)),
            chosen_by=_texts(values.get("chosen_by", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `read` reads."""
        return {
            "licence": self.licence,
            "commercial_use": self.commercial_use,
            "terms": list(self.terms),
            "learnt_from": list(self.learnt_from),
            "chosen_by": list(self.chosen_by),
        }


def joined(origins: Iterable[Origin]) -> Origin:
    """Return what comes of several sources: the strictest of their terms, and all of their data.

    Commercial use is free only if every source says so; the others are named. No source: nothing is said.
    """
    parts = list(origins)
    binding = [part for part in parts if not part.commercial_use] or parts
    if not parts:
        return Origin()
    return Origin(
        licence=_licences(part.licence for part in binding),
        commercial_use=all(part.commercial_use for part in parts),
        terms=tuple(dict.fromkeys(words for part in parts for words in part.terms)),
        learnt_from=tuple(dict.fromkeys(name for part in parts for name in part.learnt_from)),
        chosen_by=tuple(dict.fromkeys(name for part in parts for name in part.chosen_by)),
    )


def _licences(texts: Iterable[str]) -> str:
    """Return terms in a few words, each once: "research only (300-W, FER2013); …"."""
    found: dict[str, dict[str, None]] = {}
    for text in texts:
        for words in text.split("; "):
            terms, opened, whose = words.partition(" (")
            named = opened and whose.endswith(")")
            sources = found.setdefault(terms if named else words, {})
            sources.update(dict.fromkeys(whose[:-1].split(", ") if named else ()))
    return "; ".join(f"{terms} ({', '.join(whose)})" if whose else terms for terms, whose in found.items())


def _texts(value: Any) -> tuple[str, ...]:
    """Return one text, or several."""
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)
