"""How sure a method may be of each of its points, for any method alike.

The confidence of a point is the probability that it lies within 5 % of the distance between the eyes (the
length that errors go by) of where an annotator puts it. A logistic regression says so, learnt for each model
from faces that it had not seen, of what is known when the points are placed:

residual       how far the point is from the nearest shape that faces have (a few modes of a shape model)
residual_face  the mean of that over the face
unlikely       how far that nearest shape is from the mean shape, in deviations per mode
step           how far the method's last stage has moved the point, for methods that have stages
step_face      the mean of that over the face

Lengths are logarithms, in the frame of the shape model. More of any of them never makes a point surer. Beside
them each point has a constant, for some points are hard on every face; a point and its mirror image share it.

That is learnt from plain faces. `domain` lowers it where a face is unlike them, or is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError, WeightsError
from meanshape.core.image import Pixels
from meanshape.core.markup import MarkUp
from meanshape.core.weights import Files
from meanshape.methods.shared import arrays
from meanshape.methods.shared.domain import Domain, Doubt
from meanshape.methods.shared.shape_model import ShapeModel

Float = NDArray[np.float64]

FILE = "confidence.npz"
WITHIN = 5.0
"""A point is right if it is off by at most this, in percent of the length that errors go by."""
SIGNALS = ("residual", "residual_face", "unlikely", "step", "step_face")
MODES = 5
"""Of the shape model; more were no better. Of five points there are four, which leaves a residual."""
SMALL = 1e-3
"""Added to lengths before their logarithm: a thousandth of the frame is no distance."""
PULL = 1.0
"""How strongly the points' constants are drawn together, in faces."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What a method found of N faces.

    Attributes
    ----------
    stages : (N, S, K, 2) the points after each stage
    spread : (N, K) how far the votes for each point lay apart, in the same pixels; None: it does not vote
    """

    stages: Float
    spread: Float | None = None

    @property
    def points(self) -> Float:
        """The points (N, K, 2) that are answered."""
        return self.stages[:, -1]

    @property
    def before(self) -> Float | None:
        """The points (N, K, 2) a stage earlier; None: there was none."""
        return self.stages[:, -2] if self.stages.shape[1] > 1 else None


@dataclass(frozen=True, eq=False)
class Confidence:
    """What a model's folder keeps of it.

    Attributes
    ----------
    shapes : the shapes that faces have
    slopes : (F,) at most 0, for each of the first F signals: 3 where the method has no stages, else 5
    low, high : (F,) between which the signals lay when it was learnt; beyond they count as these
    base : (K,) what each point starts from, as log odds
    domain : how it falls beyond plain faces; None: it does not
    """

    shapes: ShapeModel
    slopes: Float
    low: Float
    high: Float
    base: Float
    domain: Domain | None = None

    @property
    def staged(self) -> bool:
        """Tell whether it wants to know where the points were a stage before."""
        return len(self.slopes) == len(SIGNALS)

    def __call__(self, found: Found, images: Sequence[Pixels]) -> Float | None:
        """Return the confidence (N, K) of what was found in N pictures; 0 where a point is NaN.

        None where the method was not asked for all that this needs to know.
        """
        if self.staged and found.before is None:
            return None
        odds = self.odds(found.points, found.before)
        if self.domain is not None:
            doubt = self.doubt(found, images)
            if doubt is None:
                return None
            return _chance(odds + self.domain(doubt.points), doubt.face[:, None])
        return _chance(odds)

    def of_points(self, points: Float, before: Float | None = None) -> Float:
        """Return the confidence (N, K) of points (N, K, 2) of plain faces; `before`: a stage earlier."""
        return _chance(self.odds(points, before))

    def doubt(self, found: Found, images: Sequence[Pixels]) -> Doubt | None:
        """Return the doubt of the domain's kind about what was found; None: the method has none."""
        if self.domain is not None and self.domain.check is not None:
            return self.domain.check(images, found.points)
        return None if found.spread is None else Doubt.of_points(votes_doubt(self.shapes, found))

    def odds(self, points: Float, before: Float | None) -> Float:
        """Return the log odds (N, K) of points (N, K, 2), as of plain faces; `before`: a stage earlier."""
        found = signals(self.shapes, points, before if self.staged else None)
        odds: Float = np.clip(found, self.low, self.high) @ self.slopes + self.base
        return odds

    @classmethod
    def fit(cls, kind: MarkUp, shapes: ShapeModel, points: Float, before: Float | None, right: Float) -> Self:
        """Learn from points (N, K, 2), and which are right: (N, K) 1 or 0, NaN where nobody knows."""
        known = np.isfinite(right)
        if not known.any() or np.ptp(right[known]) == 0:
            raise DataSetError("a confidence is learnt from points of which some are right and some are not")
        found = signals(shapes, points, before)
        mirror = np.array(kind.mirror if kind.sides else range(len(kind)))
        tied = np.minimum(np.arange(len(kind)), mirror)  # one constant for a point and its mirror image
        which = np.broadcast_to(tied, right.shape)[known]
        slopes, base = _regress(found[known], right[known], which, len(kind))
        return cls(shapes, slopes, found[known].min(0), found[known].max(0), base[tied])

    def tuned(self, points: Float, before: Float | None, right: Float) -> Self:
        """Return it with all log odds scaled and shifted to suit other faces; arguments as of `fit`."""
        from scipy.optimize import minimize

        known = np.isfinite(right)
        odds, good = self.odds(points, before)[known], right[known]

        def loss(values: Float) -> float:
            said = values[0] * odds + values[1]
            return float(np.mean(np.logaddexp(0, said) - good * said))

        scale, shift = minimize(loss, (1.0, 0.0), method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
        return replace(self, slopes=scale * self.slopes, base=scale * self.base + shift)

    def save(self, folder: Path) -> None:
        """Write it into a model's folder."""
        own = {"slopes": self.slopes, "low": self.low, "high": self.high, "base": self.base}
        small = {name: value.astype(np.float32) for name, value in own.items()}
        beyond = {} if self.domain is None else self.domain.arrays()
        arrays.save(folder / FILE, {"shapes": self.shapes.arrays(), "regression": small} | beyond)

    @classmethod
    def load(cls, folder: Files, kind: MarkUp) -> Self:
        """Read what `save` wrote."""
        groups = arrays.load(folder / FILE)
        try:
            own = {name: value.astype(np.float64) for name, value in groups["regression"].items()}
            domain = Domain.from_arrays(groups, len(kind))
            made = cls(ShapeModel.from_arrays(groups["shapes"]), **own, domain=domain)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{folder / FILE}: not a confidence ({error})") from error
        count = len(made.slopes)
        if made.shapes.mean.shape != (len(kind), 2) or made.base.shape != (len(kind),):
            raise WeightsError(f"{folder / FILE}: this is the confidence of other points than {kind.name}")
        if count not in (3, len(SIGNALS)) or not made.low.shape == made.high.shape == (count,):
            raise WeightsError(f"{folder / FILE}: {count} slopes do not fit")
        return made


@np.errstate(all="ignore")  # points that fall together have no size; NaN then, and no confidence
def signals(shapes: ShapeModel, points: Float, before: Float | None = None) -> Float:
    """Return what is known of points (N, K, 2): (N, K, 5), or (N, K, 3) without the stage before."""
    mean, count = _complex(shapes.mean), len(shapes)
    flat = _complex(points)  # x + iy: a similarity is a product and a sum
    centred = flat - flat.sum(1, keepdims=True) / count
    turn = (centred @ mean.conj() / np.vdot(mean, mean).real)[:, None]
    away = (centred / turn - mean).view(np.float64)
    weights = away @ shapes.modes.T
    found = np.empty((*flat.shape, 3 if before is None else len(SIGNALS)))
    found[..., 0] = np.abs((away - weights @ shapes.modes).view(np.complex128))
    found[..., 2] = np.sqrt(weights**2 @ (1 / shapes.variances) / len(shapes.variances))[:, None]
    if before is not None:
        found[..., 3] = np.abs((flat - _complex(before)) / turn)
    found[..., 1::3] = found[..., ::3].sum(1, keepdims=True) / count
    return np.log(found + SMALL)


@np.errstate(all="ignore")  # as above
def votes_doubt(shapes: ShapeModel, found: Found) -> Float:
    """Return the doubt (N, K): the logarithm of the spread of the votes, in the frame of the shape model."""
    assert found.spread is not None
    mean, flat = _complex(shapes.mean), _complex(found.points)
    centred = flat - flat.mean(1, keepdims=True)
    size = np.abs(centred @ mean.conj() / np.vdot(mean, mean).real)
    return np.asarray(np.log(found.spread / size[:, None] + SMALL))


@np.errstate(over="ignore")  # of very low odds
def _chance(odds: Float, face: Float | float = np.inf) -> Float:
    """Return the probability that both come true, with three digits, which is more than it is worth; of NaN
    it is 0.
    """
    both: Float = np.fmax(np.rint(1000 / ((1 + np.exp(-odds)) * (1 + np.exp(-face)))) / 1000, 0)
    return both


def _complex(points: Float) -> NDArray[np.complex128]:
    """Return points (..., 2) as x + iy."""
    seen: NDArray[np.complex128] = np.ascontiguousarray(points, np.float64).view(np.complex128)[..., 0]
    return seen


def shape_model(shapes: Float, kind: MarkUp) -> ShapeModel:
    """Return the model of shapes (N, K, 2) and their mirror images."""
    if kind.sides:
        shapes = np.concatenate([shapes, shapes[:, list(kind.mirror)] * (-1, 1)])
    return ShapeModel.train(shapes, modes=min(MODES, max(1, 2 * len(kind) - 6)))


def _regress(found: Float, right: Float, which: NDArray[np.intp], kinds: int) -> tuple[Float, Float]:
    """Return slopes (F,) <= 0 and constants by number, of signals (M, F) of M points of those numbers."""
    from scipy.optimize import minimize
    from scipy.special import expit

    count = found.shape[1]
    middle = found.mean(0)

    def loss(values: Float) -> tuple[float, Float]:
        slopes, common, own = values[:count], values[count], values[count + 1 :]
        odds = (found - middle) @ slopes + common + own[which]
        wrong = expit(odds) - right
        told = np.logaddexp(0, odds) - right * odds
        slope = np.r_[wrong @ (found - middle), wrong.sum(), np.bincount(which, wrong, kinds) + PULL * own]
        return float(told.sum() + PULL / 2 * own @ own) / len(right), slope / len(right)

    bounds = [(None, 0.0)] * count + [(None, None)] * (1 + kinds)
    best = minimize(loss, np.zeros(count + 1 + kinds), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes: Float = best[:count]
    return slopes, np.asarray(best[count] - middle @ slopes + best[count + 1 :])
