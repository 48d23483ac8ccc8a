"""Exemplars laid on a picture, scored by what the local detectors answer, and what the best of them vote.

A point is a complex number x + iy and a similarity is z -> a z + b: two points of an exemplar and the places
where they are to come to lie give one by a division.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Complex = NDArray[np.complex128]
Complex64 = NDArray[np.complex64]
Index = NDArray[np.int64]

SCALES, TURN = (0.6, 1.6), np.deg2rad(45)
"""Bounds of a similarity between exemplar and face, both in their boxes."""
IMPOSSIBLE = -1e4
"""Score of a hypothesis beyond them."""
CHUNK = 256
"""Hypotheses that are scored at once."""


@dataclass(frozen=True)
class Evidence:
    """What the detectors of one level answer: log probabilities on a lattice of places for each point."""

    logs: Float32  # (K, P + 2, P + 2), with a rim for all that is farther away
    corner: Complex  # (K,), where the first place of the rim lies
    step: float

    @classmethod
    def of(cls, odds: Float, centres: Complex, step: float, blur: float, floor: float) -> Self:
        """Return the evidence of log odds (K, S) at S = P x P places, `step` apart, about each centre.

        The probabilities of a point's places add up to 1; they are smoothed by a Gaussian of `blur`, and to
        each comes its share of `floor`.
        """
        import cv2

        side = round(np.sqrt(odds.shape[1]))
        found = probabilities(odds.astype(np.float32)).reshape(-1, side, side)
        wide = np.pad(found, ((0, 0), (1, 1), (1, 1)))
        edge = cv2.BORDER_CONSTANT
        if blur:
            wide = np.stack([cv2.GaussianBlur(p, (0, 0), blur / step, borderType=edge) for p in wide])
        logs = np.log(wide + np.float32(floor / side**2) + np.float32(1e-12))
        return cls(logs, centres - (1 + 1j) * (side + 1) / 2 * step, step)

    def modes(self) -> Complex:
        """Return the likeliest place (K,) of each point."""
        count, side, _ = self.logs.shape
        y, x = np.divmod(self.logs.reshape(count, -1).argmax(1), side)
        found: Complex = self.corner + self.step * (x + 1j * y)
        return found

    def score(self, shapes: Complex64, scale: Complex, shift: Complex) -> Float:
        """Return the sums (H,) of log probabilities of shapes (H, K), placed by similarities (H,)."""
        count, side, _ = self.logs.shape
        factor = (scale / self.step).astype(np.complex64)[:, None]
        moved = ((shift[:, None] - self.corner) / self.step + (0.5 + 0.5j)).astype(np.complex64)
        logs, point = self.logs.ravel(), np.arange(count, dtype=np.int32) * side**2
        found = np.empty(len(shapes))
        for first in range(0, len(shapes), CHUNK):  # what fits into a processor's cache is much quicker
            rows = slice(first, first + CHUNK)
            z = shapes[rows] * factor[rows] + moved[rows]
            cells = np.clip(z.view(np.float32), 0, side - 1).astype(np.int32).reshape(*z.shape, 2)
            at = cells[..., 1] * np.int32(side) + cells[..., 0] + point
            found[rows] = logs.take(at).sum(1, dtype=np.float64)
        return found


@dataclass(frozen=True)
class Draws:
    """Hypotheses before there is a picture: which exemplar (H,), and which two of its points."""

    exemplar: Index
    first: Index
    second: Index

    @classmethod
    def make(cls, shapes: Complex, count: int) -> Self:
        """Draw `count`, always the same; both points lie farther apart than half of all pairs, on average."""
        mean = shapes.mean(0)
        apart = np.abs(mean[:, None] - mean)
        pairs = np.argwhere((apart >= np.median(apart)) & ~np.eye(len(mean), dtype=bool))
        rng = np.random.default_rng(0)
        exemplar = rng.integers(len(shapes), size=count)
        return cls(exemplar, *pairs[rng.integers(len(pairs), size=count)].T)

    def place(self, shapes: Complex, modes: Complex) -> tuple[Complex, Complex]:
        """Return the similarities that take both points of each exemplar to their modes."""
        a, b = shapes[self.exemplar, self.first], shapes[self.exemplar, self.second]
        apart = np.where(np.abs(a - b) > 1e-6, a - b, 1e-6)
        scale = (modes[self.first] - modes[self.second]) / apart
        return scale, modes[self.first] - scale * a


def lay(centred: Complex64, squares: Float, target: Complex) -> tuple[Complex, Complex]:
    """Return the similarities that take each exemplar (E, K) nearest to a shape (K,), by least squares.

    `centred` exemplars have the mean 0; `squares` are the sums (E,) of their squared lengths.
    """
    middle = target.mean()
    scale: Complex = (centred @ (target - middle).conj().astype(np.complex64)).conj() / squares
    return scale, np.full(len(centred), middle)


def vote(places: Complex, scores: Float, temperature: float) -> tuple[Complex, Float]:
    """Return mean (K,) and variance (K,), of x as of y, of hypotheses (M, K) that count by their scores."""
    weights = np.exp((scores - scores.max()) / temperature)
    weights /= weights.sum()
    mean: Complex = weights @ places
    return mean, weights @ np.abs(places - mean) ** 2 / 2


def decide(odds: Float, places: Complex, mean: Complex, variance: Float, match: str) -> tuple[Complex, Float]:
    """Return each point (K,) and the deviation of its places, votes and detectors taken together.

    A place's probability is that of its log odds (K, S) times the votes' Gaussian there.
    """
    votes = -(np.abs(places - mean[:, None]) ** 2) / (2 * variance[:, None])
    both = probabilities(odds + votes)
    middle = (both * places).sum(1)
    spread = np.sqrt((both * np.abs(places - middle[:, None]) ** 2).sum(1) / 2)
    if match == "best":
        middle = places[np.arange(len(places)), both.argmax(1)]
    return middle, spread


def probabilities(odds: NDArray[Any]) -> NDArray[Any]:
    """Return exp(odds) of each row, divided by their sum."""
    found = np.exp(odds - odds.max(1, keepdims=True))
    return np.asarray(found / found.sum(1, keepdims=True))


def best(scores: Float, count: int) -> Index:
    """Return the indices of the highest scores, the highest first."""
    return np.argsort(-scores, kind="stable")[:count]


def possible(scale: Complex) -> NDArray[np.bool_]:
    """Tell which similarities neither shrink, enlarge nor turn an exemplar too far."""
    size = np.abs(scale)
    return np.asarray((size >= SCALES[0]) & (size <= SCALES[1]) & (np.abs(np.angle(scale)) <= TURN))
