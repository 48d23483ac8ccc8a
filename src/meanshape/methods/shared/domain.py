"""How much a confidence falls where a face is unlike those that it was learnt from, or is none.

What the points alone tell is learnt from upright, plain faces. Beside it stands a *doubt* (N, K): the
logarithm of the error to be expected of each point. Methods whose network votes know it from the spread of
their votes; for all others a small network looks at the face that the points cut out (`AlignmentCheck`): eyes
that are not where the points say, or an upside-down mouth. Only doubt beyond that of most plain faces counts,
and plain faces stay as sure as they were on average. The same network says how likely the patch is to show a
face at all: by that probability the confidence is multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError
from meanshape.core.geometry import procrustes, similarity
from meanshape.core.image import Pixels, warp

Float = NDArray[np.float64]

SIDE = 24
"""Pixels of the patch that is looked at."""
FRAME = 1.3
"""Side of the patch, in sides of the mean shape's square."""
FLAT = 6.0
"""Grey levels added to a patch's deviation, so that noise on a plain wall does not look like a face."""
HIDDEN = 48
DECAY, ROUNDS = 1e-3, 300
LEAST, MOST = 0.5, 60.0
"""Errors in percent between which the check is taught to tell them apart."""
PLAIN = 0.8
"""Share of the points of plain faces whose doubt does not count."""


MOST_GAIN = 3.0
"""Log odds that points without doubt may win at most."""
FACE_WEIGHT = 1.5
"""Weight of the loss on the face beside the squared errors."""
NEAR = 15.0
"""A patch shows a face if the points that cut it out are off by less than this, in percent, on average."""


@dataclass(frozen=True, eq=False, slots=True)
class Doubt:
    """What is known of N faces beside their points.

    Attributes
    ----------
    points : (N, K) the logarithm of the error to be expected of each point
    face : (N,) log odds that there is a face where the points are; infinite where nothing asks
    """

    points: Float
    face: Float

    @classmethod
    def of_points(cls, points: Float) -> Self:
        """Return one that takes it for granted that there are faces."""
        return cls(points, np.full(len(points), np.inf))


