"""The default cascade of `cpr`: linear maps of the gradients of the whole face, which are computed once.

A square about the box is cut out, and eight coarse maps of it say how much lighter it gets in each of eight
directions. A stage reads them where a mesh over the points says, and one matrix moves the shape, which is
kept as numbers along the directions that shapes have. A turned head needs no turned picture: as a function of
the direction, what is read at a place is a sum of a few waves, and so it can be turned afterwards.
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
from meanshape.methods.cpr.descriptors import CHANNELS, lighter_each_way
from meanshape.methods.shared.frames import look

Float = NDArray[np.float32]
Complex = NDArray[np.complex128]

CELL = 4
"""Frame pixels per cell of the fine maps; cells of the coarse ones are twice as large."""
MARGIN = 1
"""Frame pixels that differences need around the frame."""
SCALE = 1.5
"""Side of the frame, face boxes."""
SOFT = 16.0
"""Grey levels: gradients much weaker than that stay small when made relative."""
WIDE, BEYOND = 0.7, 0.12
"""How far the first mesh reaches beyond the points, as a share of their distance, and the others."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What is decided about a cascade that reads meshes. Lengths in face boxes."""

    side: int = 144  # of the frame, pixels
    strides: tuple[float, ...] = (0.1, 0.07, 0.065, 0.055, 0.055)  # of each stage's places on the mean shape
    coarse: int = 1  # stages, the first ones, that read the coarse maps
    turns: int = 1  # stages, the first ones, after which the frame is set upright by the shape so far
    kept: int = 64  # directions that shapes are kept in,
    first: int = 16  # how many of these, in order of variance, the first stage moves them in,
    directions: int = 48  # and the last; those between, as many in proportion
    strength: float = 0.2  # of the ridge

    built_in: ClassVar[Mapping[str, Any]] = {
        "scale": SCALE,
        "soft": SOFT,
        "wide": WIDE,
        "beyond": BEYOND,
    }

    def __post_init__(self) -> None:
        """Check that maps come out even, and that there are stages."""
        if self.side < 4 * CELL or self.side % (2 * CELL):
            raise ConfigError(f"a mesh needs a side that is a multiple of {2 * CELL}, not {self.side}")
        if (
            not self.strides
            or not min(self.strides) > 0
            or not 4 <= self.first <= self.directions <= self.kept
        ):
            raise ConfigError(
                "a mesh needs strides above 0, one a stage, and 4 directions or more, all of them kept"
            )

    def margin(self) -> int:
        """Return the frame pixels that are needed around the frame."""
        return MARGIN


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a face: fine and coarse planes (8, n, n); the unit frame's point z = x + iy lies at
    turn z + shift in the frame, pixels without the margin.
    """

    planes: tuple[Pixels, Pixels]
    turn: complex
    shift: complex


@dataclass(slots=True)
class Stage:
    """Places as mixtures of the points (P, K), and weights (q, 8 P + Q + 1) of what is read there, of the
    shape's numbers and of 1; `grid` (2 P, Q + 1) takes the shape's numbers and 1 to the places.
    """

    places: Float
    weights: Float
    grid: Float = field(default_factory=lambda: np.empty((0, 0), np.float32))


class MeshCascade:
    """Stages over a mean shape (K, 2), face boxes.

    A shape is kept as its numbers (Q,) along the rows of `basis` (Q, 2 K), and a last 1.
    """

    def __init__(self, settings: Mesh, mean: Points, basis: Float, stages: Sequence[Stage] = ()) -> None:
        self.settings, self.basis, self.stages = settings, basis, list(stages)
        self._whole = np.ascontiguousarray(np.column_stack([basis.T, mean.ravel()]), np.float32)
        self._mean = np.ascontiguousarray(self._whole[:, -1])
        self._pose = pose_of(mean, complex_of(self._whole.T))
        for stage in self.stages:
            stage.grid = self.grid(stage.places)

    def numbers(self, shapes: NDArray[np.floating[Any]]) -> Float:
        """Return shapes (..., 2 K) as numbers (..., Q + 1), the last of them 1."""
        found = np.ones((*shapes.shape[:-1], len(self.basis) + 1), np.float32)
        found[..., :-1] = (shapes - self._mean) @ self.basis.T
        return found

    def shapes(self, numbers: Float) -> NDArray[np.complex64]:
        """Return the points (..., K), as x + iy, of shapes in numbers (..., Q + 1)."""
        return (numbers @ self._whole.T).view(np.complex64)

    def pose(self, numbers: Float) -> Complex:
        """Return a and b (..., 2): the shapes (..., Q + 1) are nearest to a mean + b."""
        return (numbers @ self._pose.T).view(np.complex64).astype(np.complex128)

    def grid(self, places: Float) -> Float:
        """Return what takes a shape's numbers to places that are mixtures (P, K) of its points."""
        every = self._whole.reshape(places.shape[1], 2, -1)
        return np.ascontiguousarray(np.tensordot(places, every, 1).reshape(2 * len(places), -1))

    def look(self, image: Pixels, unit: Matrix) -> Seen:
        """Return what is to be seen of a face whose unit frame `unit` takes to the picture."""
        frame, turn, shift = window(image, unit, self.settings.side, SCALE)
        return Seen(pooled(frame), turn, shift)

    def __call__(self, seen: Seen, shape: Points, first: int = 0, stages: int | None = None) -> Points:
        """Return the points (K, 2) after stages from `first` on, begun at a shape; both in the unit frame."""
        settings, planes, maps, was = self.settings, None, None, False
        numbers, turn, shift = self.numbers(shape.ravel()), seen.turn, seen.shift
        for number, stage in enumerate(self.stages[first:stages], first):
            coarse = number < settings.coarse
            if planes is None or coarse != was:
                planes, maps, was = relative(seen.planes[coarse], SOFT), None, coarse
            if maps is None:
                maps = upright(planes, turn)
                factor, offset = in_cells(turn, shift, coarse)
            there = (stage.grid @ numbers).view(np.complex64)
            there *= factor
            there += offset
            known = np.empty(stage.weights.shape[1], np.float32)
            known[-len(numbers) :] = numbers
            read(maps, there, known[: -len(numbers)])
            numbers[: len(stage.weights)] += stage.weights @ known
            if number < settings.turns:
                a, b = self.pose(numbers).tolist()
                numbers = self.numbers(((self.shapes(numbers) - b) / a).view(np.float32))
                turn, shift, maps = turn * a, turn * b + shift, None
        points = self.shapes(numbers).astype(np.complex128)
        points *= turn / seen.turn
        points += (shift - seen.shift) / seen.turn
        return points.view(np.float64).reshape(-1, 2)

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return what is stored, mostly in half precision."""
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
        """Return the cascade that was stored."""
        stored = [groups[f"stage{n}"] for n in range(len(settings.strides))]
        stages = [
            Stage(_single(one["places"]), _single(np.column_stack([one["weights"], one["bias"]])))
            for one in stored
        ]
        return cls(settings, mean, _single(groups["mesh"]["basis"]), stages)


def pooled(frame: Pixels) -> tuple[Pixels, Pixels]:
    """Return how much lighter a frame (n + 2, n + 2) gets each way: (8, n / 4, n / 4), (8, n / 8, n / 8)."""
    import cv2

    planes: Any = lighter_each_way(frame)
    side, found = planes.shape[1], []
    planes = planes.reshape(-1, side)
    for part in (2, CELL, 2 * CELL):  # halving again and again is faster than once by four
        cells = side // part
        planes = cv2.resize(planes, (cells, CHANNELS * cells), interpolation=cv2.INTER_AREA)
        found.append(np.asarray(planes).reshape(CHANNELS, cells, cells))
    return found[1], found[2]


def relative(planes: Pixels, soft: float) -> Float:
    """Return planes (8, n, n) as (8, n n), relative to all of each place."""
    flat = planes.reshape(CHANNELS, -1).astype(np.float32)
    norm = np.sqrt(np.einsum("ij,ij->j", flat, flat))
    norm += np.float32(soft)
    flat /= norm
    return flat


def upright(flat: Float, turn: complex) -> Float:
    """Return maps (n, n, 8) of planes (8, n n), upright for a face that is turned by the angle of `turn`."""
    import cv2

    maps: Any = cv2.transpose(turning(turn) @ flat)
    side = math.isqrt(flat.shape[1])
    return np.asarray(maps, np.float32).reshape(side, side, CHANNELS)


def turning(turn: complex) -> Float:
    """Return what (8, 8) takes eight directions' numbers to those of the directions turned by an angle."""
    one = turn / abs(turn)
    two = one * one
    three, four = two * one, two * two
    waves = (1.0, one.real, one.imag, two.real, two.imag, three.real, three.imag, four.real)
    return np.asarray((np.array(waves, np.float32) @ _WAVES).reshape(CHANNELS, CHANNELS), np.float32)


