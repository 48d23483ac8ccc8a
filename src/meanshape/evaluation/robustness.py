"""How much worse a model gets when the picture or the box does: error against strength.

Every change is drawn anew for each face, but the same for every model: its random numbers depend on the
seed, the sample and the change alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core import metrics
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, ImageError, UnknownName
from meanshape.core.sample import Sample
from meanshape.evaluation.perturb import TABLE, Perturbation, View, scale_box, shift_box
from meanshape.evaluation.protocol import Progress, scoring_for
from meanshape.evaluation.schema import write_file
from meanshape.evaluation.scoring import Scoring
from meanshape.evaluation.starts import penalty_shape, true_view
from meanshape.evaluation.threads import limited
from meanshape.formats.cells import render_row
from meanshape.methods.base import LandmarkModel

CLEAN = "none"
Values = dict[tuple[str, float], list[float]]


@dataclass(frozen=True, slots=True)
class Robustness:
    """The errors of one model under one change: in percent of `norm`, over all faces and draws.

    `increase` is how much higher the mean is than without any change, in percent of that.
    """

    model: str
    perturbation: str
    level: float
    unit: str
    norm: str
    faces: int
    nme: float
    median: float
    p90: float
    increase: float


def robustness(
    model: LandmarkModel,
    samples: Sequence[Sample],
    perturbations: Iterable[str] | Mapping[str, Perturbation] | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    threads: int = 1,
    name: str | None = None,
    progress: Progress | None = None,
) -> list[Robustness]:
    """Measure a model under changes, starting from truth boxes.

    Parameters
    ----------
    perturbations : names from `perturb.TABLE`, a table of one's own, or None: all of them
    draws : how often each change is drawn for each face

    Returns
    -------
    a row without change, then one for each change and level; pictures that cannot be read are left out
    """
    table = _chosen(perturbations)
    known = [sample for sample in samples if sample.shape is not None]
    if not known or draws < 1:
        raise DataSetError("robustness needs samples with points, and at least one draw")
    scoring = scoring_for(model, known)
    penalty = penalty_shape(scoring.markup, known)
    values: Values = {}
    with limited(threads):
        for number, sample in enumerate(known, 1):
            try:
                pixels = sample.pixels()
            except ImageError:
                continue
            face = _Face.of(sample, pixels, scoring, penalty)
            _look(model, face, table, draws, seed, values)
            if progress is not None:
                progress(number / len(known), f"{number} of {len(known)} faces")
    return _rows(name or model.name, scoring.norm, table, values)


def robustness_boxes(
    model: LandmarkModel,
    samples: Sequence[Sample],
    shift: float = 0.1,
    scale: float = 0.1,
    seed: int = 0,
    draws: int = 3,
) -> float:
    """Return how much the NME grows, in percent of itself, when boxes are off.

    Each is moved by up to `shift` of its width and height and scaled by a factor of 1 - `scale` to
    1 + `scale`, all drawn evenly.
    """

    def change(view: View, level: float, rng: np.random.Generator) -> View:
        return scale_box(shift_box(view, shift, rng), scale, rng)

    table = {"boxes": Perturbation("boxes", "", (1.0,), change)}
    return robustness(model, samples, table, draws=draws, seed=seed)[-1].increase


def write_csv(path: str | Path, rows: Sequence[Robustness]) -> None:
    """Write rows as CSV; the file appears whole or not at all."""
    names = [field.name for field in fields(Robustness)]
    lines = [render_row(names), *(render_row([getattr(row, name) for name in names]) for row in rows)]
    write_file(path, "".join(lines))


@dataclass(frozen=True, slots=True)
class _Face:
    """One face before any change, and what its errors are held against."""

    id: str
    view: View
    length: float
    scoring: Scoring
    penalty: NDArray[np.float64]

    @classmethod
    def of(
        cls, sample: Sample, pixels: NDArray[np.uint8], scoring: Scoring, penalty: NDArray[np.float64]
    ) -> _Face:
        return cls(sample.id, *true_view(sample, pixels, scoring), scoring, penalty)

    def error(self, model: LandmarkModel, view: View) -> float:
        """Return the model's error on a view, in percent."""
        points = self.scoring.predicted(model.predict(view.pixels, view.box))
        if points is None:
            points = Box.whole(view.pixels.shape[1], view.pixels.shape[0]).absolute(self.penalty)
        errors = metrics.point_errors(points, view.points)
        return 100.0 * float(metrics.nme(errors[None], [self.length * view.zoom])[0])


def _look(
    model: LandmarkModel,
    face: _Face,
    table: Mapping[str, Perturbation],
    draws: int,
    seed: int,
    values: Values,
) -> None:
    """Add one face's errors under all changes."""
    values.setdefault((CLEAN, 0.0), []).append(face.error(model, face.view))
    for name, change in table.items():
        for level in change.levels:
            for draw in range(draws):
                which = f"{face.id} {name} {level:g}".encode("utf-8", "surrogatepass")
                rng = np.random.default_rng((seed, draw, zlib.crc32(which)))
                view = change.change(face.view, level, rng)
                values.setdefault((name, level), []).append(face.error(model, view))


def _rows(model: str, norm: str, table: Mapping[str, Perturbation], values: Values) -> list[Robustness]:
    """Sum up."""
    if not np.isfinite(values.get((CLEAN, 0.0), [])).any():
        raise DataSetError("no picture can be read, or none has the points that errors are divided by")
    rows: list[Robustness] = []
    for (name, level), errors in values.items():
        known = np.array(errors)[np.isfinite(errors)]
        mean = float(known.mean())
        rows.append(
            Robustness(
                model=model,
                perturbation=name,
                level=level,
                unit=table[name].unit if name in table else "",
                norm=norm,
                faces=len(values[CLEAN, 0.0]),
                nme=mean,
                median=float(np.median(known)),
                p90=float(np.quantile(known, 0.9)),
                increase=_increase(mean, rows[0].nme) if rows else 0.0,
            )
        )
    return rows


def _increase(value: float, clean: float) -> float:
    """Return how much higher a value is, in percent; NaN where there was no error to grow."""
    return 100.0 * (value / clean - 1.0) if clean > 0 else float("nan")


def _chosen(perturbations: Iterable[str] | Mapping[str, Perturbation] | None) -> Mapping[str, Perturbation]:
    """Return a table of changes."""
    if perturbations is None:
        return TABLE
    if isinstance(perturbations, Mapping):
        return perturbations
    chosen = {}
    for name in perturbations:
        if name not in TABLE:
            raise UnknownName.of("perturbation", name, TABLE)
        chosen[name] = TABLE[name]
    return chosen


__all__ = ["CLEAN", "Robustness", "robustness", "robustness_boxes", "write_csv"]
