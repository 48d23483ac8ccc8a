"""Predict with CPR: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.geometry import (
    Matrix,
    Points,
    apply,
    compose,
    frame_matrix,
    invert,
    similarity,
    unit_matrix,
)
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.cpr.binary_features import BinaryStage
from meanshape.methods.cpr.config import MESH, Config
from meanshape.methods.cpr.ferns import FernStage
from meanshape.methods.cpr.linear_stage import Linear, LinearStage
from meanshape.methods.cpr.mesh_cascade import Mesh, MeshCascade
from meanshape.methods.cpr.mesh_training import fit_mesh
from meanshape.methods.cpr.pose_ferns import PoseCascade
from meanshape.methods.cpr.shape_prior import ShapePrior
from meanshape.methods.cpr.training_set import Faces, StageData, Views, filled, gather
from meanshape.methods.cpr.trees import TreeStage
from meanshape.methods.shared import arrays as files
from meanshape.methods.shared.frames import View, crop_face, laid, own_unit, upright

FILE = "cascade.npz"
KINDS: dict[str, Any] = {
    "linear": LinearStage,
    "ferns": FernStage,
    "trees": TreeStage,
    "binary": BinaryStage,
}
MIN_START_SPREAD = 0.05
"""Starts whose points span less than this share of the box are ignored."""


class CPR(LandmarkModel):
    """Cascaded regression, run by numpy alone.

    ``predict(..., stages=2)`` runs the first two stages only, ``stages=0`` none: the mean shape, aligned.
    ``start`` may be an earlier shape (tracking).
    """

    name: ClassVar[str] = "cpr"
    starts_in_own_box: ClassVar[bool] = True
    Config: ClassVar[type[Any]] = Config

    mean: Points
    """(K, 2), face boxes relative to the box's centre."""
    starts: Points
    """(starts, K, 2), the mean first."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._mesh: MeshCascade | None = None
        self._stages: list[list[Any]] = []  # by frame; unused with a mesh
        self._means: dict[str, Points] = {}  # the mean shape in other mark-ups, for starts
        self._pose: PoseCascade | None = None
        self._prior: ShapePrior | None = None

    @classmethod
    def tiny(cls) -> Self:
        """Two frames for a few dozen faces."""
        linear = Linear(dimensions=8, strength=(3.0,), noise=0.2)
        mesh = Mesh(side=64, strides=(0.12, 0.09), turns=1, strength=1.0)
        shown: dict[str, Any] = {"sizes": (40, 56), "scales": (1.2, 1.2), "stages": (1, 1)}
        return cls(Config(**shown, noise=0.025, views=Views(count=4), mesh=mesh, linear=linear))

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        config, rng, kind = self.config, np.random.default_rng(seed), self._fitted()
        faces = gather(train, kind, config.views, config.reach, config.density, rng, progress)
        self.mean = _symmetric(faces.truth.mean(0), list(kind.mirror))
        self._pose = None
        if config.pose.stages:
            self._pose = PoseCascade.fit(faces, self.mean, config.pose, rng)
            faces = _aligned(faces, self._pose)
            self.mean = _symmetric(faces.truth.mean(0), list(kind.mirror))
        others = faces.truth[rng.integers(0, len(faces.truth), config.starts - 1)]
        self.starts, self._means = _single(np.concatenate([self.mean[None], others])), {}
        shapes = np.tile(self.mean, (len(faces.views), 1, 1))
        if config.starts > 1:  # train from other faces' shapes, so that any may be the start
            shapes = faces.truth[rng.permutation(len(shapes))]
        self._prior = None
        if config.noise:
            known = [s.shape.points for s in train if s.shape is not None]
            known = [points for points in known if np.isfinite(points).all(1).sum() > 1]
            whole = [shape for shape in filled(np.stack(known)) if np.ptp(shape, axis=0).min() > 0]
            self._prior = ShapePrior.of(np.stack(whole), list(kind.mirror), self.mean, config.noise)
        self._stages, self._mesh = [], None
        if config.regressor == MESH:
            self._mesh = fit_mesh(faces, self.mean, shapes, config.mesh, progress)
            return
        for number in range(len(config.sizes)):
            self._stages.append([])
            shapes = self._fit_frame(number, faces, shapes, rng, progress)

    def _fit_frame(
        self, number: int, faces: Faces, shapes: Points, rng: np.random.Generator, progress: Progress
    ) -> Points:
        """Learn the stages of one frame; return the shapes (N, K, 2) after them, held out where possible."""
        config, kind = self.config, KINDS[self.config.regressor]
        density = config.sizes[number] / config.scales[number]
        matrices = [self._matrix(number, shape) for shape in shapes]
        frames = np.stack([self._cut(number, v, m) for v, m in zip(faces.views, matrices, strict=True)])
        there = np.stack([_moved(m, shape) for m, shape in zip(matrices, shapes, strict=True)])
        truth = np.stack([_moved(m, shape) for m, shape in zip(matrices, faces.truth, strict=True)])
        for _ in range(config.stages[number]):
            data = StageData(frames, there, truth, faces.folds, self.mean, density, faces.faces)
            stage, there = kind.fit(data, config.settings, rng)
            self._stages[number].append(stage)
            done = sum(map(len, self._stages)) / sum(config.stages)
            error = np.linalg.norm(there - truth, axis=-1).mean() / density
            progress(0.1 + 0.9 * done, f"stage learnt: mean error {100 * error:.2f} % of the box")
        back = [invert(matrix) for matrix in matrices]
        return np.stack([_moved(matrix, shape) for matrix, shape in zip(back, there, strict=True)])

    def _matrix(self, number: int, shape: Points) -> Matrix:
        """Return the map from the unit frame to a frame aligned with a shape (K, 2)."""
        frame = frame_matrix(self.config.sizes[number], self.config.scales[number])
        return compose(upright(shape, self.mean), frame)

    def _cut(self, number: int, view: View, matrix: Matrix) -> Pixels:
        """Return a frame's pixels with its stages' margin."""
        margin = self.config.settings.margin()
        matrix = matrix + np.array([[0, 0, margin], [0, 0, margin]])
        return view.frame(matrix, self.config.sizes[number] + 2 * margin)

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        faces = zip(images, boxes, starts, strict=True)
        return np.stack([self._predict_one(image, box, start, **options) for image, box, start in faces])

    def _predict_one(self, image: Pixels, box: Box, start: Shape | None, stages: int | None = None) -> Points:
        """Return the points (K, 2) of one face after the first `stages` stages, by default all."""
        total = self.config.count
        if stages is not None and not 0 <= stages <= total:
            raise ConfigError(f"this cascade has {total} stages, asked for {stages}")
        unit, shape = unit_matrix(box), None
        if start is not None:
            unit, shape = self._frame_of_start(start, box)
        initials = self.starts if shape is None else shape[None]
        last = total if stages is None or shape is not None else stages
        if self._mesh is None or self._pose is not None:
            view = crop_face(image, unit, self.config.reach, self.config.density)
            if shape is None and self._pose is not None:
                moved = self._pose([view])[0]
                view, unit = View(view.pixels, compose(moved, view.matrix)), compose(moved, unit)
        # a start near the solution would only be disturbed by the coarse stages
        if self._mesh is None:
            found = [self._run(view, initial, int(shape is not None), last) for initial in initials]
        else:
            seen, first = self._mesh.prepare(image, unit), 0 if shape is None else self.config.mesh.coarse
            found = [self._mesh(seen, initial, first, last) for initial in initials]
        if self._prior is not None and last == total:
            found = [self._prior(one, self.mean) for one in found]
        return _moved(unit, np.median(found, axis=0) if len(found) > 1 else found[0])

    def _run(self, view: View, shape: Points, first: int, left: int) -> Points:
        """Return a shape (K, 2), in the unit frame, after `left` stages from frame `first` on."""
        for number in range(first, len(self._stages)):
            if not left:
                break
            matrix = self._matrix(number, shape)
            points, stages = _moved(matrix, shape), self._stages[number][:left]
            seen = stages[0].prepare(self._cut(number, view, matrix))
            for stage in stages:
                points = stage(seen, points)
            shape = _moved(invert(matrix), points)
            left -= len(stages)
        return shape

    def _frame_of_start(self, start: Shape, box: Box) -> tuple[Matrix, Points | None]:
        """Return the unit frame derived from a start, and the initial shape in it (None: the mean shape).

        A complete shape whose tight box is a face box gives the box and its rotation, as in training; to
        start from its points would drift. Partial starts (five points) give the frame alone. Starts whose
        points nearly coincide are ignored.
        """
        kind = self._fitted()
        known = start.points[np.isfinite(start.points).all(1)]
        if len(known) < 2 or (known.max(0) - known.min(0)).max() < MIN_START_SPREAD * box.size:
            return unit_matrix(box), None
        if start.markup.name not in self._means:
            self._means[start.markup.name] = kind.convert(self.mean, start.markup)
        mean, all_known = self._means[start.markup.name], len(known) == len(start)
        unit = laid(mean, known) if all_known and np.isfinite(mean).all() else similarity(mean, start.points)
        whole = start.markup == kind and all_known
        if whole and (own_frame := own_unit(self.mean, start)) is not None:
            return own_frame, None
        whole = whole and self._has_fine_stages()
        if not np.hypot(*unit[:, 0]) > MIN_START_SPREAD * box.size:
            return unit_matrix(box), None
        return unit, apply(invert(unit), start.points) if whole else None

    def _has_fine_stages(self) -> bool:
        """Return whether there are stages after the coarse ones."""
        if self._mesh is not None:
            return len(self._mesh.stages) > int(self.config.mesh.coarse)
        return len(self._stages) > 1

    def _save(self, folder: Path) -> None:
        groups = {
            f"{number}_{turn}": stage.arrays()
            for number, stages in enumerate(self._stages)
            for turn, stage in enumerate(stages)
        }
        if self._mesh is not None:
            groups |= self._mesh.arrays()
        if self._pose is not None:
            groups["pose"] = self._pose.arrays()
        if self._prior is not None:
            groups["prior"] = self._prior.arrays()
        files.save(folder / FILE, {"start": {"shapes": self.starts.astype(np.float32)}, **groups})

    def _load(self, folder: Files) -> None:
        groups = files.load(folder / FILE)
        try:
            self.starts = groups["start"]["shapes"].astype(np.float64)
            self.mean, self._means = self.starts[0], {}
            self._pose = PoseCascade(**groups["pose"]) if self.config.pose.stages else None
            self._prior = ShapePrior.read(groups["prior"]) if self.config.noise else None
            self._read_stages(groups)
        except (KeyError, TypeError) as error:
            raise WeightsError(f"{folder / FILE}: not the weights of this cascade ({error})") from error
        if self.starts.shape[1:] != (len(self._fitted()), 2):
            found = self.starts.shape[1:]
            raise WeightsError(f"{folder / FILE}: shapes of {found} do not fit {self._fitted().name}")

    def _read_stages(self, groups: dict[str, dict[str, NDArray[Any]]]) -> None:
        """Restore the stages from stored arrays."""
        settings = self.config.settings
        self._mesh, self._stages = None, []
        if self.config.regressor == MESH:
            self._mesh = MeshCascade.read(groups, settings, self.mean)
            return
        kind = KINDS[self.config.regressor]
        self._stages = [
            [kind.read(groups[f"{number}_{turn}"], settings) for turn in range(count)]
            for number, count in enumerate(self.config.stages)
        ]


def _moved(matrix: Matrix, points: Points) -> Points:
    """Return points (K, 2) mapped by (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _single(points: Points) -> Points:
    """Return points rounded to single precision, as they are stored."""
    return points.astype(np.float32).astype(np.float64)


def _symmetric(mean: Points, mirror: list[int]) -> Points:
    """Return the mean of a mean shape and its mirror image: a left-right symmetric shape."""
    return _single((mean + mean[mirror] * (-1, 1)) / 2)


def _aligned(faces: Faces, pose: PoseCascade) -> Faces:
    """Return faces in the unit frames that a pose cascade finds."""
    moved = pose(faces.views)
    views = [View(v.pixels, compose(m, v.matrix)) for v, m in zip(faces.views, moved, strict=True)]
    truth = np.stack([_moved(invert(m), shape) for m, shape in zip(moved, faces.truth, strict=True)])
    return Faces(views, truth, faces.folds, faces.faces)


MODEL = CPR
