"""What every data set's module does with its `survey`: hand out the samples, verify a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from meanshape.core.origin import Origin
from meanshape.core.sample import EVALUATION_ONLY, Sample
from meanshape.datasets.parts.card import DataSetCard
from meanshape.datasets.parts.check import Problem, check
from meanshape.datasets.parts.held_out import without_excluded
from meanshape.datasets.parts.survey import Survey


class Surveyor(Protocol):
    """Looks for a split (None: everything that is there) and says what is missing."""

    def __call__(self, root: str | Path, split: str | None = None) -> Survey:
        """Return what is at the root."""


@runtime_checkable
class HasSurvey(Protocol):
    """A data set's module that says what is there; those that are made up do not."""

    survey: Callable[..., Survey]


@runtime_checkable
class TellsOrigin(Protocol):
    """A data set's module whose faces are not the same for everybody."""

    def origin(self, root: str, split: str | None, stated: Origin | None) -> Origin:
        """Return the terms and the name of the faces at a root."""


class Samples(Protocol):
    """A data set's `samples`."""

    def __call__(
        self, root: str | Path, split: str | None = None, *, allow_missing: bool = False
    ) -> list[Sample]:
        """Return the samples of a split."""


class Verify(Protocol):
    """A data set's `verify`."""

    def __call__(self, root: str | Path) -> list[Problem]:
        """Return what is wrong with the copy at the root."""


def reader(card: DataSetCard, survey: Surveyor) -> tuple[Samples, Verify]:
    """Make a module's two functions of its survey: `samples, verify = reader(card, survey)`."""

    def samples(root: str | Path, split: str | None = None, *, allow_missing: bool = False) -> list[Sample]:
        """Read a split (None: everything that is there), without what an `exclude.txt` names."""
        found = without_excluded(survey(root, split), root, split).samples(card.name, split, allow_missing)
        return [_for_evaluation(sample) for sample in found] if card.evaluation_only else found

    def verify(root: str | Path) -> list[Problem]:
        """What is wrong with the copy at `root`."""
        return check(card, survey, root)

    return samples, verify


def _for_evaluation(sample: Sample) -> Sample:
    """Return the sample with the mark that `LandmarkModel.fit` refuses."""
    return replace(sample, attributes={**sample.attributes, EVALUATION_ONLY: True})
