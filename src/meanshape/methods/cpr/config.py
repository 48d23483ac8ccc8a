"""Settings and presets of CPR."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.methods.cpr.binary_features import Binary
from meanshape.methods.cpr.ferns import Ferns
from meanshape.methods.cpr.linear_stage import Linear
from meanshape.methods.cpr.mesh_cascade import SCALE, Mesh
from meanshape.methods.cpr.pose_ferns import PoseFerns
from meanshape.methods.cpr.training_set import Views
from meanshape.methods.cpr.trees import Trees

MESH = "mesh"
REGRESSORS = (MESH, "linear", "ferns", "trees", "binary")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a cascade. Defaults are the shipped model's."""

    regressor: str = "mesh"  # mesh, linear: on gradients; ferns, trees, binary: on pixel differences
    sizes: tuple[int, ...] = (48, 72, 96)  # side of each frame, pixels; the mesh has one of its own
    scales: tuple[float, ...] = (1.2, 1.2, 1.2)  # side of each frame, face boxes
    stages: tuple[int, ...] = (1, 1, 1)  # regressions in each frame
    starts: int = 1  # initial shapes; the prediction is the median of each coordinate
    pose: PoseFerns = field(default_factory=PoseFerns)
    mesh: Mesh = field(default_factory=Mesh)
    # training
    noise: float = 0.0  # standard deviation that the shape prior removes at the end, face boxes; 0: no prior
    views: Views = field(default_factory=Views)
    linear: Linear = field(default_factory=Linear)
    ferns: Ferns = field(default_factory=Ferns)
    trees: Trees = field(default_factory=Trees)
    binary: Binary = field(default_factory=Binary)

    structure: ClassVar[tuple[str, ...]] = (
        "regressor",
        "sizes",
        "scales",
        "stages",
        "starts",
        "pose",
        "mesh",
    )

    def __post_init__(self) -> None:
        """Check the ranges, and that there is one value per frame."""
        if not self.sizes or not len(self.sizes) == len(self.scales) == len(self.stages):
            found = f"{self.sizes}, {self.scales} and {self.stages}"
            raise ConfigError(f"sizes, scales and stages need one value per frame, got {found}")
        if min(self.sizes) < 16 or min(self.scales) <= 0 or min(self.stages) < 1 or self.starts < 1:
            raise ConfigError("sizes are at least 16 pixels, scales above 0, stages and starts at least 1")
        if any(size % 2 for size in self.sizes):
            raise ConfigError(f"sizes must be even, got {self.sizes}")
        if self.regressor not in REGRESSORS:
            raise ConfigError(f"regressor is one of {', '.join(REGRESSORS)}, not {self.regressor!r}")

    @property
    def settings(self) -> Any:
        """The settings of the chosen regressor."""
        return getattr(self, self.regressor)

    @property
    def frames(self) -> list[tuple[int, float]]:
        """The side of each frame, pixels and face boxes."""
        if self.regressor == MESH:
            return [(self.mesh.side, SCALE)]
        return list(zip(self.sizes, self.scales, strict=True))

    @property
    def density(self) -> float:
        """Pixels per face box in the finest frame."""
        return max(size / scale for size, scale in self.frames)

    @property
    def reach(self) -> float:
        """Half the side of the largest frame with its margin, face boxes."""
        margin: int = self.settings.margin()
        return max(scale * (0.5 + margin / size) for size, scale in self.frames)

    @property
    def count(self) -> int:
        """The number of stages."""
        return len(self.mesh.strides) if self.regressor == MESH else sum(self.stages)


_PIXELS: dict[str, Any] = {"sizes": (64,) * 8, "scales": (1.2,) * 8, "stages": (1,) * 8, "noise": 0.025}


PRESETS = {
    "few": Config(
        views=Views(count=32), mesh=Mesh(turns=2, kept=48, first=10, directions=20, strength=0.6)
    ),  # for a hundred faces or so
    "sdm": Config(
        regressor="linear",
        sizes=(48, 72, 96),
        scales=(1.2,) * 3,
        noise=0.025,
        views=Views(count=3),
        linear=Linear(reach=1000.0, floor=1.0, strength=(1.0, 3.0, 10.0), robust=False),
    ),
    "esr": Config(regressor="ferns", **_PIXELS),
    "ert": Config(regressor="trees", **_PIXELS),
    "lbf": Config(
        regressor="binary",
        sizes=(64, 64, 80, 96),
        scales=(1.2,) * 4,
        stages=(1,) * 4,
        noise=0.025,
        views=Views(count=3),
    ),
}
