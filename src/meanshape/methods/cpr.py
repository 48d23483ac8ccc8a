"""CPR: cascaded regression of the shape (Dollár, Welinder, Perona, CVPR 2010), S_t = S_{t-1} + r_t(phi(I, S_{t-1})).

Each stage brings the face upright by the similarity that takes the shape so far to the mean shape, looks at
the picture around the points of that shape, and moves all points at once. What it looks at and what
regresses are settings; the pairs with a name of their own are in `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError
from meanshape.core.geometry import Matrix, Points
from meanshape.core.image import Pixels
from meanshape.core.types import Box, Sample, Shape
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.parts import arrays as files
from meanshape.methods.parts.binary_features import Binary, BinaryStage
from meanshape.methods.parts.ferns import Ferns, FernStage
from meanshape.methods.parts.frames import View, chain, frame_matrix, inverse, look, unit_matrix, upright
from meanshape.methods.parts.linear_stage import Linear, LinearStage
from meanshape.methods.parts.training_set import Faces, Lesson, Views, gather
from meanshape.methods.parts.trees import Trees, TreeStage

FILE = "cascade.npz"
KINDS: dict[str, Any] = {"linear": LinearStage, "ferns": FernStage, "trees": TreeStage, "binary": BinaryStage}


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before a cascade is trained. Defaults are the shipped model's."""

    regressor: str = "linear"
    sizes: tuple[int, ...] = (48, 96)  # side of each frame, pixels
    scales: tuple[float, ...] = (1.2, 1.2)  # and in face boxes
    stages: tuple[int, ...] = (1, 3)  # regressions in each frame
    views: Views = field(default_factory=Views)
    linear: Linear = field(default_factory=Linear)
    ferns: Ferns = field(default_factory=Ferns)
    trees: Trees = field(default_factory=Trees)
    binary: Binary = field(default_factory=Binary)

    def __post_init__(self) -> None:
        """Check that there is one value a frame."""
        if not self.sizes or not len(self.sizes) == len(self.scales) == len(self.stages):
            raise ConfigError(
                f"sizes, scales and stages need one value a frame, got {self.sizes}, {self.scales}, {self.stages}"
            )
        if self.regressor not in KINDS:
            raise ConfigError(f"regressor is one of {', '.join(KINDS)}, not {self.regressor!r}")

    @property
    def density(self) -> float:
        """Pixels per face box in the finest frame."""
        return max(size / scale for size, scale in zip(self.sizes, self.scales, strict=True))

    def margin(self) -> int:
        """Frame pixels around each frame that its stages look at."""
        margin: int = getattr(self, self.regressor).margin()
        return margin

    @property
    def reach(self) -> float:
        """Half the side of what may be looked at, face boxes."""
        sides = zip(self.sizes, self.scales, strict=True)
        return max(scale / 2 + self.margin() * scale / size for size, scale in sides)


