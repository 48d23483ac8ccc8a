"""The ridge regressions of a cascade's stages in numpy: what is read, and the normal equations in full."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meanshape.methods.cpr.binary_features import Binary, _ridge
from meanshape.methods.cpr.linear_stage import Linear, LinearStage
from meanshape.methods.cpr.mesh_cascade import Mesh, MeshCascade
from meanshape.methods.cpr.mesh_training import MeshTrainingState, _stage
from meanshape.methods.cpr.training_set import StageData

WAYS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
MEAN = np.array([[-0.3, -0.3], [0.3, -0.3], [0, 0], [-0.2, 0.3], [0.2, 0.3]])


def brighter(frame: np.ndarray) -> np.ndarray:
    """Return how much brighter a frame gets each way (8, n, n): I(p + d) - I(p - d), or 0."""
    light, side = frame.astype(int), len(frame) - 2
    at = slice(1, 1 + side)
    shifted = {
        (x, y): light[at.start + y : at.stop + y, at.start + x : at.stop + x] for x, y in (*WAYS, (0, 0))
    }
    return np.stack([np.maximum(shifted[x, y] - shifted[-x, -y], 0) for x, y in WAYS])


def halved(planes: np.ndarray) -> np.ndarray:
    """Return the means of 2 x 2 bytes, rounded, as bytes."""
    sums = planes[:, ::2, ::2] + planes[:, 1::2, ::2] + planes[:, ::2, 1::2] + planes[:, 1::2, 1::2]
    return (sums + 2) // 4


def counting(off: np.ndarray) -> np.ndarray:
    """Return what faces that are `off` count: 1 / (off + median), 1 on average."""
    found = 1 / (off + np.median(off) + 1e-6)
    return found / found.mean()


# The mesh


def turned(values: np.ndarray, angle: float) -> np.ndarray:
    """Return eight directions' numbers (8, ...) at directions turned by an angle: their Fourier series."""
    spans = np.where(np.arange(8) % 2, np.sqrt(0.5), 1)  # a diagonal difference spans more
    wave = np.fft.fft(values * spans.reshape(-1, *[1] * (values.ndim - 1)), axis=0) / 8
    theta = np.pi / 4 * np.arange(8) + angle
    found = [wave[0].real + (wave[4] * np.cos(4 * t)).real for t in theta]
    for n, t in enumerate(theta):
        found[n] = found[n] + sum(2 * (wave[k] * np.exp(1j * k * t)).real for k in (1, 2, 3))
    return np.stack(found)


