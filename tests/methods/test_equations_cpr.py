"""Cascaded regression's equations in numpy: ferns, trees, increments, poses, prior of shapes, ridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meanshape.methods.cpr import pose_ferns
from meanshape.methods.cpr.ferns import Ferns, FernStage, _PairSelector
from meanshape.methods.cpr.mesh_cascade import GradientFrame, Mesh, MeshCascade, Stage
from meanshape.methods.cpr.shape_prior import ShapePrior
from meanshape.methods.cpr.table_stage import TableStage
from meanshape.methods.cpr.training_set import StageData
from meanshape.methods.cpr.trees import Trees, TreeStage
from meanshape.methods.shared.ridge import ridge

FACES, POINTS, SIDE, RADIUS = 120, 5, 40, 4
MARGIN = RADIUS + 1


@pytest.fixture(scope="module")
def data() -> StageData:
    """Frames in which a bright edge lies where the points should be, and shapes beside it."""
    rng = np.random.default_rng(0)
    mean = np.array([[-0.3, -0.3], [0.3, -0.3], [0, 0], [-0.2, 0.3], [0.2, 0.3]])
    truth = mean * 30 + SIDE / 2 + rng.normal(0, 2.5, (FACES, 1, 2))
    shapes = np.tile(mean * 30 + SIDE / 2, (FACES, 1, 1))
    y, x = np.mgrid[: SIDE + 2 * MARGIN, : SIDE + 2 * MARGIN] - MARGIN
    at = truth[:, 2, :, None, None]
    light = 120 + 8 * (x - at[:, 0]) + 5 * (y - at[:, 1]) + rng.normal(0, 5, (FACES, *x.shape))
    frames = np.clip(light, 0, 255).astype(np.uint8)
    return StageData(frames, shapes, truth, np.zeros(FACES, int), mean, 30.0, np.arange(FACES))


def pool(stage: TableStage, data: StageData) -> np.ndarray:
    """The grey levels (N, P) at the pool's offsets from the points, read one by one."""
    found = np.empty((FACES, len(stage.pool.points)), np.int64)
    for n in range(FACES):
        for p, (point, offset) in enumerate(zip(stage.pool.points, stage.pool.offsets, strict=True)):
            x, y = np.rint(data.shapes[n, point]).astype(int) + MARGIN + offset
            found[n, p] = data.frames[n, y, x]
    return found


def taught(data: StageData, stage: TableStage, rows: np.ndarray, beta: float, rate: float) -> None:
    """Check each table in turn: of what those before it left, rate * sum / (n + beta) in each of its rows."""
    left = (data.truth - data.shapes).reshape(FACES, -1) @ stage.basis.T.astype(float)
    for t, table in enumerate(stage.tables):
        for row in range(len(table)):
            inside = left[rows[:, t] == row]
            wanted = rate * inside.sum(0) / max(len(inside) + beta, 1e-9)
            assert np.allclose(table[row], wanted, atol=2e-3 * (1 + np.abs(wanted).max())), (t, row)
        left = left - table[rows[:, t]]


def test_ferns_learn_what_the_ones_before_leave(data: StageData) -> None:
    """d S of a bin is sum / ((1 + beta / n) n) of the residuals in it; S_t+1 = S_t + sum of all bins."""
    settings = Ferns(count=6, depth=3, pixels=30, radius=RADIUS, shrinkage=20.0, directions=4)
    stage, moved = FernStage.fit(data, settings, np.random.default_rng(1))
    grey = pool(stage, data)
    differences = grey[:, stage.pairs[..., 0]] - grey[:, stage.pairs[..., 1]]  # (N, F, d)
    rows = ((differences > stage.thresholds) * [1, 2, 4]).sum(2)
    taught(data, stage, rows, beta=20.0, rate=1.0)
    for n in range(0, FACES, 17):
        step = sum(table[row] for table, row in zip(stage.tables, rows[n], strict=True)) @ stage.basis
        wanted = data.shapes[n] + step.reshape(POINTS, 2)
        assert np.allclose(stage(data.frames[n], data.shapes[n]), wanted, atol=1e-3)
        assert np.allclose(moved[n], wanted, atol=1e-2)


