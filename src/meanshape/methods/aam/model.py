"""Predict with AAM: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import MeanshapeError, WeightsError
from meanshape.core.geometry import apply, invert, similarity
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.aam.config import LIMIT, VARIANCE, Config
from meanshape.methods.aam.fitters import Composition, Fitter, Frame, Linear, Update
from meanshape.methods.aam.portrait import Portrait, true_textures
from meanshape.methods.aam.texture import (
    Appearance,
    Sampling,
    TextureModel,
    TextureReader,
    shape_weights,
)
from meanshape.methods.base import Progress
from meanshape.methods.shared import arrays
from meanshape.methods.shared.faces import FaceBank, mapped
from meanshape.methods.shared.oriented import view
from meanshape.methods.shared.ridge import ridge
from meanshape.methods.shared.searching import SearchingModel
from meanshape.methods.shared.shape_model import ShapeModel
from meanshape.methods.shared.start import POSE, Jitter, Start

Float = NDArray[np.float64]
Placed = tuple[NDArray[np.int64], Float]

FILE = "aam.npz"
DISPLACED = 0.5
"""Deviations that the paper's map is learnt within."""
PORTRAIT_MODES = 40
"""Of the grey levels that `reconstruct` renders."""
TEXTURES = 1200
"""Faces that texture modes are learnt from, at most."""


