"""Settings and presets of ASM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.methods.asm.profiles import (
    MEASURES,
    Patches,
)
from meanshape.methods.shared.start import Jitter

VARIANCE = 0.98
"""The share of the shapes' variance that modes hold, where no number of them is given."""
DESCRIPTOR_JITTER = Jitter(0.0, 0.05, 5.0)
"""Jitter of the frames that descriptors are trained in."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of an ASM. Lengths are pixels of the level's frame."""

    faces: tuple[float, ...] = (60.0, 90.0)  # √(w h) of the mean face by level, coarse first
    modes: tuple[int, ...] = (30, 40)  # of the shape model by level; 0: as many as hold `VARIANCE`
    descriptor: str = "patches"  # or profiles, the paper's
    measure: str = "contrast"  # or mahalanobis, the paper's
    match: str = "mean"  # of the places by their odds; or best, the paper's
    patches: Patches = field(default_factory=Patches)
    half: int = 4  # of a profile: 2 half + 1 derivatives
    reach: int = 4  # of a profile's search, to either side
    start: str = "regression"  # or box: the mean shape in it, the paper's
    # the recipe and the search
    ridge: float = 0.01  # on the covariance of descriptors, relative to its mean variance
    prior: float = 1.0  # how much the modes' Gaussian counts against the matches; 0: the paper's
    limit: float = 3.0  # bound of each mode, standard deviations
    ball: float | None = None  # bound of the root mean square over the modes, standard deviations
    iterations: int = 2  # at most, per level
    settled: float = 0.95  # share of points at rest at which a level has converged
    copies: int = 2  # jittered copies of each face that the start is regressed on

    structure: ClassVar[tuple[str, ...]] = (
        "faces",
        "modes",
        "descriptor",
        "measure",
        "match",
        "patches",
        "half",
        "reach",
        "start",
    )
    built_in: ClassVar[Mapping[str, Any]] = {
        "variance": VARIANCE,
        "noise": 0.5,
        "jitter": asdict(Jitter()),
        "wobble": asdict(DESCRIPTOR_JITTER),
        "surroundings": 4,
    }

    def __post_init__(self) -> None:
        """Check that words are known and levels agree."""
        choices = {
            "descriptor": ("patches", "profiles"),
            "measure": tuple(MEASURES),
            "match": ("mean", "best"),
            "start": ("regression", "box"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {' or '.join(allowed)}, not {getattr(self, name)!r}")
        if not self.faces or len(self.faces) != len(self.modes) or min(self.faces) < 8:
            raise ConfigError(
                f"faces and modes need one value a level, of 8 pixels or more, "
                f"got {self.faces} and {self.modes}"
            )


PAPER = Config(
    faces=(25.0, 50.0, 100.0),
    modes=(0, 0, 0),
    descriptor="profiles",
    measure="mahalanobis",
    match="best",
    prior=0.0,
    iterations=10,
    settled=0.9,
    start="box",
)


PRESETS = {
    "1995": PAPER,
    "stasm": replace(PAPER, modes=(20, 20, 20), descriptor="patches", limit=1.5, iterations=4),
}
