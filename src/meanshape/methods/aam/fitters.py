"""Four ways to fit an appearance model to a picture, each a rule for the next shape.

Update      one linear map from the texture to pose and modes, learnt at the errors that the step before
            leaves on faces it has not seen
Linear      the paper's: one map from the difference between the picture's texture and the model's own to pose
            and appearance modes, learnt at drawn displacements; steps are halved until the difference shrinks
ProjectOut  inverse composition (Matthews, Baker 2004): the mean texture's slopes, less what the texture modes
            explain, give one map for all faces
Wiberg      inverse composition, simultaneous in shape and texture: the slopes are those of the texture model
            that explains the picture best so far (Papandreou, Maragos 2008; Tzimiropoulos, Pantic 2013)

All work in a level's frame, where the shape lies nearly upright. A fitter yields shapes (K, 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.methods.aam.texture import Appearance, TextureModel, TextureReader
from meanshape.methods.shared.ridge import ridge
from meanshape.methods.shared.shape_model import ShapeModel
from meanshape.methods.shared.start import POSE

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

RESTS = 0.05
"""Mean movement, in pixels of the frame, below which a fit is done."""
DAMPINGS = (1.0, 1.5, 0.5, 0.25, 0.125)
"""The paper's step lengths, in the order in which they are tried."""
RIDGE = 1e-4
"""On the Hessian of inverse composition, relative to its mean curvature, by coordinate."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One resolution: how textures are read, and which shapes there are."""

    reader: TextureReader
    shapes: ShapeModel

    @cached_property
    def directions(self) -> Float:
        """How pose and modes move the mean in the frame, (4 + M, K, 2)."""
        return self.shapes.directions(self.shapes.place(self.reader.warp.mean))

    @cached_property
    def moves(self) -> Float32:
        """How pose and modes move each sampled pixel, (P, 2, 4 + M)."""
        found = np.tensordot(self.reader.warp.weights, self.directions, ([1], [1]))
        return np.ascontiguousarray(found.transpose(0, 2, 1), np.float32)

    def nearest(self, points: Float, limit: float) -> Float:
        """Return the nearest plausible shape of the model."""
        return self.shapes.shape_from(*self.shapes.fit(points, max_deviation=limit, rounds=1))


