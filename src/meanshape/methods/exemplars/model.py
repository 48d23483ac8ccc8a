"""Predict with a consensus of exemplars: numpy and OpenCV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import WeightsError
from meanshape.core.geometry import Matrix, apply, compose, invert, similarity, square_matrix
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.exemplars.config import Config
from meanshape.methods.exemplars.consensus import (
    IMPOSSIBLE,
    Complex,
    Complex64,
    Draws,
    Evidence,
    best,
    decide,
    lay,
    possible,
    vote,
)
from meanshape.methods.exemplars.local import STEP, Histograms
from meanshape.methods.shared import arrays
from meanshape.methods.shared.confidence import Found
from meanshape.methods.shared.faces import FaceBank, mapped
from meanshape.methods.shared.log_odds import Contrast, Moments
from meanshape.methods.shared.oriented import view
from meanshape.methods.shared.shape_model import ShapeModel
from meanshape.methods.shared.start import Jitter, placed, toward

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

FILE = "exemplars.npz"
MARGIN = 1.75
"""Side of a level's frame in faces."""
UPRIGHT_JITTER = Jitter(0.0, 0.05, 5.0)
"""Jitter of the frames that the detectors of the later levels are trained in."""
VARIANCE, MODES = 0.98, 30
"""Of the shape model that fills in training points nobody annotated."""
SURROUNDINGS = 5
"""Places around each point that a detector learns from, per face."""
BATCH = 256
"""Training faces whose descriptors are held at once."""


@dataclass(frozen=True)
class Level:
    """One level: its frame, the local detectors in it, and the exemplars as they lie in their boxes there."""

    face: float
    side: int
    reader: Histograms
    reference: Float  # (K, 2), the mean exemplar
    spread: Float  # (K, 2), the exemplars' deviation in their boxes
    detectors: Contrast | None = None

    def centres(self, points: Float | None) -> Float:
        """Return where the lattices lie: about the points, or one about the middle of the frame."""
        return np.full((1, 2), (self.side - 1) / 2) if points is None else points

    def odds(self, image: Pixels, matrix: Matrix, centres: Float) -> Float:
        """Return the log odds (K, S) of the places about the centres."""
        assert self.detectors is not None
        picture = self.reader.prepare(view(image, matrix, self.side))
        return self.detectors.score(self.reader, self.reader.read(picture, centres))

    def within(self, width: float) -> Float:
        """Return the log prior (K, S) of a first detector: a Gaussian about where exemplars lie."""
        places = self.centres(None) + self.reader.offsets
        off = (places - self.reference[:, None]) / (width * self.spread[:, None])
        return np.asarray(-(off**2).sum(-1) / 2)