def test_a_pair_of_pixels_is_the_one_that_goes_with_the_residual() -> None:
    """The largest correlation of I(p) - I(q) with the residual seen along a direction."""
    rng = np.random.default_rng(2)
    common = rng.normal(0, 30, (200, 1))
    grey = np.clip(120 + common + rng.normal(0, 20, (200, 7)), 0, 255).astype(np.uint8)
    left = (rng.normal(size=(200, 3)) + 0.02 * grey[:, 1:4]).astype(np.float32)
    directions = rng.normal(size=(3, 4)).astype(np.float32)
    chosen = _PairSelector(grey)(left - left.mean(0), directions)
    light = grey.astype(float)
    for direction, (p, q) in zip(directions.T, chosen, strict=True):
        along = left @ direction
        table = [
            [np.corrcoef(along, light[:, a] - light[:, b])[0, 1] if a != b else -1 for b in range(7)]
            for a in range(7)
        ]
        assert (p, q) == divmod(int(np.argmax(table)), 7)


def test_trees_learn_a_share_of_what_the_ones_before_leave(data: StageData) -> None:
    """A leaf holds nu times the mean residual of its faces."""
    pytest.importorskip("numba")
    settings = Trees(count=4, depth=2, rate=0.3, pixels=30, tries=5, radius=RADIUS, directions=4)
    stage, _ = TreeStage.fit(data, settings, np.random.default_rng(3))
    grey, rows = pool(stage, data), np.empty((FACES, 4), int)
    for n in range(FACES):
        for t in range(4):
            node = 0
            for _ in range(2):
                a, b = stage.pairs[t, node]
                node = 2 * node + (2 if grey[n, a] - grey[n, b] > stage.thresholds[t, node] else 1)
            rows[n, t] = node - 3
    taught(data, stage, rows, beta=0.0, rate=0.3)


def test_a_stage_of_the_mesh_adds_to_the_shape() -> None:
    """S_t+1 = S_t + dS in numbers along the basis; once the frame is turned, in the turned frame."""
    rng = np.random.default_rng(4)
    mean = rng.normal(0, 0.3, (6, 2))
    mean -= mean.mean(0)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0].T.astype(np.float32)
    places, steps = np.full((2, 6), 1 / 6, np.float32), rng.normal(0, 0.05, (2, 12))
    stages = [Stage(places, np.zeros((12, 16 + 13), np.float32)) for _ in range(2)]
    for stage, step in zip(stages, steps, strict=True):
        stage.weights[:, -1] = step
    settings = replace(
        Mesh(), side=64, strides=(0.1, 0.1), coarse=0, turns=1, first=12, directions=12, kept=12
    )
    cascade = MeshCascade(settings, mean, basis, stages)
    planes = (
        rng.integers(0, 99, (8, 16, 16)).astype(np.uint8),
        rng.integers(0, 99, (8, 8, 8)).astype(np.uint8),
    )
    shape = mean + rng.normal(0, 0.1, (6, 2))
    seen = GradientFrame(planes, 40 + 3j, 31.5 + 31.5j)
    assert np.allclose(cascade(seen, shape, stages=1), shape + (steps[0] @ basis).reshape(6, 2), atol=1e-5)
    z, m = (shape + (steps[0] @ basis).reshape(6, 2)) @ (1, 1j), mean @ (1, 1j)
    turn, shift = (z - z.mean()) @ m.conj() / (np.abs(m) ** 2).sum(), z.mean()
    second = (z - shift) / turn + (steps[1] @ basis).reshape(6, 2) @ (1, 1j)
    wanted = second * turn + shift
    assert np.allclose(cascade(seen, shape) @ (1, 1j), wanted, atol=1e-5)