@dataclass(frozen=True, eq=False, slots=True)
class AlignmentCheck:
    """A network of one hidden layer that sees the patch that points cut out.

    It says how far the points are off, and whether the patch shows a face.

    Attributes
    ----------
    frame : (K, 2) the mean shape in pixels of the patch
    inner, inner_bias : (SIDE², H), (H,)
    outer, outer_bias : (H, K + 1), (K + 1,), the last for the face; K in older files, that ask for none
    """

    frame: Float
    inner: Float
    inner_bias: Float
    outer: Float
    outer_bias: Float

    def __call__(self, images: Sequence[Pixels], points: Float) -> Doubt:
        """Return the doubt about points (N, K, 2) in N pictures; NaN where points have no size."""
        return self.of_patches(patches(self.frame, images, points))

    def of_patches(self, seen: Float) -> Doubt:
        """Return the doubt about patches (N, SIDE²)."""
        said = np.maximum(seen @ self.inner + self.inner_bias, 0) @ self.outer + self.outer_bias
        count = len(self.frame)
        return Doubt(said[:, :count], said[:, count]) if said.shape[1] > count else Doubt.of_points(said)

    @classmethod
    def fit(cls, frame: Float, seen: Float, errors: Float, nobody: NDArray[np.bool_], seed: int = 0) -> Self:
        """Learn from patches (M, SIDE²) and the errors (M, K) in percent of the points that cut them out.

        Least squares on the logarithm of the error and a logistic loss on the face, by L-BFGS. NaN errors
        teach nothing. `nobody` (M,) are patches without a face; faces whose points are far off are neither.
        """
        from scipy.optimize import minimize
        from scipy.special import expit

        known = np.isfinite(errors) & np.isfinite(seen).all(1, keepdims=True)
        if known.sum() < 2 * len(frame):
            raise DataSetError("a check of the alignment needs faces with known points")
        inputs, rows = np.nan_to_num(seen), np.where(known, np.log(np.clip(errors, LEAST, MOST)), 0.0)
        counts = known / known.sum()
        off = (rows * counts).sum(1) / np.maximum(counts.sum(1), 1e-12)
        usable = known.any(1)
        faces, empty = usable & ~nobody & (off < np.log(NEAR)), usable & nobody
        shares = FACE_WEIGHT * (faces / max(1, faces.sum()) + empty / max(1, empty.sum()))
        wide, high, count = inputs.shape[1], HIDDEN, len(frame) + 1
        parts = [wide * high, high, high * count, count]
        rng = np.random.default_rng(seed)
        mean = np.append((rows * counts).sum(0) / np.maximum(counts.sum(0), 1e-12), 0.0)
        start = [rng.normal(0, wide**-0.5, parts[0]), np.zeros(high), rng.normal(0, 0.1, parts[2]), mean]

        def split(values: Float) -> list[Float]:
            one, two, three, four = np.split(values, np.cumsum(parts)[:-1])
            return [one.reshape(wide, high), two, three.reshape(high, count), four]

        def loss(values: Float) -> tuple[float, Float]:
            inner, inner_bias, outer, outer_bias = split(values)
            before = inputs @ inner + inner_bias
            hidden = np.maximum(before, 0)
            said = hidden @ outer + outer_bias
            wrong, face = said[:, :-1] - rows, said[:, -1]
            pull = DECAY * (np.sum(inner**2) + np.sum(outer**2))
            value = np.sum(counts * wrong**2) + np.sum(shares * (np.logaddexp(0, face) - faces * face)) + pull
            slope = np.column_stack([2 * counts * wrong, shares * (expit(face) - faces)])
            back = (slope @ outer.T) * (before > 0)
            slopes = [
                inputs.T @ back + 2 * DECAY * inner,
                back.sum(0),
                hidden.T @ slope + 2 * DECAY * outer,
                slope.sum(0),
            ]
            return float(value), np.concatenate([part.ravel() for part in slopes])

        best = minimize(
            loss, np.concatenate(start), jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}
        ).x
        return cls(frame, *split(best))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps: half precision is more than the doubt is worth."""
        return {field.name: getattr(self, field.name).astype(np.float16) for field in fields(self)}


@dataclass(frozen=True, eq=False, slots=True)
class Domain:
    """How doubt changes the log odds of a confidence.

    Attributes
    ----------
    slopes : (2,) at most 0: for a point's own doubt, and for the mean of its face
    low, high : (2,) doubt below `low` costs nothing, above `high` no more than there
    gain : (1,) at least 0, what points below `low` win, so that plain faces are as sure as before on average
    check : what makes the doubt; None: the spread of the method's votes
    """

    slopes: Float
    low: Float
    high: Float
    gain: Float
    check: AlignmentCheck | None = None

    def __call__(self, doubt: Float) -> Float:
        """Return what a doubt (N, K) adds to the log odds (N, K): the more doubt, the less."""
        change: Float = (np.clip(both(doubt), self.low, self.high) - self.low) @ self.slopes + self.gain
        return change

    @classmethod
    def none(cls, check: AlignmentCheck | None = None) -> Self:
        """Return one that changes nothing, whose check can be asked."""
        return cls(np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(1), check)

    @classmethod
    def fit(
        cls, doubt: Doubt, odds: Float, right: Float, plain: NDArray[np.bool_],
        check: AlignmentCheck | None = None,
    ) -> Self:  # fmt: skip
        """Learn from the doubt, the points' log odds without it and which are right: (N, K) 1 or 0.

        `plain` (N,) are the faces like those that the log odds were learnt from.
        """
        from scipy.optimize import brentq, minimize
        from scipy.special import expit

        about = doubt.points
        known = np.isfinite(right) & np.isfinite(odds) & np.isfinite(about)
        signals = both(np.where(np.isfinite(about), about, np.nanmax(about)))
        low = np.quantile(signals[known & plain[:, None]], PLAIN, axis=0)
        high = np.maximum(signals[known].max(0), low)
        beyond, start, good = np.clip(signals, low, high)[known] - low, odds[known], right[known]
        face = np.broadcast_to(expit(doubt.face)[:, None], known.shape)[known]

        def loss(slopes: Float) -> tuple[float, Float]:
            there = np.clip(expit(start + beyond @ slopes), 1e-9, 1 - 1e-9)  # right, if there is a face
            said = np.clip(face * there, 1e-9, 1 - 1e-9)
            wrong = (said - good) * (1 - there) / (1 - said)
            told = -np.mean(np.where(good > 0, np.log(said), np.log1p(-said)))
            return float(told), wrong @ beyond / len(good)

        slopes = minimize(loss, [-0.5, -0.5], jac=True, method="L-BFGS-B", bounds=[(None, 0)] * 2).x
        here = np.broadcast_to(plain[:, None], known.shape)[known]
        before, less, there = start[here], (beyond @ slopes)[here], face[here]

        def lost(gain: float) -> float:
            return float(np.mean(expit(before) - there * expit(before + less + gain)))

        gain = 0.0 if lost(0) <= 0 else MOST_GAIN if lost(MOST_GAIN) > 0 else brentq(lost, 0, MOST_GAIN)
        return cls(slopes, low, high, np.array([gain]), check)

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return what a file keeps, in groups."""
        own = {name: getattr(self, name).astype(np.float32) for name in ("slopes", "low", "high", "gain")}
        return {"domain": own} | ({} if self.check is None else {"check": self.check.arrays()})

    @classmethod
    def from_arrays(cls, groups: Mapping[str, Mapping[str, NDArray[Any]]], count: int) -> Self | None:
        """Return what `arrays` gave, for `count` points; None: there was none.

        Raises `KeyError`, `TypeError` or `ValueError` for anything else.
        """
        if "domain" not in groups:
            return None
        own = {name: value.astype(np.float64) for name, value in groups["domain"].items()}
        check = None
        if "check" in groups:
            check = AlignmentCheck(**{k: v.astype(np.float64) for k, v in groups["check"].items()})
            high = len(check.inner_bias)
            wide = count + 1 if check.outer_bias.shape == (count + 1,) else count
            shapes = {"frame": (count, 2), "inner": (SIDE**2, high), "inner_bias": (high,),
                      "outer": (high, wide), "outer_bias": (wide,)}  # fmt: skip
            if any(getattr(check, name).shape != shape for name, shape in shapes.items()):
                raise ValueError("a check of other points")
            if not np.ptp(check.frame, axis=0).any():
                raise ValueError("the points of check.frame fall together")
        made = cls(**own, check=check)
        if not made.slopes.shape == made.low.shape == made.high.shape == (2,) or made.gain.shape != (1,):
            raise ValueError("a domain of other signals")
        return made