def _waves() -> Float:
    """Return (8, 64): the parts of `turning` by 1, cos a, sin a, ... cos 4 a.

    It is the interpolation by trigonometric polynomials. A diagonal difference spans more pixels, and counts
    less by as much.
    """
    angles = np.pi / 4 * np.arange(CHANNELS)
    apart = angles[:, None] - angles  # of what comes out, and what goes in
    parts = [np.ones_like(apart)]
    for wave in (1, 2, 3):
        parts += [2 * np.cos(wave * apart), -2 * np.sin(wave * apart)]
    parts.append(np.cos(4 * apart))
    spans = np.where(np.arange(CHANNELS) % 2, 0.5**0.5, 1.0)
    return np.asarray((np.stack(parts) * spans / CHANNELS).reshape(CHANNELS, -1), np.float32)


_WAVES = _waves()


def in_cells(turn: complex, shift: complex, coarse: bool) -> tuple[complex, complex]:
    """Return a map z to turn z + shift in cells, from one in frame pixels."""
    step = 2 * CELL if coarse else CELL
    return turn / step, (shift - (step - 1) / 2 * (1 + 1j)) / step


def read(maps: Float, there: NDArray[np.complex64], into: Float) -> None:
    """Read maps (n, n, 8) at places (P,), cells, into (8 P,)."""
    import cv2

    places = there.view(np.float32).reshape(-1, 1, 2)
    found = into.reshape(-1, 1, CHANNELS)
    empty = np.empty(0, np.float32)  # both coordinates are in the first map
    cv2.remap(maps, places, empty, cv2.INTER_LINEAR, dst=found, borderMode=cv2.BORDER_REPLICATE)


