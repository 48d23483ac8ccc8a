"""Which of two results is better, face by face: the paired difference and its bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meanshape.core.errors import DataSetError
from meanshape.core.metrics import bootstrap_interval
from meanshape.evaluation.measures import Measures

NORM_WORDS = {
    "inter_ocular": "the distance of the outer eye corners",
    "inter_pupil": "the distance of the eye centres",
    "box_diagonal": "the box diagonal",
    "box_size": "the box size",
    "box_width": "the box width",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a compares with b on the faces that both measured; errors are in percent of `norm`.

    Attributes
    ----------
    a, b : the models
    first, second : their mean errors
    difference : first - second; below zero, a is better
    interval : of the difference
    wins : percentage of faces on which a is better (a tie counts half)
    seen : those of the two that have learnt from these faces
    """

    a: str
    b: str
    norm: str
    count: int
    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    level: float
    wins: float
    seen: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """Tell whether the interval leaves out zero."""
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def sentence(self) -> str:
        """Return what a person wants to read."""
        names = " and ".join(self.seen)
        learnt = f" {names} learnt from these faces, so it says nothing of others." if self.seen else ""
        low, high = self.interval
        scale = f"{self.first:.2f} against {self.second:.2f} % of {NORM_WORDS.get(self.norm, self.norm)}"
        level = f"{100 * self.level:g} % interval"
        if not self.decided:
            return (
                f"{self.a} and {self.b} cannot be told apart on {self.count} faces: {scale}; "
                f"the difference, {self.difference:+.2f} ({level} {low:+.2f} to {high:+.2f}), may be chance."
                f"{learnt}"
            )
        verdict = "better" if self.difference < 0 else "worse"
        share = f", {abs(100 * self.difference / self.second):.0f} %" if self.second > 0 else ""
        less = sorted((abs(low), abs(high)))
        return (
            f"{self.a} is {verdict} than {self.b} on {self.count} faces: {scale}, that is "
            f"{abs(self.difference):.2f}{share} {'less' if self.difference < 0 else 'more'} "
            f"({level} {less[0]:.2f} to {less[1]:.2f}); its error is the smaller on {self.wins:.0f} %."
            f"{learnt}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        names = ("a", "b", "norm", "count", "first", "second", "difference", "level", "wins")
        plain = {name: getattr(self, name) for name in names}
        plain |= {"interval": list(self.interval), "decided": self.decided, "seen": list(self.seen)}
        return plain | {"sentence": self.sentence}


def compare(
    a: Measures | Mapping[str, Any],
    b: Measures | Mapping[str, Any],
    *,
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two evaluations, or two results of the JSON schema, on the samples they share."""
    one, other = _result(a), _result(b)
    if one["norm"] != other["norm"]:
        raise DataSetError(
            f"errors by {one['norm']} and by {other['norm']} cannot be compared; measure both in one mark-up"
        )
    for key in ("data", "split", "markup"):
        if one.get(key) != other.get(key):
            both = f"{one.get(key)!r} and {other.get(key)!r}"
            raise DataSetError(f"results on different data cannot be compared: {key} is {both}")
    first, second = one["errors"], other["errors"]
    ids = [name for name in first if first[name] is not None and second.get(name) is not None]
    if not ids:
        raise DataSetError("the two results share no measured face, so that they cannot be compared")
    x = np.array([first[name] for name in ids], np.float64)
    y = np.array([second[name] for name in ids], np.float64)
    names = _name(one, other, "a"), _name(other, one, "b")
    return Comparison(
        a=names[0],
        b=names[1],
        norm=one["norm"],
        count=len(ids),
        first=float(x.mean()),
        second=float(y.mean()),
        difference=float((x - y).mean()),
        interval=bootstrap_interval(x - y, level, rounds, seed),
        level=level,
        wins=100.0 * float(np.where(x == y, 0.5, x < y).mean()),
        seen=tuple(name for name, result in zip(names, (one, other), strict=True) if result.get("seen")),
    )


def _name(one: Mapping[str, Any], other: Mapping[str, Any], default: str) -> str:
    """Return what to call a result beside the other: the model, and its boxes where the models are one."""
    name = str(one.get("model") or default)
    same = one.get("model") == other.get("model") and one.get("box") != other.get("box")
    return f"{name} (box {one.get('box')})" if same else name


def _result(found: Measures | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is compared of a result."""
    if isinstance(found, Mapping):
        return {"model": None, "norm": None, **found}
    return {
        "model": found.about.model,
        "data": found.about.data,
        "split": found.about.split,
        "seen": found.about.seen,
        "box": found.about.box,
        "markup": found.markup.name,
        "norm": found.norm,
        "errors": {
            name: value if np.isfinite(value) else None
            for name, value in zip(found.ids, found.per_face().tolist(), strict=True)
        },
    }
