"""TCNN's clusters in numpy: whitened components, a mixture fitted by EM, and the best FC6 of each."""

from __future__ import annotations

from types import SimpleNamespace

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("sklearn")

from meanshape.methods.tcnn.network import Heads  # noqa: E402
from meanshape.methods.tcnn.training.clusters import fit_mixture  # noqa: E402
from meanshape.methods.tcnn.training.heads import solve_fc6  # noqa: E402

CENTRES = np.array([[6.0, 0, 0, 0, 1], [-5, 3, 0, 1, 0], [0, -7, 1, 0, 0]])
INTERPOLATIONS = (110, 140, 100)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 5) about three centres, overlapping, of several spreads; which centre."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), INTERPOLATIONS)
    spread = np.array([[3.0, 1, 0.5, 0.3, 0.2], [1, 2.5, 0.5, 0.2, 0.4], [2, 2, 0.3, 0.3, 0.3]])
    return CENTRES[labels] + spread[labels] * rng.normal(size=(len(labels), 5)), labels


def whitened(features: np.ndarray, count: int) -> np.ndarray:
    """The directions of most variance, each with variance 1 (n - 1 degrees of freedom)."""
    centred = features - features.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(features) - 1))
    return centred @ vectors[:, ::-1][:, :count] / np.sqrt(values[::-1][:count])


def shares(z: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """E step: p(k | z) of normal densities with diagonal covariances."""
    log = np.empty((len(z), len(weights)))
    for k, (weight, mean, variance) in enumerate(zip(weights, means, variances, strict=True)):
        density = -((z - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(1) / 2
        log[:, k] = np.log(weight) + density
    return hand.softmax(log)


def expectation_maximisation(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return p(k | z) after EM from the true clusters; 0.01 is added to each variance."""
    now = np.eye(3)[labels]
    for _ in range(300):
        each = now.sum(0)
        means = now.T @ z / each[:, None]
        variances = np.stack([now[:, k] @ (z - means[k]) ** 2 / each[k] for k in range(3)]) + 1e-2
        now = shares(z, each / len(z), means, variances)
    return now


def test_clusters_are_those_of_em_on_whitened_components() -> None:
    features, labels = drawn()
    mixture = fit_mixture(features.astype(np.float32), 3, 3, seed=0)
    with torch.no_grad():
        scores = mixture.scores(torch.from_numpy(features).float()).double().numpy()
        chosen = mixture(torch.from_numpy(features).float()).numpy()
    wanted = expectation_maximisation(whitened(features, 3), labels)
    found = hand.softmax(scores)
    order = [int(found[labels == k].mean(0).argmax()) for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    assert np.abs(found[:, order] - wanted).max() < 0.02  # EM stops where the likelihood hardly grows
    assert np.abs(found[:, order] - wanted).mean() < 2e-3
    assert np.mean(wanted.max(1) < 0.95) > 0.01  # or there would be nothing to tell
    assert chosen.tolist() == scores.argmax(1).tolist()


def least(inputs: np.ndarray, goal: np.ndarray, norm: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Three rounds of least squares that make the mean of |goal - inputs x| / norm small, near the start."""
    now = start.copy()
    for _ in range(3):
        off = np.linalg.norm(goal - (inputs @ now).reshape(goal.shape), axis=2) / norm[:, None]
        weight = np.where(np.isnan(off), 0, 1 / norm[:, None] ** 2 / (off + 0.02))
        weight, after = weight / weight.mean(), now.copy()
        for k in range(goal.shape[1]):
            known, root = weight[:, k] > 0, np.sqrt(weight[:, k : k + 1])
            rows = np.concatenate([(root * inputs)[known], np.sqrt(0.3) * np.eye(len(start))])
            for column in (2 * k, 2 * k + 1):
                right = (root[:, 0] * goal[:, k, column % 2])[known]
                right = np.concatenate([right, np.sqrt(0.3) * start[:, column]])
                after[:, column] = np.linalg.lstsq(rows, right, rcond=None)[0]
        now = after
    return now


def test_each_head_gets_the_fc6_that_is_best_for_its_cluster() -> None:
    """Reweighted least squares on what FC5 says and 1, each scaled to 1; unknown points count nothing."""
    heads, rng = hand.scrambled(Heads(3, 6, 4, 4, "abs_tanh"), 5, 0.8), np.random.default_rng(6)
    before = {name: value.copy() for name, value in hand.weights_of(heads).items()}
    features, cluster = rng.normal(0, 1, (50, 6)).astype(np.float32), rng.integers(0, 3, 50)
    points, norm = rng.normal(20, 3, (50, 2, 2)).astype(np.float32), rng.uniform(8, 14, 50).astype(np.float32)
    points[::7, 1] = np.nan
    middle = np.array([[15.0, 18], [26, 19]])
    face_crops = SimpleNamespace(target=lambda: torch.from_numpy(middle).float(), size=40)
    views = SimpleNamespace(points=points, norm=norm, features=features, cluster=cluster)
    solve_fc6(0.3, face_crops, heads, np.array([2, 0, 1]), views)  # type: ignore[arg-type]
    after = hand.weights_of(heads)
    for head, own in ((1, cluster == 2), (2, cluster == 0)):
        hidden = np.abs(np.tanh(features[own] @ before["w5"][head] + before["b5"][head]))
        inputs = np.column_stack([hidden, np.ones(own.sum())])
        size = np.sqrt((inputs**2).mean(0)) + 1e-3
        start = np.vstack([before["w6"][head], before["b6"][head]]) * size[:, None]
        best = least(inputs / size, (points[own] - middle) / 4, norm[own] / 4, start) / size[:, None]
        assert np.abs(best - start / size[:, None]).max() > 0.3
        assert np.abs(np.vstack([after["w6"][head], after["b6"][head]]) - best).max() < 2e-3
    assert np.array_equal(after["w6"][0], before["w6"][0])
