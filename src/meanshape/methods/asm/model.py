"""Predict with ASM: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import MeanshapeError, WeightsError
from meanshape.core.geometry import apply, compose, invert, similarity
from meanshape.core.image import Pixels
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.asm.config import DESCRIPTOR_JITTER, VARIANCE, Config
from meanshape.methods.asm.profiles import (
    MEASURES,
    Measure,
    Profiles,
    Reader,
    neighbours,
)
from meanshape.methods.base import Progress
from meanshape.methods.shared import arrays
from meanshape.methods.shared.faces import FaceBank, mapped
from meanshape.methods.shared.log_odds import Moments
from meanshape.methods.shared.oriented import view
from meanshape.methods.shared.searching import SearchingModel
from meanshape.methods.shared.shape_model import ShapeModel
from meanshape.methods.shared.start import Jitter, Start, placed

Float = NDArray[np.float64]

FILE = "asm.npz"
MARGIN = 1.6
"""Side of a level's frame in faces."""
NOISE = 0.5
"""Variance of a match beyond what its places spread, pixels of the frame squared."""
SURROUNDINGS = 4
"""Places around each point that contrast learns from, per face."""
BATCH = 256
"""Training faces whose descriptors are held at once."""


@dataclass(frozen=True)
class Level:
    """One pyramid level: the mean shape in its frame, the shape model, the descriptor and its measure."""

    reference: Float
    side: int
    model: ShapeModel
    reader: Reader
    measure: Measure | None = None

    def prepare(self, image: Pixels, matrix: Float) -> NDArray[np.float32]:
        """Return the feature maps of the frame that `matrix` maps the image to."""
        return self.reader.prepare(view(image, matrix, self.side))