def at(maps: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return maps (8, n, n) between cells, bilinear, the border repeated; OpenCV reads at 32nds."""
    side = maps.shape[1]
    x, y = np.rint(32 * x) / 32, np.rint(32 * y) / 32
    left, top = int(np.floor(x)), int(np.floor(y))
    found = np.zeros(8)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = (x - left if dx else 1 - x + left) * (y - top if dy else 1 - y + top)
        found += share * maps[:, min(max(top + dy, 0), side - 1), min(max(left + dx, 0), side - 1)]
    return found


@pytest.mark.parametrize("number", [0, 1])
def test_a_stage_of_the_mesh_is_the_ridge_of_what_it_reads(number: int) -> None:
    """Weighted normal equations, the shape so far ten times cheaper; a face is answered without itself."""
    rng, count, side, cell = np.random.default_rng(2), 36, 64, (8, 4)[number]
    frames = np.stack([np.kron(rng.integers(0, 256, (11, 11)), np.ones((6, 6))) for _ in range(count)])
    frames = frames.astype(np.uint8)  # 66 x 66: a pixel of margin
    truth = MEAN + rng.normal(0, 0.06, (count, 5, 2))
    shapes = MEAN + rng.normal(0, 0.06, (count, 5, 2))
    faces = np.repeat(np.arange(count // 3), 3)
    settings = replace(
        Mesh(), side=side, strides=(0.2, 0.2, 0.2), coarse=1, first=4, directions=10, kept=10, strength=0.05
    )
    basis = np.linalg.qr(rng.normal(size=(10, 10)))[0].T.astype(np.float32)
    cascade = MeshCascade(settings, MEAN, basis)
    views = [SimpleNamespace(frame=lambda matrix, side, f=frame: f) for frame in frames]
    state = MeshTrainingState(SimpleNamespace(views=views, truth=truth), cascade, shapes)  # type: ignore[arg-type]
    linear = side / 1.5 * np.exp(1j * rng.normal(0, 0.5, count)) * rng.uniform(0.9, 1.1, count)
    shift = (side - 1) / 2 * (1 + 1j) + rng.normal(0, 2, count) + 1j * rng.normal(0, 2, count)
    state.linear, state.shift = linear.copy(), shift.copy()
    places = rng.dirichlet(np.ones(5), 3).astype(np.float16).astype(np.float32)
    before = state.coefficients.copy()
    stage = _stage(state, places, number, faces)

    seen = np.empty((count, 24 + 10))
    for n, frame in enumerate(frames):
        planes = halved(halved(brighter(frame)))
        planes = halved(planes) if number == 0 else planes
        planes = planes / (np.sqrt((planes**2).sum(0)) + 16)
        maps = turned(planes, np.angle(linear[n]))
        spots = ((places @ shapes[n] @ (1, 1j)) * linear[n] + shift[n] - (cell - 1) / 2 * (1 + 1j)) / cell
        seen[n, :24] = np.concatenate([at(maps, spot.real, spot.imag) for spot in spots])
    coefficients = (shapes - MEAN).reshape(count, -1) @ basis.T.astype(float)
    raised = np.sqrt(10 * seen[:, :24].var(0).mean() / (coefficients.var(0).sum() / 10))
    seen[:, 24:] = raised * coefficients
    frame_truth = truth @ (1, 1j) * side / 1.5 + (side - 1) / 2 * (1 + 1j)
    own = (frame_truth - shift[:, None]) / linear[:, None]
    own = np.stack([own.real, own.imag], -1).reshape(count, -1) - MEAN.ravel()
    moves = ((own @ basis.T.astype(float)) - coefficients)[:, : (4, 7)[number]]
    reached = shapes @ (1, 1j) * linear[:, None] + shift[:, None]
    each = counting(np.abs(reached - frame_truth).mean(1) / (side / 1.5))
    middle, goal = each @ seen / each.sum(), each @ moves / each.sum()
    x, y = seen - middle, moves - goal
    held = 0.05 * np.trace((x * each[:, None]).T @ x) / 34 * np.eye(34)

    def solved(rows: np.ndarray) -> np.ndarray:
        return np.linalg.solve(
            (x[rows] * each[rows, None]).T @ x[rows] + held, (x[rows] * each[rows, None]).T @ y[rows]
        )

    best = solved(np.arange(count))
    assert np.abs(seen[:, :24]).max() > 0.3 and np.abs(best).max() > 0.02
    wanted = np.concatenate([best[:24], raised * best[24:]]).T
    assert stage.weights.shape == (moves.shape[1], 35)
    assert np.abs(stage.weights[:, :-1] - wanted).max() < 2e-3 * np.abs(wanted).max()
    assert np.abs(stage.weights[:, -1] - (goal - middle @ best)).max() < 2e-4
    moved = state.coefficients - before
    for face in np.unique(faces):
        rows = faces == face
        answer = x[rows] @ solved(np.flatnonzero(~rows)) + goal
        assert np.abs(moved[rows, : moves.shape[1]] - answer).max() < 2e-4
    assert not moved[:, moves.shape[1] :].any()


# Descriptors at the points


def described(frame: np.ndarray, shape: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what lies at the cell of each point and two cells off, four ways; and the cells' centres."""
    maps = halved(brighter(frame)).astype(float)
    cells = np.rint((np.clip(shape, 0, 39) - 0.5) / 2).astype(int)
    found = []
    for x, y in cells + margin:
        spots = [maps[:, y + b, x + a] for a, b in ((0, 0), (2, 0), (0, 2), (-2, 0), (0, -2))]
        found.append(np.concatenate([spot / (np.sqrt((spot**2).sum()) + 1) for spot in spots]))
    return np.stack(found), 2 * cells + 0.5


def test_a_linear_stage_is_a_ridge_in_which_near_points_count_more() -> None:
    """Penalties of 1 / (floor + exp(-d^2 / 2 reach^2)) on whitened descriptors; folds answer for others."""
    rng, count, kept = np.random.default_rng(0), 90, 6
    truth = MEAN * 30 + 20 + rng.normal(0, 2.5, (count, 5, 2))
    frames = np.stack([np.kron(rng.integers(0, 256, (9, 9)), np.ones((6, 6))) for _ in range(count)])
    frames = frames.astype(np.uint8)  # 54 x 54: 40, and a margin of 7
    shapes, folds = np.tile(MEAN * 30 + 20, (count, 1, 1)), np.arange(count) % 3
    data = StageData(frames, shapes, truth, folds, MEAN, 30.0, np.arange(count))
    settings = Linear(
        rings=((0, 0.0, 1), (0, 2.0, 4)), dimensions=kept, strength=(0.4,), reach=3.0, floor=0.05
    )
    stage, answers = LinearStage.fit(data, settings, rng)
    seen, starts = (
        np.stack(v)
        for v in zip(*(described(f, s, 3) for f, s in zip(frames, shapes, strict=True)), strict=True)
    )
    features = np.ones((count, 5 * kept + 1))
    for k in range(5):
        centred = seen[:, k] - seen[:, k].mean(0)
        values, vectors = np.linalg.eigh(centred.T @ centred / count)
        values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
        features[:, k * kept : (k + 1) * kept] = centred @ vectors / np.sqrt(values + 0.02 * values[0])
    moves = truth - starts
    each = counting(np.linalg.norm(truth - shapes, axis=-1).mean(1))

    def ridge(rows: np.ndarray, k: int) -> np.ndarray:
        x, weight = features[rows], each[rows, None]
        gram = (x * weight).T @ x
        away = np.linalg.norm(MEAN - MEAN[k], axis=1)
        penalty = np.repeat(1 / (0.05 + np.exp(-(away**2) / 2 / (3.0 * 2 / 30) ** 2)), kept)
        scale = 0.4 * np.trace(gram) / len(gram)
        held = np.diag(np.append(scale * penalty, 1e-6 * scale))
        return np.linalg.solve(gram + held, (x * weight).T @ moves[rows, k])

    everyone = np.arange(count)
    for n in range(0, count, 7):
        found = stage(stage.prepare(frames[n]), shapes[n])
        for k in range(5):
            assert np.abs(found[k] - starts[n, k] - features[n] @ ridge(everyone, k)).max() < 2e-2
    for fold in range(3):
        for k in range(5):
            said = starts[folds == fold, k] + features[folds == fold] @ ridge(everyone[folds != fold], k)
            assert np.abs(answers[folds == fold, k] - said).max() < 2e-2
    assert np.abs(answers - starts).max() > 0.5


# Leaves


def test_leaves_are_learnt_together_by_a_ridge() -> None:
    """(B' B + trees I)^-1 B' y, B the leaves that faces reach; a fold is answered by the others."""
    rng, count, trees, depth = np.random.default_rng(4), 40, 5, 2
    reached, wanted = rng.integers(0, 4, (count, trees)), rng.normal(0, 1, (count, 3)).astype(np.float32)
    folds = np.arange(count) % 3
    settings: Any = Binary(trees=trees, depth=depth)
    found, answers = _ridge(reached, wanted, folds, settings)
    leaves = np.zeros((count, trees * 4))
    for n in range(count):
        leaves[n, 4 * np.arange(trees) + reached[n]] = 1

    def ridge(rows: np.ndarray) -> np.ndarray:
        held = leaves[rows].T @ leaves[rows] + trees * np.eye(trees * 4)
        return np.linalg.solve(held, leaves[rows].T @ wanted[rows])

    assert np.allclose(found.reshape(-1, 3), ridge(np.ones(count, bool)), atol=1e-3)
    for fold in range(3):
        assert np.allclose(answers[folds == fold], leaves[folds == fold] @ ridge(folds != fold), atol=1e-4)