class Exemplars(LandmarkModel):
    """Consensus of exemplars; `shapes` (E, K) are these in the units of their boxes, as complex numbers."""

    name: ClassVar[str] = "exemplars"
    Config: ClassVar[type[Any]] = Config

    shapes: Complex
    _levels: list[Level]

    @classmethod
    def tiny(cls) -> Self:
        """Few places and hypotheses, for a few dozen faces."""
        return cls(Config(ridge=0.3, hypotheses=500, kept=20))

    # Search

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> Found:
        found = [self._search(*face, **options) for face in zip(images, boxes, starts, strict=True)]
        return Found(np.stack([way for way, _ in found]), np.stack([spread for _, spread in found]))

    def _search(self, image: Pixels, box: Box, start: Shape | None) -> tuple[Float, Float]:
        """Return the points after each level (L, K, 2), and how far the last one's places spread (K,)."""
        way: list[Float] = []
        spread = np.zeros(len(self._fitted()))
        matrix, points = self._frame(box, start), None
        for number, level in enumerate(self._levels):
            if number:
                matrix = similarity(way[-1], level.reference)
                points = apply(matrix, way[-1])
            last = number + 1 == len(self._levels)
            found, spread = self._level(level, image, matrix, points, last)
            way.append(apply(invert(matrix), np.stack([found.real, found.imag], -1)))
            spread /= max(float(np.hypot(*matrix[:, 0])), 1e-12)
        return np.stack(way if len(way) > 1 else way * 2), spread

    def _frame(self, box: Box, start: Shape | None) -> Matrix:
        """Return the map from the image to the first level's frame."""
        level = self._levels[0]
        found = None if start is None else toward(start, level.reference, self._fitted())
        return square_matrix(box, MARGIN, level.side) if found is None else found

    def _level(
        self, level: Level, image: Pixels, matrix: Matrix, points: Float | None, last: bool
    ) -> tuple[Complex, Float]:
        """Return the points (K,) in the level's frame, and how far their places spread."""
        config, centres = self.config, level.centres(points)
        odds = level.odds(image, matrix, centres)
        middles = np.broadcast_to(centres @ (1, 1j), (len(odds),))
        asked = odds + self._prior if points is None else odds
        evidence = Evidence.of(asked, middles, STEP, config.blur, config.floor)
        mean, variance = self._drawn(evidence) if points is None else (middles, np.zeros(0))
        for _ in range(config.rounds if points is None else max(config.rounds, 1)):
            scale, shift = lay(self._centred, self._squares, mean)
            scores = evidence.score(self._centred, scale, shift)
            mean, variance = self._vote(self._centred, scale, shift, scores)
        variance = variance + config.deviation**2
        if not last:
            return mean, np.sqrt(variance)
        places = middles[:, None] + level.reader.offsets @ (1, 1j)
        return decide(odds, places, mean, variance, config.match)

    def _drawn(self, evidence: Evidence) -> tuple[Complex, Float]:
        """Return what the best of the drawn hypotheses vote."""
        scale, shift = self._draws.place(self._first, evidence.modes())
        scores = evidence.score(self._guesses, scale, shift) + IMPOSSIBLE * ~possible(scale)
        return self._vote(self._guesses, scale, shift, scores)

    def _vote(
        self, shapes: Complex64, scale: Complex, shift: Complex, scores: Float
    ) -> tuple[Complex, Float]:
        """Return mean and variance of the best of shapes (H, K), placed by similarities."""
        kept = best(scores, self.config.kept)
        laid = scale[kept, None] * shapes[kept] + shift[kept, None]
        return vote(laid, scores[kept], self.config.temperature)

    # Training

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        bank = FaceBank(train, self._fitted())
        progress(0.1, f"{len(bank) // 2} faces read")
        bank.points = ShapeModel.train(bank.points, VARIANCE, MODES).complete(bank.points)
        boxes = apply(bank.box_matrix(1.0, 1.0), bank.points[: len(bank) // 2])
        if 0 < self.config.exemplars < len(boxes):
            boxes = boxes[np.linspace(0, len(boxes) - 1, self.config.exemplars).round().astype(int)]
        groups = {"exemplars": {"shapes": boxes.astype(np.float16)}}
        self._know(groups["exemplars"])
        for n, level in enumerate(self._levels):
            moments = self._moments(n, level, bank, (seed, n))
            groups[f"level{n}"] = _halved(Contrast.train(moments, self.config.ridge))
            progress(0.1 + 0.9 * (n + 1) / len(self._levels), f"level {n + 1}")
        self._restore(groups)

    def _moments(self, n: int, level: Level, bank: FaceBank, seed: tuple[int, ...]) -> Moments:
        """Return means and covariances of the descriptors at and around the true points."""
        count, reader = len(level.reference), replace(level.reader, places=1)
        moments = Moments.of(count, reader.size)
        far = min((level.reader.places - 1) / 2 * STEP, level.face / 2)

        def descriptors(face: int) -> Float32:
            rng = np.random.default_rng((*seed, face))
            if n:
                jitter = UPRIGHT_JITTER.matrix(rng, 1.0, level.side)
                matrix = compose(similarity(bank.points[face], level.reference), jitter)
            else:
                matrix = compose(
                    bank.box_matrix(MARGIN, level.side), Jitter().matrix(rng, level.face, level.side)
                )
            distance = np.exp(rng.uniform(np.log(STEP), np.log(far), (count, SURROUNDINGS)))
            angle = rng.uniform(0, 2 * np.pi, distance.shape)
            beside = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
            points = apply(matrix, bank.points[face])[:, None] + np.pad(beside, ((0, 0), (1, 0), (0, 0)))
            picture = reader.prepare(view(bank.image(face), matrix, level.side))
            return reader.windows(reader.read(picture, points.reshape(-1, 2))).reshape(*points.shape[:2], -1)

        for first in range(0, len(bank), BATCH):
            found = mapped(descriptors, [(face,) for face in range(first, min(first + BATCH, len(bank)))])
            moments.add(0, found[:, :, 0].transpose(1, 0, 2))
            moments.add(1, found[:, :, 1:].transpose(1, 0, 2, 3).reshape(count, -1, reader.size))
        return moments

    # Files

    def _know(self, group: arrays.Group) -> None:
        """Take the exemplars and their mirror images, and make all that depends on them alone."""
        config, half = self.config, group["shapes"].astype(np.float64)
        whole = np.concatenate([half, half[:, list(self._fitted().mirror)] * (-1, 1)])
        self.shapes = whole @ (1, 1j)
        self._centred = (self.shapes - self.shapes.mean(1, keepdims=True)).astype(np.complex64)
        self._squares = np.maximum((np.abs(self._centred) ** 2).sum(1, dtype=np.float64), 1e-12)
        self._levels = []
        for face, places in zip(config.faces, config.places, strict=True):
            side = round(face * MARGIN)
            mean, spread = whole.mean(0) * face + (side - 1) / 2, np.maximum(whole.std(0) * face, 1.0)
            if self._levels:
                mean = placed(mean, face, side)
            self._levels.append(Level(face, side, Histograms(places, config.apart), mean, spread))
        level = self._levels[0]
        self._first = self.shapes * level.face + (1 + 1j) * (level.side - 1) / 2
        self._prior = level.within(config.prior)
        self._draws = Draws.make(self._first, config.hypotheses)
        self._guesses = self._first[self._draws.exemplar].astype(np.complex64)

    def _restore(self, groups: Mapping[str, arrays.Group]) -> None:
        """Be what the groups describe."""
        self._kept = dict(groups)
        self._know(groups["exemplars"])
        made = []
        for n, level in enumerate(self._levels):
            group = groups[f"level{n}"]
            filters = group["filters"].astype(np.float32) * group["scale"][:, None]
            made.append(replace(level, detectors=Contrast(filters, group["bias"])))
        self._levels = made

    def _save(self, folder: Path) -> None:
        arrays.save(folder / FILE, self._kept)

    def _load(self, folder: Files) -> None:
        groups, kind = arrays.load(folder / FILE), self._fitted()
        shapes = groups.get("exemplars", {}).get("shapes", np.zeros(0))
        size = Histograms(1, self.config.apart).size
        wanted = {f"level{n}": (len(kind), size) for n in range(len(self.config.faces))}
        if shapes.ndim != 3 or shapes.shape[1:] != (len(kind), 2) or not len(shapes):
            raise WeightsError(f"{folder / FILE}: exemplars {shapes.shape} do not fit {kind.name}")
        for name, shape in wanted.items():
            group = groups.get(name, {})
            found = {key: group[key].shape if key in group else None for key in ("filters", "scale", "bias")}
            if found != {"filters": shape, "scale": shape[:1], "bias": shape[:1]}:
                raise WeightsError(f"{folder / FILE}: {name} has {found}, wanted filters {shape}")
        self._restore(groups)


def _halved(detectors: Contrast) -> arrays.Group:
    """Return detectors as a file keeps them: filters in half precision, each with a scale."""
    scale = np.abs(detectors.filters).max(1) + np.float32(1e-30)
    filters = (detectors.filters / scale[:, None]).astype(np.float16)
    return {"filters": filters, "scale": scale, "bias": detectors.bias}


MODEL = Exemplars
