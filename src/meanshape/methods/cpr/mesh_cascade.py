"""The default cascade of `cpr`: linear regression on gradients of the whole face, which are computed once.

A square frame around the box is reduced to eight coarse maps of directional gradients. Each stage samples
them at the vertices of a mesh over the points, and one matrix updates the shape's PCA coefficients. In-plane
rotation needs no second crop: the maps are steered, by trigonometric interpolation over the eight
directions (steerable filters: Freeman and Adelson, 1991).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError
from meanshape.core.geometry import Matrix, Points, frame_matrix
from meanshape.core.image import Pixels
from meanshape.methods.cpr.descriptors import CHANNELS, directional_gradients
from meanshape.methods.shared.frames import crop_face

Float = NDArray[np.float32]
Complex = NDArray[np.complex128]

CELL = 4
"""Frame pixels per cell of the fine maps; the coarse maps' cells are twice as large."""
MARGIN = 1
"""Frame pixels around the frame that derivatives need."""
SCALE = 1.5
"""Side of the frame, face boxes."""
NORM_EPSILON = 16.0
"""Added to a cell's norm, grey levels: much weaker gradients stay small after normalisation."""
FIRST_EXTENSION = 0.7
EXTENSION = 0.12
"""How far the first and the later meshes reach outside the hull, as a share of the distance to its centre."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Settings of the cascade on meshes. Lengths in face boxes."""

    side: int = 144  # of the frame, pixels
    strides: tuple[float, ...] = (0.1, 0.07, 0.065, 0.055, 0.055)  # of each stage's mesh on the mean shape
    coarse: int = 1  # number of first stages that use the coarse maps
    turns: int = 1  # number of first stages after which the frame is realigned with the current shape
    kept: int = 64  # principal components of a shape
    first: int = 16  # components that the first stage updates, in order of variance
    directions: int = 48  # components that the last stage updates; linear in between
    strength: float = 0.2  # of the ridge penalty

    built_in: ClassVar[Mapping[str, Any]] = {
        "scale": SCALE,
        "soft": NORM_EPSILON,
        "wide": FIRST_EXTENSION,
        "beyond": EXTENSION,
    }

    def __post_init__(self) -> None:
        """Check that cells divide the frame, and the numbers of stages and components."""
        if self.side < 4 * CELL or self.side % (2 * CELL):
            raise ConfigError(f"a mesh needs a side that is a multiple of {2 * CELL}, not {self.side}")
        if (
            not self.strides
            or not min(self.strides) > 0
            or not 4 <= self.first <= self.directions <= self.kept
        ):
            raise ConfigError(
                "a mesh needs a stride above 0 for each stage, and 4 <= first <= directions <= kept"
            )

    def margin(self) -> int:
        """Return the margin needed around the frame, pixels."""
        return MARGIN


@dataclass(frozen=True, slots=True)
class GradientFrame:
    """Fine and coarse gradient planes (8, n, n) of one face.

    A point z = x + iy of the unit frame lies at linear z + shift in the frame, pixels without the margin.
    """

    planes: tuple[Pixels, Pixels]
    linear: complex
    shift: complex


@dataclass(slots=True)
class Stage:
    """One regression.

    Attributes
    ----------
    places : (P, K), sampling positions as weighted sums of the points
    weights : (q, 8 P + Q + 1), of the sampled maps, the shape's coefficients and 1
    grid : (2 P, Q + 1), takes coefficients and 1 to sampling positions
    """

    places: Float
    weights: Float
    grid: Float = field(default_factory=lambda: np.empty((0, 0), np.float32))


