"""Where ASM and AAM begin, in numpy: what is seen of a box, and the two regressions of pose and shape."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meanshape.core.box import Box
from meanshape.core.image import warp
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.methods.shared import start as starts
from meanshape.methods.shared.shape_model import ShapeModel

FACES, COPIES, SIDE, POINTS = 10, 2, 282, 68
JITTER = starts.Jitter(shift=0.05, scale=0.1, rotation=10.0)
FIVE = (range(36, 42), range(42, 48), (30,), (48,), (54,))
"""MTFL's points among the 68."""


def smoothed(maps: np.ndarray, deviation: float) -> np.ndarray:
    """Convolve (H, W) with a Gaussian of 4 deviations to each side; borders reflect."""
    reach = (round(8 * deviation + 1) | 1) // 2
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / 2 / deviation**2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(maps, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        maps = np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), axis, padded)
    return maps


def seen(light: np.ndarray) -> np.ndarray:
    """Gradients over the mean gradient around + 4, their parts along eight ways, smoothed, at every sixth."""
    padded = np.pad(light.astype(float), 1, mode="symmetric")
    x, y = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    around = smoothed(np.hypot(x, y), 8.0) + 4
    parts = []
    for k in range(8):
        along = np.cos(k * np.pi / 4) * x + np.sin(k * np.pi / 4) * y
        parts.append(smoothed(np.maximum(along / around, 0), 2.5)[3::6, 3::6])
    return np.stack(parts, -1).ravel()


def whole(matrix: np.ndarray) -> np.ndarray:
    """A map (2, 3) as a homography."""
    return np.vstack([matrix, [0, 0, 1]])


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (np.column_stack([points, np.ones(len(points))]) @ matrix.T)[:, :2]


def nearest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity as a homography, by a general solver."""
    z, w = source @ (1, 1j), target @ (1, 1j)
    (a, b), *_ = np.linalg.lstsq(np.stack([z, np.ones(len(z))], 1), w, rcond=None)
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag], [0, 0, 1]])


class Bank:
    """Faces and their mirror images, which belong together."""

    def __init__(self, points: np.ndarray, images: np.ndarray) -> None:
        self.points, self.images, self.groups = points, images, np.arange(len(points)) % (len(points) // 2)

    def __len__(self) -> int:
        return len(self.points)

    def image(self, face: int) -> np.ndarray:
        return np.asarray(self.images[face])

    def box_matrix(self, scale: float, size: float) -> np.ndarray:
        factor = size / scale / 128
        return np.array(
            [[factor, 0, (size - 1) / 2 - 140.5 * factor], [0, factor, (size - 1) / 2 - 140.5 * factor]]
        )


@pytest.fixture(scope="module")
def taught() -> Any:
    """A model of a few modes, faces of it, and what `Start.train` makes of them."""
    rng = np.random.default_rng(6)
    base = rng.uniform(-1, 1, (POINTS, 2))
    varied = base + np.tensordot(
        rng.normal(size=(40, 3)) * (0.2, 0.15, 0.1), rng.normal(size=(3, POINTS, 2)), 1
    )
    model = ShapeModel.train(varied, modes=3)
    points = varied[:FACES] * 60 + 140.5 + rng.normal(0, 8, (FACES, 1, 2))
    images = np.stack(
        [np.kron(rng.integers(0, 256, (15, 15)), np.ones((19, 19)))[:SIDE, :SIDE] for _ in points]
    )
    bank = Bank(points, images.astype(np.uint8))
    found = starts.Start.train(model, bank, JITTER, COPIES, 7)  # type: ignore[arg-type]
    return SimpleNamespace(model=model, bank=bank, start=found[0], faces=found[1], shapes=found[2])


def frame(model: ShapeModel) -> tuple[np.ndarray, np.ndarray]:
    """The mean, its box 64 / 1.3 pixels large (root of its area) in the middle of 64, and ways to move it."""
    low, high = model.mean.min(0), model.mean.max(0)
    scale = 64 / 1.3 / np.sqrt(np.prod(high - low))
    middle = (model.mean - (low + high) / 2) * scale + 31.5
    centred = middle - middle.mean(0)
    turned = np.stack([-centred[:, 1], centred[:, 0]], 1)
    ways = [centred, turned, np.tile([1.0, 0], (POINTS, 1)), np.tile([0, 1.0], (POINTS, 1))]
    return middle, np.stack([way.ravel() for way in ways] + [scale * mode for mode in model.modes])


def unseen(rows: np.ndarray, wanted: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A ridge's answers to each group when it learnt from the others, solved for one number a face."""
    x, y = rows - rows.mean(0), wanted - wanted.mean(0)
    held, found = 0.2 * np.square(x).sum() / x.shape[1], np.empty_like(wanted)
    for group in np.unique(groups):
        out, rest = groups == group, groups != group
        inner = x[rest] @ x[rest].T + held * np.eye(rest.sum())
        found[out] = x[out] @ x[rest].T @ np.linalg.solve(inner, y[rest]) + wanted.mean(0)
    return found


