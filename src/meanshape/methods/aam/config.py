"""What is decided before AAM is trained, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.methods.aam.texture import (
    KINDS,
    Sampling,
)
from meanshape.methods.shared.start import Jitter

VARIANCE = 0.98
"""The share of the variance that modes hold, where no number of them is given."""
LIMIT = 3.0
"""Deviations of each mode."""
FITTERS = ("update", "linear", "project_out", "wiberg")


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before an AAM is trained."""

    fitter: str = "update"  # linear: the paper's; project_out, wiberg: inverse composition
    faces: tuple[float, ...] = (60.0, 84.0, 108.0)  # √(w h) of the mean face by level, pixels; an update each
    modes: tuple[int, ...] = (40, 40, 40)  # of the shape model by level; 0: as many as hold `VARIANCE`
    texture: Sampling = field(default_factory=Sampling)
    texture_modes: int = 100
    start: str = "regression"  # or box: the mean shape in it, the paper's
    # the recipe and the search
    ridge: float = 3.0  # on learnt maps, relative to the mean variance of what they see
    iterations: int = 10  # at most, per level; an update is one
    copies: int = 1  # of each face, moved at random, that maps are learnt from

    structure: ClassVar[tuple[str, ...]] = ("fitter", "faces", "modes", "texture", "texture_modes", "start")
    built_in: ClassVar[Mapping[str, Any]] = {
        "variance": VARIANCE,
        "limit": LIMIT,
        "jitter": asdict(Jitter()),
        "displaced": 0.5,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"portrait_modes": 40}

    def __post_init__(self) -> None:
        """Check that words are known and levels agree."""
        choices = {"fitter": FITTERS, "start": ("regression", "box"), "texture.kind": KINDS}
        for name, allowed in choices.items():
            value = self.texture.kind if name == "texture.kind" else getattr(self, name)
            if value not in allowed:
                raise ConfigError(f"{name} is {' or '.join(allowed)}, not {value!r}")
        if not self.faces or len(self.faces) != len(self.modes) or min(self.faces) < 8:
            raise ConfigError(
                f"faces (8 pixels or more) and modes need one value a level, "
                f"got {self.faces} and {self.modes}"
            )


PRESETS = {
    "1998": Config(
        fitter="linear",
        faces=(25.0, 50.0, 100.0),
        modes=(0, 0, 0),
        texture=Sampling("intensities", stride=0.03, margin=0.0, pool=0.7),
        ridge=0.01,
        iterations=30,
        start="box",
    )
}