class CPR(LandmarkModel):
    """Cascaded regression; `mean` (K, 2) is in face boxes about the box's centre."""

    name: ClassVar[str] = "cpr"
    Config: ClassVar[type[Any]] = Config

    mean: Points

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._stages: list[list[Any]] = []  # of each frame

    @classmethod
    def tiny(cls) -> Self:
        """Two frames for a few dozen faces."""
        linear = Linear(dimensions=8, strength=(3.0,))
        return cls(Config(sizes=(40, 56), scales=(1.4, 1.3), stages=(1, 1), linear=linear))

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        config, rng = self.config, np.random.default_rng(seed)
        kind = self._fitted()
        faces = gather(train, kind, config.views, config.reach, config.density, rng, progress)
        mean = faces.truth.mean(0)
        self.mean = ((mean + mean[list(kind.mirror)] * (-1, 1)) / 2).astype(np.float32).astype(np.float64)
        shapes = np.tile(self.mean, (len(faces.views), 1, 1))
        self._stages = []
        for number in range(len(config.sizes)):
            self._stages.append([])
            shapes = self._fit_frame(number, faces, shapes, rng, progress)

    def _fit_frame(
        self, number: int, faces: Faces, shapes: Points, rng: np.random.Generator, progress: Progress
    ) -> Points:
        """Learn the stages of one frame; return the shapes (N, K, 2) after them, as of unseen faces."""
        config, kind = self.config, KINDS[self.config.regressor]
        settings = getattr(config, config.regressor)
        matrices = [self._matrix(number, shape) for shape in shapes]
        frames = np.stack([self._cut(number, v, m) for v, m in zip(faces.views, matrices, strict=True)])
        there = np.stack([_moved(m, shape) for m, shape in zip(matrices, shapes, strict=True)])
        truth = np.stack([_moved(m, shape) for m, shape in zip(matrices, faces.truth, strict=True)])
        for _ in range(config.stages[number]):
            lesson = Lesson(frames, there, truth, faces.folds, self.mean)
            stage, there = kind.fit(lesson, settings, rng)
            self._stages[number].append(stage)
            done = sum(map(len, self._stages)) / sum(config.stages)
            off = np.linalg.norm(there - truth, axis=-1).mean() * config.scales[number] / config.sizes[number]
            progress(0.1 + 0.9 * done, f"mean error {100 * off:.2f} % of the box on faces left out")
        back = [inverse(matrix) for matrix in matrices]
        return np.stack([_moved(matrix, shape) for matrix, shape in zip(back, there, strict=True)])

    def _matrix(self, number: int, shape: Points) -> Matrix:
        """Return the map from the unit frame to a frame, upright as a shape (K, 2) says."""
        frame = frame_matrix(self.config.sizes[number], self.config.scales[number])
        return chain(upright(shape, self.mean), frame)

    def _cut(self, number: int, view: View, matrix: Matrix) -> Pixels:
        """Return a frame's pixels, with the margin that its stages need."""
        margin = self.config.margin()
        matrix = matrix.copy()
        matrix[:, 2] += margin
        return view.frame(matrix, self.config.sizes[number] + 2 * margin)

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        return np.stack(
            [self._place(i, b, s, **options) for i, b, s in zip(images, boxes, starts, strict=True)]
        )

    def _place(self, image: Pixels, box: Box, start: Shape | None, stages: int | None = None) -> Points:
        """Return the points (K, 2) of one face; `stages`: only the first so many."""
        to_image, shape, first = unit_matrix(box), self.mean, 0
        view = look(image, to_image, self.config.reach, self.config.density)
        left = sum(self.config.stages) if stages is None else stages
        for number in range(first, len(self._stages)):
            matrix = self._matrix(number, shape)
            points = _moved(matrix, shape)
            seen = self._stages[number][0].see(self._cut(number, view, matrix))
            for stage in self._stages[number][:left]:
                points = stage(seen, points)
            left -= len(self._stages[number])
            shape = _moved(inverse(matrix), points)
            if left <= 0:
                break
        return _moved(to_image, shape)

    def _save(self, folder: Path) -> None:
        groups = {
            f"{number}_{turn}": stage.arrays()
            for number, stages in enumerate(self._stages)
            for turn, stage in enumerate(stages)
        }
        files.save(folder / FILE, {"start": {"mean": self.mean.astype(np.float32)}, **groups})

    def _load(self, folder: Path) -> None:
        groups = files.load(folder / FILE)
        kind, settings = KINDS[self.config.regressor], getattr(self.config, self.config.regressor)
        self.mean = groups["start"]["mean"].astype(np.float64)
        self._stages = [
            [kind.read(groups[f"{number}_{turn}"], settings) for turn in range(count)]
            for number, count in enumerate(self.config.stages)
        ]


def _moved(matrix: Matrix, points: Points) -> Points:
    """Return points (K, 2) mapped by (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


MODEL = CPR