def test_what_is_seen_is_a_grid_of_orientations() -> None:
    light = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
    found = starts._features(light, np.eye(2, 3))
    assert found.shape == (11 * 11 * 8,) and np.abs(found - seen(light)).max() < 1e-4


def test_the_second_round_learns_from_faces_the_first_set_upright(taught: Any) -> None:
    """Round one regresses the pose alone, round two pose and modes; each answers faces it has not seen."""
    bank, (reference, ways) = taught.bank, frame(taught.model)
    faces = np.tile(np.arange(FACES), COPIES)
    assert taught.faces.tolist() == faces.tolist()
    views = []
    for n in range(len(faces)):
        rng = np.random.default_rng((7, 1, n))
        angle, scale = np.deg2rad(rng.normal(0, 10.0)), np.exp(rng.normal(0, 0.1))
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        shift = 31.5 - np.array([[a, -b], [b, a]]) @ (31.5, 31.5) + rng.normal(0, 0.05, 2) * 64 / 1.3
        views.append(
            np.array([[a, -b, shift[0]], [b, a, shift[1]], [0, 0, 1]]) @ whole(bank.box_matrix(1.3, 64))
        )
    for count in (4, 7):
        rows = np.stack(
            [seen(warp(bank.image(f), v[:2], (64, 64))) for f, v in zip(faces, views, strict=True)]
        )
        true = np.stack([moved(v, bank.points[f]) for v, f in zip(views, faces, strict=True)])
        numbers = np.linalg.lstsq(ways.T, (true - reference).reshape(len(faces), -1).T, rcond=None)[0].T
        guess = unseen(rows, numbers[:, :count], bank.groups[faces])
        shapes = reference + (guess @ ways[:count]).reshape(-1, POINTS, 2)
        if count == 4:
            views = [nearest(shape, reference) @ v for shape, v in zip(shapes, views, strict=True)]
    assert np.abs(shapes - reference).max() > 3
    for n, view in enumerate(views):
        assert np.abs(taught.shapes[n] - moved(np.linalg.inv(view), shapes[n])).max() < 0.05


@pytest.mark.parametrize("given", [None, "mtfl5"])
def test_a_search_begins_where_both_rounds_say(taught: Any, given: str | None) -> None:
    """The box, round one, round two; five points take the place of the box and of round one."""
    kind, image, start = markup("ibug68"), taught.bank.image(3), taught.start
    reference, _ = frame(taught.model)
    box = Box(80, 70, 190, 205)
    factor = 64 / 1.3 / np.sqrt(110 * 135)
    view = np.array([[factor, 0, 31.5 - 135 * factor], [0, factor, 31.5 - 137.5 * factor], [0, 0, 1]])
    rounds, five = list(start.rounds), None
    if given:
        mean = np.stack([reference[list(group)].mean(0) for group in FIVE])
        five = Shape(mean @ np.array([[1.9, 0.6], [-0.6, 1.9]]) + (90, 60), given)
        view, rounds = nearest(five.points, mean), rounds[1:]
    trail = [moved(np.linalg.inv(view), reference)]
    basis = start.basis.reshape(len(start.basis), -1)
    for weights, bias in rounds:
        numbers = seen(warp(image, view[:2], (64, 64))) @ weights + bias
        shape = reference + (numbers @ basis[: len(numbers)]).reshape(-1, 2)
        trail.append(moved(np.linalg.inv(view), shape))
        view = nearest(shape, reference) @ view
    last, before = start(image, box, five, kind)
    assert len(before) == len(trail) - 1
    for found, wanted in zip([*before, last], trail, strict=True):
        assert np.abs(found - wanted).max() < 0.05
    earlier = Shape(trail[-1], "ibug68")
    again, none = start(image, box, earlier, kind)
    assert none == [] and np.abs(again - trail[-1]).max() < 0.1 * np.abs(trail[-1] - trail[0]).max()
