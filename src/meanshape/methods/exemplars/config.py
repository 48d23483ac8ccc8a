"""Settings and presets of the consensus of exemplars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from meanshape.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a consensus of exemplars. Lengths are pixels of the level's frame."""

    faces: tuple[float, ...] = (48.0, 80.0)  # √(w h) of the face by level; the first looks at all of it
    places: tuple[int, ...] = (51, 11)  # by level, per side of the square of places tried for a point
    apart: tuple[int, ...] = (3, 7)  # steps from cell to cell, by size of histogram
    exemplars: int = 0  # training faces that are kept, and as many in the mirror; 0: all
    # the recipe and the search
    match: str = "mean"  # of the places by their probability; or best, the paper's
    ridge: float = 0.01  # on the covariance of descriptors, relative to its mean variance
    hypotheses: int = 3000  # drawn in the first level
    kept: int = 100  # of the hypotheses, to vote
    temperature: float = 4.0  # a vote counts exp(score / temperature); inf: the paper's, all alike
    rounds: int = 1  # of laying all exemplars on the votes' mean, by level after drawing
    blur: float = 1.5  # deviation of the Gaussian over each detector's answer before it scores
    deviation: float = 1.0  # of the votes about the point, beyond what they spread
    floor: float = 0.3  # probability that a detector's answer is no help, relative to 1
    prior: float = 3.0  # width of where a first detector looks, deviations of the exemplars in their boxes

    structure: ClassVar[tuple[str, ...]] = ("faces", "places", "apart", "exemplars")

    def __post_init__(self) -> None:
        """Check that levels agree and that every histogram is centred on its place."""
        if not self.faces or len(self.faces) != len(self.places) or min(self.faces) < 8:
            raise ConfigError(
                f"faces and places need one value a level, faces of 8 pixels or more, "
                f"got {self.faces} and {self.places}"
            )
        if min(self.places) < 3 or any(number % 2 == 0 for number in self.places):
            raise ConfigError(f"places are odd numbers from 3 on, not {self.places}")
        if not self.apart or min(self.apart) < 1 or len({number % 2 for number in self.apart}) > 1:
            raise ConfigError(f"apart needs numbers from 1 on, all odd or all even, not {self.apart}")
        if self.match not in ("mean", "best"):
            raise ConfigError(f"match is mean or best, not {self.match!r}")
        for name in ("hypotheses", "kept"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is 1 or more, not {getattr(self, name)}")
        for name in ("temperature", "deviation", "prior"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is above 0, not {getattr(self, name)}")
        for name in ("ridge", "blur", "floor", "rounds", "exemplars"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is 0 or more, not {getattr(self, name)}")


PAPER = replace(
    Config(),
    faces=(48.0,),
    places=(51,),
    match="best",
    hypotheses=10000,
    temperature=float("inf"),
    rounds=0,
)
PRESETS = {"2011": PAPER}