class ASM(SearchingModel):
    """Active Shape Model; `shape_model` is its point-distribution model."""

    name: ClassVar[str] = "asm"
    Config: ClassVar[type[Any]] = Config

    _start: Start
    _levels: list[Level]

    @classmethod
    def tiny(cls) -> Self:
        """One level for a few dozen faces."""
        return cls(Config(faces=(60.0,), modes=(12,), ridge=0.3, copies=3))

    # Search

    def _search(
        self, image: Pixels, box: Box, start: Shape | None, trace: list[Float] | None = None
    ) -> Float:
        points, way = self._start(image, box, start, self._fitted())
        way.append(points)
        for level in self._levels:
            matrix = similarity(points, level.reference)
            back, picture, moved = invert(matrix), level.prepare(image, matrix), apply(matrix, points)
            for _ in range(self.config.iterations):
                moved, settled = self._step(level, picture, moved)
                way.append(apply(back, moved))
                if settled:
                    break
            points = way[-1]
        if trace is not None:
            trace.extend(way)
        return np.stack(way[-2:])

    def _step(self, level: Level, picture: NDArray[np.float32], points: Float) -> tuple[Float, bool]:
        """Move each point to its best match, then fit the shape model; return the points and convergence."""
        config, offsets = self.config, level.reader.offsets(points)
        assert level.measure is not None
        score = level.measure.score(level.reader, level.reader.read(picture, points))
        if config.match == "best":
            rows = np.arange(len(points))
            step = np.broadcast_to(offsets, (*score.shape, 2))[rows, score.argmax(1)]
            weights = None
        else:
            step, weights = _mean_place(score, offsets)
        b, matrix = level.model.fit(
            points + step,
            weights,
            prior=config.prior,
            max_deviation=config.limit,
            max_distance=config.ball,
            rounds=2,
        )
        half = np.hypot(*offsets[0].T).max() / 2 / (np.sqrt(2) if config.descriptor == "patches" else 1)
        settled = np.mean(np.hypot(*step.T) <= half) >= config.settled
        return level.model.shape_from(b, matrix), bool(settled)

    # Training

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        kind, config = self._fitted(), self.config
        bank = FaceBank(train, kind)
        progress(0.2, f"{len(bank) // 2} faces read")
        most = None if min(config.modes) == 0 else max(config.modes)
        self.shape_model = ShapeModel.train(bank.points, VARIANCE, most)
        bank.points = self.shape_model.complete(bank.points)
        self._start = Start(self.shape_model)
        if config.start == "regression":
            self._start, _, _ = Start.train(self.shape_model, bank, Jitter(), config.copies, seed)
        progress(0.4, "start")
        self._levels = [self._level(n, kind) for n in range(len(config.faces))]
        measures = []
        for n, level in enumerate(self._levels):
            moments = self._moments(level, bank, (seed, 2, n))
            measures.append(MEASURES[config.measure].train(moments, config.ridge))
            progress(0.4 + 0.6 * (n + 1) / len(self._levels), f"level {n + 1}")
        self._restore(self._groups(measures), kind)

    def _level(self, n: int, kind: MarkUp) -> Level:
        """Return a level that has not learnt yet."""
        config = self.config
        side = round(config.faces[n] * MARGIN)
        model = self.shape_model.first(config.modes[n] or len(self.shape_model.modes))
        reader: Reader = config.patches
        if config.descriptor == "profiles":
            reader = Profiles(*neighbours(kind), config.half, config.reach)
        return Level(placed(self.shape_model.mean, config.faces[n], side), side, model, reader)

    def _moments(self, level: Level, bank: FaceBank, seed: tuple[int, ...]) -> Moments:
        """Return means and covariances of the descriptors at and around the true points."""
        count, size = len(level.reference), level.reader.size
        moments = Moments.of(count, size)

        def descriptors(face: int) -> NDArray[np.float32]:
            rng = np.random.default_rng((*seed, face))
            jitter = DESCRIPTOR_JITTER.matrix(rng, 1.0, level.side)
            matrix = compose(similarity(bank.points[face], level.reference), jitter)
            points = apply(matrix, bank.points[face])
            values = level.reader.read(level.prepare(bank.image(face), matrix), points)
            far = np.hypot(*level.reader.offsets(points)[0].T)
            around = rng.choice(np.flatnonzero(far > 0.12 * far.max()), SURROUNDINGS)
            return level.reader.windows(values)[:, [far.argmin(), *around]]

        for first in range(0, len(bank), BATCH):
            found = mapped(descriptors, [(face,) for face in range(first, min(first + BATCH, len(bank)))])
            moments.add(0, found[:, :, 0].transpose(1, 0, 2))
            moments.add(1, found[:, :, 1:].transpose(1, 0, 2, 3).reshape(count, -1, size))
        return moments

    # Files

    def _groups(self, measures: Sequence[Measure]) -> dict[str, arrays.Group]:
        """Return all that was learnt."""
        groups = {"shape": dict(self.shape_model.arrays()), "start": self._start.arrays()}
        return groups | {f"level{n}": measure.arrays() for n, measure in enumerate(measures)}

    def _restore(self, groups: Mapping[str, arrays.Group], kind: MarkUp) -> None:
        """Be what the groups describe."""
        self.shape_model = ShapeModel.from_arrays(groups["shape"])
        self._start = Start.from_arrays(self.shape_model, groups.get("start", {}))
        self._levels = []
        for n in range(len(self.config.faces)):
            measure = MEASURES[self.config.measure].from_arrays(groups[f"level{n}"])
            level = self._level(n, kind)
            self._levels.append(Level(level.reference, level.side, level.model, level.reader, measure))

    def _save(self, folder: Path) -> None:
        arrays.save(folder / FILE, self._groups([level.measure for level in self._levels if level.measure]))

    def _load(self, folder: Files) -> None:
        groups, kind = arrays.load(folder / FILE), self._fitted()
        try:
            self._restore(groups, kind)
        except (KeyError, MeanshapeError) as error:
            raise WeightsError(f"{folder / FILE}: not the weights of asm ({error})") from error
        if len(self.shape_model) != len(kind):
            raise WeightsError(f"{folder / FILE}: {len(self.shape_model)} points do not fit {kind.name}")


def _mean_place(score: Float, offsets: Float, noise: float = NOISE) -> tuple[Float, Float]:
    """Return the mean of the places (K, 2), weighted by their odds, and its precision (K, 2, 2)."""
    odds = np.exp(score - score.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    step = (odds[:, None] @ offsets)[:, 0]
    spread = offsets - step[:, None]
    covariance = (spread * odds[..., None]).transpose(0, 2, 1) @ spread + noise * np.eye(2)
    return step, np.linalg.inv(covariance)


MODEL = ASM
