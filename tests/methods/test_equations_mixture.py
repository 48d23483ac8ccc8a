"""TCNN's clusters in numpy: principal components, whitened, and a Gaussian mixture fitted by EM."""

from __future__ import annotations

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("sklearn")

from meanshape.methods.tcnn.training.clusters import fit_mixture  # noqa: E402

CENTRES = np.array([[6.0, 0, 0, 0, 1], [-5, 3, 0, 1, 0], [0, -7, 1, 0, 0]])
SHARES = (90, 200, 60)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 5) about three centres, overlapping, of several spreads; which centre."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), SHARES)
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
    assert np.abs(found[:, order] - wanted).max() < 0.05  # EM stops where the likelihood hardly grows
    assert np.abs(found[:, order] - wanted).mean() < 2e-3
    assert np.mean(wanted.max(1) < 0.95) > 0.015  # or there would be nothing to tell
    assert chosen.tolist() == scores.argmax(1).tolist()