class Fitter(Protocol):
    """What moves a shape to where the picture looks like the model."""

    def steps(self, frame: Frame, picture: Float32, points: Float, limit: float) -> Iterator[Float]:
        """Yield shapes (K, 2) that lie nearer and nearer."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""


@dataclass(frozen=True, eq=False)
class Update:
    """A step of a learnt cascade."""

    weights: Float32  # (P * C, 4 + M)
    bias: Float

    @classmethod
    def train(
        cls,
        frame: Frame,
        textures: Float32,
        points: Float,
        truth: Float,
        groups: NDArray[np.int64],
        strength: float,
    ) -> tuple[Self, Float]:
        """Learn from textures (N, D) under points (N, K, 2) that should lie at `truth`.

        Returns the step, and the points after it for faces that it has not seen.
        """
        basis = frame.directions.reshape(len(frame.directions), -1)
        wanted = (truth - points).reshape(len(points), -1) @ np.linalg.pinv(basis)
        weights, bias, answers = ridge(textures, wanted, strength, groups)
        moved = points + np.tensordot(answers, frame.directions, 1)
        return cls(weights, bias), moved

    def steps(self, frame: Frame, picture: Float32, points: Float, limit: float) -> Iterator[Float]:
        """Yield the one next shape."""
        answer = frame.reader.read(picture, points) @ self.weights + self.bias
        yield frame.nearest(points + np.tensordot(answer, frame.directions, 1), limit)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights in half precision, by their largest value."""
        scale = np.abs(self.weights).max(0) + np.float32(1e-30)
        return {"weights": (self.weights / scale).astype(np.float16), "scale": scale, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the step that `arrays` describes."""
        return cls(arrays["weights"].astype(np.float32) * arrays["scale"], arrays["bias"])


@dataclass(frozen=True, eq=False)
class Linear:
    """The paper's search: (pose, c) -= k R (texture - model's texture)."""

    weights: Float32  # (P * C, 4 + A)
    texture: TextureModel
    appearance: Appearance
    iterations: int

    def steps(self, frame: Frame, picture: Float32, points: Float, limit: float) -> Iterator[Float]:
        """Yield shapes for as long as the difference shrinks."""
        b, matrix = frame.shapes.fit(points, max_deviation=limit)
        c = self.appearance.join(b, self.texture.project(frame.reader.read(picture, points)))
        difference = self.difference(frame, picture, matrix, c)
        for _ in range(self.iterations):
            step = np.asarray(difference @ self.weights, np.float64)
            for damping in DAMPINGS:
                tried = self.posed(matrix, -damping * step), self._limited(c - damping * step[POSE:], limit)
                found = self.difference(frame, picture, *tried)
                if found @ found < difference @ difference:
                    break
            else:
                return
            (matrix, c), difference = tried, found
            yield frame.shapes.shape_from(self.appearance.part(c)[0], matrix)

    def _limited(self, c: Float, limit: float) -> Float:
        bound = limit * np.sqrt(self.appearance.variances)
        return np.clip(c, -bound, bound)

    @staticmethod
    def posed(matrix: Float, step: Float) -> Float:
        """Return a similarity scaled, turned and shifted by a step's log scale, angle, x, y."""
        scale = np.exp(np.clip(step[0], -0.5, 0.5))
        c, s = scale * np.cos(step[1]), scale * np.sin(step[1])
        return np.column_stack([np.array([[c, -s], [s, c]]) @ matrix[:, :2], matrix[:, 2] + step[2:POSE]])

    def difference(self, frame: Frame, picture: Float32, matrix: Float, c: Float) -> Float32:
        """Return the picture's texture less the model's."""
        b, g = self.appearance.part(c)
        read = frame.reader.read(picture, frame.shapes.shape_from(b, matrix))
        return np.asarray(read - self.texture.texture_from(g), np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return map and models."""
        scale = np.abs(self.weights).max(0) + np.float32(1e-30)
        own = {"weights": (self.weights / scale).astype(np.float16), "scale": scale}
        own |= {f"texture_{name}": array for name, array in self.texture.arrays().items()}
        return own | {f"appearance_{name}": array for name, array in self.appearance.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], iterations: int) -> Self:
        """Return the fitter that `arrays` describes."""
        parts = {
            part: {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}
            for part in ("texture_", "appearance_")
        }
        return cls(
            arrays["weights"].astype(np.float32) * arrays["scale"],
            TextureModel.from_arrays(parts["texture_"]),
            Appearance.from_arrays(parts["appearance_"]),
            iterations,
        )


@dataclass(frozen=True, eq=False)
class Composition:
    """Inverse composition: the step is solved for on the mean shape, and undone by the warp.

    `slopes` (1 or 1 + modes, D, 2) are those of the mean texture and, to fit shape and texture together, of
    its modes.
    """

    texture: TextureModel
    slopes: Float32
    iterations: int

    @classmethod
    def train(
        cls, texture: TextureModel, textures: Float32, slopes: Float32, together: bool, iterations: int
    ) -> Self:
        """Learn from true textures (N, D) and their slopes (N, D, 2)."""
        mean = slopes.mean(0)
        if not together:
            return cls(texture, mean[None], iterations)
        share = texture.project(textures) / (texture.variances * max(len(textures) - 1, 1))
        of_modes = np.tensordot(share.astype(np.float32), slopes - mean, ([0], [0]))
        return cls(texture, np.concatenate([mean[None], of_modes]), iterations)

    def steps(self, frame: Frame, picture: Float32, points: Float, limit: float) -> Iterator[Float]:
        """Yield shapes until they rest."""
        together = len(self.slopes) > 1
        solver = self._solver(frame, self.slopes[0])
        for _ in range(self.iterations):
            read = frame.reader.read(picture, points)
            if together:
                weights = np.asarray(self.texture.project(read), np.float32)
                solver = self._solver(frame, self.slopes[0] + np.tensordot(weights, self.slopes[1:], 1))
            on_mean = np.tensordot(solver @ (read - self.texture.mean), frame.directions, 1)
            turned = (frame.reader.warp.stretch(points) @ on_mean[..., None])[..., 0]
            last, points = points, frame.nearest(points - turned, limit)
            yield points
            if np.hypot(*(points - last).T).mean() < RESTS:
                return

    def _solver(self, frame: Frame, slopes: Float32) -> Float32:
        """Return the map (4 + M, D) from a difference of textures to pose and modes, by its slopes."""
        shaped = slopes.reshape(-1, frame.reader.channels, 2)
        jacobian = (shaped @ frame.moves).reshape(len(slopes), -1)
        jacobian -= self.texture.modes.T @ (self.texture.modes @ jacobian)
        hessian = (jacobian.T @ jacobian).astype(np.float64)
        corner = np.diag_indices(len(hessian))
        hessian[corner] += RIDGE * hessian[corner] + 1e-9 * np.trace(hessian) / len(hessian) + 1e-12
        return np.asarray(np.linalg.solve(hessian, jacobian.T), np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return texture model and slopes."""
        return self.texture.arrays() | {"slopes": self.slopes.astype(np.float16)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], iterations: int) -> Self:
        """Return the fitter that `arrays` describes."""
        return cls(TextureModel.from_arrays(arrays), arrays["slopes"].astype(np.float32), iterations)