class MeshCascade:
    """Stages over a mean shape (K, 2), face boxes.

    A shape is represented by its coefficients (Q,) along the rows of `basis` (Q, 2 K), and a last 1.
    """

    def __init__(self, settings: Mesh, mean: Points, basis: Float, stages: Sequence[Stage] = ()) -> None:
        self.settings, self.basis, self.stages = settings, basis, list(stages)
        self._whole = np.ascontiguousarray(np.column_stack([basis.T, mean.ravel()]), np.float32)
        self._mean = np.ascontiguousarray(self._whole[:, -1])
        self._pose = pose_of(mean, complex_of(self._whole.T))
        for stage in self.stages:
            stage.grid = self.grid(stage.places)

    def coefficients(self, shapes: NDArray[np.floating[Any]]) -> Float:
        """Return the coefficients (..., Q + 1), the last of them 1, of shapes (..., 2 K)."""
        found = np.ones((*shapes.shape[:-1], len(self.basis) + 1), np.float32)
        found[..., :-1] = (shapes - self._mean) @ self.basis.T
        return found

    def shapes(self, coefficients: Float) -> NDArray[np.complex64]:
        """Return the points (..., K), as x + iy, of coefficients (..., Q + 1)."""
        return (coefficients @ self._whole.T).view(np.complex64)

    def pose(self, coefficients: Float) -> Complex:
        """Return a and b (..., 2) for which a mean + b is the least-squares fit to shapes (..., Q + 1)."""
        return (coefficients @ self._pose.T).view(np.complex64).astype(np.complex128)

    def grid(self, places: Float) -> Float:
        """Return the matrix (2 P, Q + 1) from coefficients to weighted sums (P, K) of the points."""
        every = self._whole.reshape(places.shape[1], 2, -1)
        return np.ascontiguousarray(np.tensordot(places, every, 1).reshape(2 * len(places), -1))

    def prepare(self, image: Pixels, unit: Matrix) -> GradientFrame:
        """Return the gradient planes of a face; `unit` maps its unit frame to the image."""
        frame, linear, shift = crop_frame(image, unit, self.settings.side, SCALE)
        return GradientFrame(pooled_gradients(frame), linear, shift)

    def __call__(
        self, face: GradientFrame, shape: Points, first: int = 0, stages: int | None = None
    ) -> Points:
        """Return the points (K, 2) after stages `first` to `stages`; both shapes are in the unit frame."""
        settings = self.settings
        planes: Float | None = None
        maps: Float | None = None
        previous = False
        coefficients = self.coefficients(shape.ravel())
        linear, shift = face.linear, face.shift
        for number, stage in enumerate(self.stages[first:stages], first):
            coarse = number < settings.coarse
            if planes is None or coarse != previous:
                planes = normalised(face.planes[coarse], NORM_EPSILON)
                maps = None
                previous = coarse
            if maps is None:
                maps = steer(planes, linear)
                factor, offset = to_cells(linear, shift, coarse)
            places = (stage.grid @ coefficients).view(np.complex64)
            places *= factor
            places += offset
            features = np.empty(stage.weights.shape[1], np.float32)
            features[-len(coefficients) :] = coefficients
            sample_maps(maps, places, features[: -len(coefficients)])
            coefficients[: len(stage.weights)] += stage.weights @ features
            if number < settings.turns:
                a, b = self.pose(coefficients).tolist()
                coefficients = self.coefficients(((self.shapes(coefficients) - b) / a).view(np.float32))
                shift += linear * b
                linear *= a
                maps = None
        points = self.shapes(coefficients).astype(np.complex128)
        points *= linear / face.linear
        points += (shift - face.shift) / face.linear
        return points.view(np.float64).reshape(-1, 2)

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return the arrays to store, mostly in half precision."""
        stages: dict[str, dict[str, NDArray[Any]]] = {
            f"stage{n}": {
                "places": stage.places.astype(np.float16),
                "weights": stage.weights[:, :-1].astype(np.float16),
                "bias": stage.weights[:, -1],
            }
            for n, stage in enumerate(self.stages)
        }
        return {"mesh": {"basis": self.basis.astype(np.float16)}, **stages}

    @classmethod
    def read(cls, groups: dict[str, dict[str, NDArray[Any]]], settings: Mesh, mean: Points) -> Self:
        """Return the cascade from its stored arrays."""
        stored = [groups[f"stage{n}"] for n in range(len(settings.strides))]
        stages = [
            Stage(_single(one["places"]), _single(np.column_stack([one["weights"], one["bias"]])))
            for one in stored
        ]
        return cls(settings, mean, _single(groups["mesh"]["basis"]), stages)


def pooled_gradients(frame: Pixels) -> tuple[Pixels, Pixels]:
    """Return the fine (8, n / 4, n / 4) and coarse (8, n / 8, n / 8) gradients of a frame (n + 2, n + 2)."""
    import cv2

    planes: Any = directional_gradients(frame)
    side, found = planes.shape[1], []
    planes = planes.reshape(-1, side)
    for part in (2, CELL, 2 * CELL):  # halving again and again is faster than once by four
        cells = side // part
        planes = cv2.resize(planes, (cells, CHANNELS * cells), interpolation=cv2.INTER_AREA)
        found.append(np.asarray(planes).reshape(CHANNELS, cells, cells))
    return found[1], found[2]


def normalised(planes: Pixels, epsilon: float) -> Float:
    """Return planes (8, n, n) as (8, n n), each cell divided by the norm of its directions plus epsilon."""
    flat = planes.reshape(CHANNELS, -1).astype(np.float32)
    norm = np.sqrt(np.einsum("ij,ij->j", flat, flat))
    norm += np.float32(epsilon)
    flat /= norm
    return flat


def steer(flat: Float, linear: complex) -> Float:
    """Return maps (n, n, 8) of planes (8, n n), steered to a face rotated by the angle of `linear`."""
    import cv2

    maps: Any = cv2.transpose(steering_matrix(linear) @ flat)
    side = math.isqrt(flat.shape[1])
    return np.asarray(maps, np.float32).reshape(side, side, CHANNELS)


def steering_matrix(linear: complex) -> Float:
    """Return the matrix (8, 8) that takes responses in eight directions to those in rotated directions."""
    one = linear / abs(linear)
    two = one * one
    three, four = two * one, two * two
    waves = (1.0, one.real, one.imag, two.real, two.imag, three.real, three.imag, four.real)
    return np.asarray((np.array(waves, np.float32) @ _STEERING_BASIS).reshape(CHANNELS, CHANNELS), np.float32)


def _steering_basis() -> Float:
    """Return (8, 64): the coefficients of `steering_matrix` of 1, cos a, sin a, ... cos 4 a.

    This is interpolation by trigonometric polynomials. Diagonal differences span sqrt(2) as many pixels and
    are scaled by 1 / sqrt(2).
    """
    angles = np.pi / 4 * np.arange(CHANNELS)
    apart = angles[:, None] - angles  # output direction minus input direction
    parts = [np.ones_like(apart)]
    for wave in (1, 2, 3):
        parts += [2 * np.cos(wave * apart), -2 * np.sin(wave * apart)]
    parts.append(np.cos(4 * apart))
    spans = np.where(np.arange(CHANNELS) % 2, 0.5**0.5, 1.0)
    return np.asarray((np.stack(parts) * spans / CHANNELS).reshape(CHANNELS, -1), np.float32)


_STEERING_BASIS = _steering_basis()


def to_cells(linear: complex, shift: complex, coarse: bool) -> tuple[complex, complex]:
    """Return linear and shift in cells, from those in frame pixels."""
    step = 2 * CELL if coarse else CELL
    return linear / step, (shift - (step - 1) / 2 * (1 + 1j)) / step


def sample_maps(maps: Float, places: NDArray[np.complex64], into: Float) -> None:
    """Sample maps (n, n, 8) bilinearly at places (P,), cells, into (8 P,)."""
    import cv2

    coordinates = places.view(np.float32).reshape(-1, 1, 2)
    found = into.reshape(-1, 1, CHANNELS)
    empty = np.empty(0, np.float32)  # both coordinates are in the first map
    cv2.remap(maps, coordinates, empty, cv2.INTER_LINEAR, dst=found, borderMode=cv2.BORDER_REPLICATE)


def crop_frame(image: Pixels, unit: Matrix, side: int, scale: float) -> tuple[Pixels, complex, complex]:
    """Return an axis-aligned frame (side + 2, side + 2), and `linear` and `shift` of `GradientFrame`.

    `unit` maps the unit frame to the image.
    """
    import cv2

    (c, _, x), (s, _, y) = unit.tolist()
    size, frame_side = math.hypot(c, s), side + 2 * MARGIN
    image_side, halves = size * scale * frame_side / side, 0  # image pixels along the frame
    while image_side >= 2 * frame_side << halves:  # halving is by far the fastest reduction
        halves += 1
    width = max(round(image_side / (1 << halves)), 1) << halves
    left, top = round(x - (width - 1) / 2), round(y - (width - 1) / 2)
    part = _part(image, left, top, width)
    if part is None:
        matrix = frame_matrix(side, scale) + np.array([[0, 0, MARGIN], [0, 0, MARGIN]])
        view = crop_face(image, np.array([[size, 0, x], [0, size, y]]), scale, side / scale)
        shift = (side - 1) / 2 * (1 + 1j)
        return view.frame(matrix, frame_side), complex(c, s) * side / scale / size, shift
    factor = frame_side / width
    for _ in range(halves):
        width //= 2
        part = np.asarray(cv2.resize(part, (width, width), interpolation=cv2.INTER_AREA), np.uint8)
    frame = np.asarray(cv2.resize(part, (frame_side, frame_side)), np.uint8)
    middle = complex(x - left + 0.5, y - top + 0.5)
    return frame, complex(c, s) * factor, middle * factor - (0.5 + MARGIN) * (1 + 1j)


def _part(image: Pixels, left: int, top: int, width: int) -> Pixels | None:
    """Return a grey crop (width, width), borders reflected; None if more than half of a side lies outside."""
    import cv2

    bottom, right = top + width, left + width
    high, wide = image.shape[:2]
    y0, y1, x0, x1 = max(top, 0), min(bottom, high), max(left, 0), min(right, wide)
    if 2 * (y1 - y0) < width or 2 * (x1 - x0) < width:
        return None
    part: Any = image[y0:y1, x0:x1]
    if part.ndim == 3:
        part = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    if part.shape != (width, width):
        around = (y0 - top, bottom - y1, x0 - left, right - x1)
        part = cv2.copyMakeBorder(part, *around, cv2.BORDER_REFLECT)
    return np.asarray(part, np.uint8)


def pose_of(mean: Points, shapes: Complex) -> Float:
    """Return the matrix (4, N) from weights of shapes (N, K), as x + iy, to the pose of their weighted sum.

    The pose is the real and imaginary parts of a and b for which a mean + b is the least-squares fit.
    """
    centred = complex_of((mean - mean.mean(0)).ravel())
    size, place = shapes @ centred.conj() / np.vdot(centred, centred).real, shapes.mean(1)
    return np.stack([size.real, size.imag, place.real, place.imag]).astype(np.float32)


def complex_of(points: NDArray[np.floating[Any]]) -> Complex:
    """Return coordinates (..., 2 K) as x + iy (..., K)."""
    found: Complex = np.ascontiguousarray(points, np.float64).view(np.complex128)
    return found


def _single(values: NDArray[Any]) -> Float:
    """Return contiguous float32 values."""
    return np.ascontiguousarray(values, np.float32)