# CPR of 2010


def placed(pose: np.ndarray) -> np.ndarray:
    """A pose (x, y, angle, log2 scale) as a homography."""
    c, s = 2 ** pose[3] * np.cos(pose[2]), 2 ** pose[3] * np.sin(pose[2])
    return np.array([[c, -s, pose[0]], [s, c, pose[1]], [0, 0, 1]])


def test_poses_are_composed_never_subtracted() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.normal(0, 0.5, (2, 6, 4))
    left = pose_ferns.relative(ours, theirs)
    for one, more, both in zip(ours, left, theirs, strict=True):
        assert np.allclose(placed(one) @ placed(more), placed(both))
    for number in range(4):
        by = rng.normal(0, 0.3, 6)
        found = pose_ferns._corrected(ours, number, by)
        for one, step, after in zip(ours, by, found, strict=True):
            assert np.allclose(placed(after), placed(one) @ placed(step * np.eye(4)[number]))


def test_the_answer_is_where_restarts_are_densest() -> None:
    """Not the one nearest to their mean: three agree, and five lie scattered on one side."""
    poses = np.zeros((8, 4))
    poses[:, 0] = (0.0, 0.01, -0.01, 1.0, 1.4, 1.9, 2.5, 3.2)
    densest = [sum(np.exp(-((17 * (a - b)) ** 2) / 2) for b in poses[:, 0]) for a in poses[:, 0]]
    assert int(np.argmax(densest)) == pose_ferns.densest(poses) == 0


# What is near a shape, and linear maps


def test_the_prior_is_the_posterior_mean_of_a_gaussian() -> None:
    """mean + C (C + s^2 I)^-1 (x - mean), of shapes and their mirror images, upright."""
    rng = np.random.default_rng(6)
    mirror = [1, 0, 2, 4, 3]
    mean = np.array([[-0.3, -0.3], [0.3, -0.3], [0, 0], [-0.2, 0.3], [0.2, 0.3]])
    shapes = mean + rng.normal(0, 0.05, (40, 5, 2))
    known = ShapePrior.of(shapes, mirror, mean, 0.04)

    def upright(shape: np.ndarray) -> np.ndarray:
        z, m = shape @ (1, 1j), mean @ (1, 1j)
        z = z - z.mean()
        turned = z * ((z.conj() @ m) / (np.abs(z) ** 2).sum())
        return np.stack([turned.real, turned.imag], 1)

    both = np.concatenate([shapes, shapes[:, mirror] * (-1, 1)])
    flat = np.stack([upright(shape).ravel() for shape in both])
    covariance = np.cov(flat, rowvar=False, bias=True)
    gain = covariance @ np.linalg.inv(covariance + 0.04**2 * np.eye(10))
    assert np.abs(known.matrix - gain).max() < 2e-3
    assert np.abs(known.mean - flat.mean(0)).max() < 1e-3


@pytest.mark.parametrize("weighted", [False, True])
def test_a_ridge_is_the_penalised_least_squares(weighted: bool) -> None:
    rng = np.random.default_rng(7)
    seen, wanted = rng.normal(3, 2, (50, 6)), rng.normal(5, 1, (50, 2))
    each = rng.uniform(0.2, 3, 50) if weighted else np.ones(50)
    weights, bias, answers = ridge(seen.astype(np.float32), wanted, 0.4, weights=each if weighted else None)
    middle, goal = each @ seen / each.sum(), each @ wanted / each.sum()
    x, y = seen - middle, wanted - goal
    gram = (x * each[:, None]).T @ x
    held = gram + 0.4 * np.trace(gram) / 6 * np.eye(6)
    best = np.linalg.solve(held, (x * each[:, None]).T @ y)
    assert np.allclose(weights, best, atol=1e-4) and np.allclose(bias, goal - middle @ best, atol=1e-3)
    assert np.allclose(answers, x @ best + goal, atol=1e-3)
