"""What an evaluation found: the measures, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meanshape.evaluation.compare import Comparison, compare
from meanshape.evaluation.measures import About, Measures
from meanshape.evaluation.schema import evaluation_to_dict
from meanshape.evaluation.slices import Slice, slices


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation(Measures):
    """The errors of one model on one set of faces; see `Measures` for what it holds."""

    def slices(self, name: str) -> dict[str, Slice]:
        """Return faces, NME, interval and accuracy of each group that `evaluate(by=…)` made."""
        return slices(self, name)

    def compare(self, other: Measures) -> Comparison:
        """Compare with another evaluation, face by face."""
        return compare(self, other)

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation in the one schema, ready for JSON."""
        return evaluation_to_dict(self)


__all__ = ["About", "Evaluation"]