def both(doubt: Float) -> Float:
    """Return each point's doubt and the mean of its face: (N, K, 2)."""
    signals: Float = np.stack([doubt, np.broadcast_to(doubt.mean(1, keepdims=True), doubt.shape)], -1)
    return signals


def patch_frame(shapes: Float) -> Float:
    """Return the mean of shapes (N, K, 2) in pixels of the patch."""
    mean, _ = procrustes(shapes)
    low, high = mean.min(0), mean.max(0)
    frame: Float = (mean - (low + high) / 2) / ((high - low).max() * FRAME) * SIDE + (SIDE - 1) / 2
    return frame


def patches(frame: Float, images: Sequence[Pixels], points: Float) -> Float:
    """Return the grey patches (N, SIDE²) that points (N, K, 2) cut out, brought to the frame; of mean 0 and
    deviation about 1. NaN where points have no size.
    """
    found = np.full((len(points), SIDE**2), np.nan)
    for row, image, shape in zip(found, images, points, strict=True):
        if not np.isfinite(shape).all() or np.ptp(shape, axis=0).max() < 1e-3:
            continue
        grey = warp(image, similarity(shape, frame), (SIDE, SIDE)).astype(np.float64).mean(2).ravel()
        row[:] = (grey - grey.mean()) / (grey.std() + FLAT)
    return found


__all__ = ["AlignmentCheck", "Domain", "Doubt", "patch_frame", "patches"]