class AAM(SearchingModel):
    """Active Appearance Model; `shape_model` has the shapes, `portrait` the faces that it imagines."""

    name: ClassVar[str] = "aam"
    Config: ClassVar[type[Any]] = Config

    portrait: Portrait
    _start: Start
    _frames: list[Frame]
    _fitters: list[Fitter]

    @classmethod
    def tiny(cls) -> Self:
        """Two updates for a few dozen faces."""
        return cls(
            Config(
                faces=(48.0, 48.0),
                modes=(10, 10),
                texture=Sampling(stride=0.08),
                copies=4,
                ridge=10.0,
                texture_modes=20,
            )
        )

    # What the web page and curious people ask

    def reconstruct(self, weights: Sequence[float]) -> NDArray[np.uint8]:
        """Return the picture (S, S, 3) of the face of appearance weights, in standard deviations."""
        return self.portrait.render(np.asarray(weights, np.float64))[0]

    def describe(self, image: ImageLike, shape: Shape) -> Float:
        """Return the appearance weights, in standard deviations, of a face whose points are known."""
        self._fitted().check(shape.points)
        return self.portrait.describe(read_image(image), shape.points)

    # Search

    def _search(
        self, image: Pixels, box: Box, start: Shape | None, trace: list[Float] | None = None
    ) -> Float:
        points, way = self._start(image, box, start, self._fitted())
        way.append(points)
        for frame, fitter in zip(self._frames, self._fitters, strict=True):
            matrix, picture = _looked(frame, image, way[-1])
            back, moved = invert(matrix), apply(matrix, way[-1])
            way += [apply(back, shape) for shape in fitter.steps(frame, picture, moved, LIMIT)]
        if trace is not None:
            trace.extend(way)
        return np.stack(way[-2:])

    # Training

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        config = self.config
        bank = FaceBank(train, self._fitted())
        progress(0.1, f"{len(bank) // 2} faces read")
        most = None if min(config.modes) == 0 else max(config.modes)
        self.shape_model = ShapeModel.train(bank.points, VARIANCE, most)
        bank.points = self.shape_model.complete(bank.points)
        self.portrait = Portrait.train(self.shape_model, bank, PORTRAIT_MODES, VARIANCE, TEXTURES)
        progress(0.2, "portrait")
        self._start = Start(self.shape_model)
        placed: Placed = np.arange(len(bank)), bank.points
        if config.start == "regression":
            self._start, faces, points = Start.train(self.shape_model, bank, Jitter(), config.copies, seed)
            placed = faces, points
        progress(0.4, "start")
        self._frames = [self._frame(n) for n in range(len(config.faces))]
        self._fitters = []
        for n, frame in enumerate(self._frames):
            fitter, placed = self._learn(frame, bank, placed, (seed, 3, n))
            self._fitters.append(fitter)
            progress(0.4 + 0.6 * (n + 1) / len(self._frames), f"level {n + 1}")
        self._restore(self._groups())

    def _frame(self, n: int) -> Frame:
        """Return the frame of a level."""
        reader = TextureReader(self.shape_model.mean, self.config.faces[n], self.config.texture)
        return Frame(reader, self.shape_model.first(self.config.modes[n] or len(self.shape_model.modes)))

    def _learn(
        self, frame: Frame, bank: FaceBank, placed: Placed, seed: tuple[int, ...]
    ) -> tuple[Fitter, Placed]:
        """Return a level's fitter, and where faces that it has not seen are after it."""
        config = self.config
        if config.fitter == "update":
            return self._learn_update(frame, bank, placed)
        chosen = np.unique(np.linspace(0, len(bank) - 1, TEXTURES).astype(int))
        textures = true_textures(frame.reader, bank, chosen)
        model = TextureModel.train(textures, config.texture_modes)
        if config.fitter == "linear":
            weights = shape_weights(frame.shapes, bank.points[chosen])
            appearance = Appearance.train(weights, model.project(textures), VARIANCE)
            return self._learn_linear(frame, bank, model, appearance, seed), placed
        slopes = true_textures(frame.reader, bank, chosen, slopes=True)
        together = config.fitter == "wiberg"
        return Composition.train(model, textures, slopes, together, config.iterations), placed

    def _learn_update(self, frame: Frame, bank: FaceBank, placed: Placed) -> tuple[Fitter, Placed]:
        """Learn one update at the errors that are left."""
        faces, points = placed
        matrices = similarity(points, frame.reader.warp.mean)
        moved = apply(matrices, points)

        def read(face: int, matrix: Float, shape: Float) -> NDArray[np.float32]:
            picture = frame.reader.prepare(view(bank.image(face), matrix, frame.reader.side))
            return frame.reader.read(picture, shape)

        textures = mapped(read, zip(faces, matrices, moved, strict=True))
        truth = apply(matrices, bank.points[faces])
        groups = bank.groups[faces]
        update, after = Update.train(frame, textures, moved, truth, groups, self.config.ridge)
        after = np.stack([frame.nearest(shape, LIMIT) for shape in after])
        return update, (faces, apply(invert(matrices), after))

    def _learn_linear(
        self,
        frame: Frame,
        bank: FaceBank,
        model: TextureModel,
        appearance: Appearance,
        seed: tuple[int, ...],
    ) -> Fitter:
        """Learn the paper's map at drawn displacements of pose and appearance."""
        config = self.config
        fitter = Linear(np.zeros((0, 0), np.float32), model, appearance, config.iterations)
        half = DISPLACED * np.sqrt(appearance.variances)

        def displaced(face: int, copy: int) -> NDArray[np.float32]:
            rng = np.random.default_rng((*seed, face, copy))
            matrix = similarity(bank.points[face], frame.reader.warp.mean)
            picture = frame.reader.prepare(view(bank.image(face), matrix, frame.reader.side))
            true = apply(matrix, bank.points[face])
            b, pose = frame.shapes.fit(true)
            c = appearance.join(b, model.project(frame.reader.read(picture, true)))
            jitter = Jitter()
            spread = np.array(
                [jitter.scale, np.deg2rad(jitter.rotation), *[jitter.shift * frame.reader.face] * 2]
            )
            step = np.concatenate([rng.normal(size=POSE) * spread, rng.uniform(-half, half)])
            difference = fitter.difference(frame, picture, fitter.posed(pose, step), c + step[POSE:])
            return np.concatenate([difference, step]).astype(np.float32)

        rows = mapped(displaced, [(f, copy) for f in range(len(bank)) for copy in range(config.copies)])
        size = rows.shape[1] - POSE - len(half)
        weights, _, _ = ridge(rows[:, :size], rows[:, size:].astype(np.float64), config.ridge)
        return Linear(weights, model, appearance, config.iterations)

    # Files

    def _groups(self) -> dict[str, arrays.Group]:
        """Return all that was learnt."""
        groups: dict[str, arrays.Group] = {
            "shape": dict(self.shape_model.arrays()),
            "start": self._start.arrays(),
            "portrait": self.portrait.arrays(),
        }
        return groups | {f"level{n}": fitter.arrays() for n, fitter in enumerate(self._fitters)}

    def _restore(self, groups: Mapping[str, arrays.Group]) -> None:
        """Be what the groups describe."""
        self.shape_model = ShapeModel.from_arrays(groups["shape"])
        self.portrait = Portrait.from_arrays(self.shape_model, groups["portrait"])
        self._start = Start.from_arrays(self.shape_model, groups.get("start", {}))
        self._frames = [self._frame(n) for n in range(len(self.config.faces))]
        self._fitters = [self._restored(groups[f"level{n}"]) for n in range(len(self.config.faces))]

    def _restored(self, group: arrays.Group) -> Fitter:
        """Return the fitter of a level."""
        config = self.config
        if config.fitter == "update":
            return Update.from_arrays(group)
        if config.fitter == "linear":
            return Linear.from_arrays(group, config.iterations)
        return Composition.from_arrays(group, config.iterations)

    def _save(self, folder: Path) -> None:
        arrays.save(folder / FILE, self._groups())

    def _load(self, folder: Files) -> None:
        groups = arrays.load(folder / FILE)
        try:
            self._restore(groups)
        except (KeyError, MeanshapeError) as error:
            raise WeightsError(f"{folder / FILE}: not the weights of aam ({error})") from error
        if len(self.shape_model) != len(self._fitted()):
            raise WeightsError(
                f"{folder / FILE}: {len(self.shape_model)} points do not fit {self._fitted().name}"
            )


def _looked(frame: Frame, image: Pixels, points: Float) -> tuple[Float, NDArray[np.float32]]:
    """Return the map into the frame that brings a shape upright, and what textures are read from there."""
    matrix = similarity(points, frame.reader.warp.mean)
    return matrix, frame.reader.prepare(view(image, matrix, frame.reader.side))


MODEL = AAM
