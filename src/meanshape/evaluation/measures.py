"""An error for each point of each face, and the measures over them.

Measures are in percent; `norm` chooses the normaliser and is the evaluation's own unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import metrics
from meanshape.core.errors import ShapeError, UnknownName
from meanshape.core.markup import MarkUp
from meanshape.core.metrics import NORMALISERS, Normaliser
from meanshape.evaluation.labels import Labels
from meanshape.evaluation.reliability import reliability

Array = NDArray[np.float64]
POINT_FAILURE = 5.0
"""A point fails above this, in percent of the width of the truth box (Sun et al. 2013)."""


@dataclass(frozen=True, slots=True)
class About:
    """What was measured, on what, with what.

    `providers` are those of ONNX Runtime that the model ran on, the busiest first; none: it ran without.
    `bytes` is the size of the weights; `broken` names the samples whose picture could not be read, which
    were left out, and says why; `unknown_labels` counts by attribute the faces whose label is none of the
    model's, which its accuracy leaves out. `seen` says whether the model has learnt from these faces,
    `chosen` whether they chose among states of its training; None where no card says so.
    """

    model: str | None = None
    data: str | None = None
    split: str | None = None
    box: str = "truth"
    detector: str | None = None
    threads: int = 1
    providers: tuple[str, ...] = ()
    bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    unknown_labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen: bool | None = None
    chosen: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """The errors of one model on one set of faces.

    Attributes
    ----------
    ids : the N sample ids
    errors : (N, K) pixels, NaN where a point is not annotated (or not answered by design)
    normalisers : by name (N,) pixels, NaN where the truth has no such pair
    markup : the mark-up of the K points
    norm : the normaliser of all that does not name one
    missed : (N,) bool, faces that were not found and are scored with the mean shape in the whole picture
    seconds : (N,) that predict took, NaN where it was not asked
    labels, answers : by attribute N true and N answered labels, None where there is none
    groupings : by name the group of each face, of those that were asked for; None where nobody said
    confidence : (N, K) in 0..1, NaN where the model gave none; None: it never does
    """

    ids: tuple[str, ...]
    errors: Array
    normalisers: Mapping[Normaliser, Array]
    markup: MarkUp
    norm: Normaliser
    missed: NDArray[np.bool_]
    seconds: Array
    labels: Labels = field(default_factory=dict)
    answers: Labels = field(default_factory=dict)
    groupings: Labels = field(default_factory=dict)
    confidence: Array | None = None
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        """Check that everything speaks of the same faces and points."""
        count = len(self.ids)
        if self.errors.shape != (count, len(self.markup)):
            raise ShapeError(
                f"{count} faces of {self.markup.name} have errors ({count}, {len(self.markup)}), "
                f"not {self.errors.shape}"
            )
        columns: list[Sized] = [self.missed, self.seconds, *self.normalisers.values()]
        columns += [*self.labels.values(), *self.answers.values(), *self.groupings.values()]
        if any(len(column) != count for column in columns):
            raise ShapeError(f"an evaluation of {count} faces needs {count} of everything")

    def __len__(self) -> int:
        """Return N, the number of faces."""
        return len(self.ids)

    def lengths(self, norm: str | None = None) -> Array:
        """Return the normaliser (N,) in pixels, NaN where the truth has none; or raise `UnknownName`."""
        name = self.norm if norm is None else norm
        if name not in NORMALISERS:
            raise UnknownName.of("normaliser", name, NORMALISERS)
        return self.normalisers.get(name, np.full(len(self), np.nan))

    def per_face(self, norm: str | None = None, points: Sequence[int] | None = None) -> Array:
        """Return the mean error (N,) of each face's points, or of some of them."""
        errors = self.errors if points is None else self.errors[:, list(points)]
        return 100.0 * metrics.nme(errors, self.lengths(norm))

    def nme(self, norm: str | None = None) -> float:
        """Return the normalised mean error: the mean over faces; NaN without points."""
        return _mean(self.per_face(norm))

    def median(self, norm: str | None = None) -> float:
        """Return the error that half of the faces stay under."""
        values = _known(self.per_face(norm))
        return float(np.median(values)) if len(values) else float("nan")

    def interval(
        self, norm: str | None = None, level: float = 0.95, seed: int = 0
    ) -> tuple[float, float] | None:
        """Return the bootstrap interval of the NME over faces, None without points."""
        values = _known(self.per_face(norm))
        return metrics.bootstrap_interval(values, level, seed=seed) if len(values) else None

    def ced(self, thresholds: ArrayLike, norm: str | None = None) -> Array:
        """Return how many percent (T,) of the faces have at most the error of each threshold (T,)."""
        values = _known(self.per_face(norm))
        limits = np.asarray(thresholds, np.float64)
        return 100.0 * metrics.ced(values, limits) if len(values) else np.full(limits.shape, np.nan)

    def auc(self, threshold: float = 8.0, norm: str | None = None) -> float:
        """Return the area under the CED up to the threshold, in percent of it."""
        values = _known(self.per_face(norm))
        return 100.0 * metrics.auc(values, threshold) if len(values) else float("nan")

    def failure_rate(self, threshold: float = 8.0, norm: str | None = None) -> float:
        """Return the percentage of faces above the threshold."""
        values = _known(self.per_face(norm))
        return 100.0 * metrics.failure_rate(values, threshold) if len(values) else float("nan")

    def points(self, norm: str | None = None) -> dict[str, float]:
        """Return the error of each point by its name."""
        return {name: _mean(self.per_face(norm, [i])) for i, name in enumerate(self.markup.points)}

    def groups(self, norm: str | None = None) -> dict[str, float]:
        """Return the error of each group of points by its name."""
        return {name: _mean(self.per_face(norm, some)) for name, some in self.markup.groups.items()}

    def point_failure(self, threshold: float = POINT_FAILURE) -> dict[str, float]:
        """Return by point the percentage of faces on which it is off by more than this, of the box width."""
        shares = 100.0 * self.errors / self.lengths("box_width")[:, None]
        known = np.isfinite(shares)
        return {
            name: float(100.0 * (shares[known[:, i], i] > threshold).mean()) if known[:, i].any() else np.nan
            for i, name in enumerate(self.markup.points)
        }

    def by(self, attribute: str, norm: str | None = None) -> dict[str, float]:
        """Return the NME of the faces of each label of an attribute."""
        truth, values = self.labels.get(attribute, ()), self.per_face(norm)
        found = sorted({label for label in truth if label is not None})
        return {label: _mean(values[[other == label for other in truth]]) for label in found}

    def milliseconds(self) -> float:
        """Return the median time of one prediction."""
        known = _known(self.seconds)
        return 1000.0 * float(np.median(known)) if len(known) else float("nan")

    def reliability(self) -> dict[str, Any] | None:
        """Return how far the model's confidence can be trusted, None where it gives none."""
        if self.confidence is None:
            return None
        return reliability(self.confidence, 100.0 * self.errors / self.lengths()[:, None]) or None


def _known(values: Array) -> Array:
    """Return the values that are numbers."""
    return values[np.isfinite(values)]


def _mean(values: Array) -> float:
    """Return the mean of the values that are numbers; NaN where there is none."""
    known = _known(values)
    return float(known.mean()) if len(known) else float("nan")