def window(image: Pixels, unit: Matrix, side: int, scale: float) -> tuple[Pixels, complex, complex]:
    """Return a frame (side + 2, side + 2) of a face, as upright as the picture is, and turn and shift of
    `Seen`; `unit` takes the unit frame to the picture.
    """
    import cv2

    (c, _, x), (s, _, y) = unit.tolist()
    size, frame_side = math.hypot(c, s), side + 2 * MARGIN
    wanted, halves = size * scale * frame_side / side, 0  # picture pixels along the frame
    while wanted >= 2 * frame_side << halves:  # halving is by far the fastest reduction
        halves += 1
    width = max(round(wanted / (1 << halves)), 1) << halves
    left, top = round(x - (width - 1) / 2), round(y - (width - 1) / 2)
    part = _part(image, left, top, width)
    if part is None:
        matrix = frame_matrix(side, scale) + np.array([[0, 0, MARGIN], [0, 0, MARGIN]])
        view = look(image, np.array([[size, 0, x], [0, size, y]]), scale, side / scale)
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
    """Return the grey levels (width, width) of a picture from a corner on, reflected beyond its borders; None
    where more than half of it would lie outside.
    """
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
    """Return what (4, N) tells, of sums of shapes (N, K) as x + iy, the real and imaginary parts of a and b
    for which a mean + b is nearest to them.
    """
    centred = complex_of((mean - mean.mean(0)).ravel())
    size, place = shapes @ centred.conj() / np.vdot(centred, centred).real, shapes.mean(1)
    return np.stack([size.real, size.imag, place.real, place.imag]).astype(np.float32)


def complex_of(points: NDArray[np.floating[Any]]) -> Complex:
    """Return coordinates (..., 2 K) as x + iy (..., K)."""
    found: Complex = np.ascontiguousarray(points, np.float64).view(np.complex128)
    return found


def _single(values: NDArray[Any]) -> Float:
    """Return values of half precision for computing."""
    return np.ascontiguousarray(values, np.float32)
