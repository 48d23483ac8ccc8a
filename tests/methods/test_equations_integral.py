"""The integral method's loss in numpy: wing loss and cross entropy of both looks, each in its frame."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.methods.integral import Integral, training  # noqa: E402
from meanshape.methods.integral.network import IntegralNet  # noqa: E402

MEAN = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.55], [0.35, 0.8], [0.65, 0.8]])


def of_look(maps: np.ndarray, points: np.ndarray, norm: float, weight: float) -> tuple[float, float]:
    """Wing loss of the votes' mean, and the cross entropy of scores with a Gaussian of one cell."""
    cells = maps.shape[-1]
    row, column = np.mgrid[:cells, :cells]
    off, entropy = [], []
    for k, (x, y) in enumerate(points):
        share = hand.softmax(maps[k].ravel())
        votes = np.stack([8 * column + 3.5 + 8 * maps[5 + k], 8 * row + 3.5 + 8 * maps[10 + k]])
        off.append(np.linalg.norm(votes.reshape(2, -1) @ share - (x, y)) / norm)
        wanted = np.exp(-0.5 * (((8 * column + 3.5 - x) / 8) ** 2 + ((8 * row + 3.5 - y) / 8) ** 2)).ravel()
        entropy.append(-(wanted / wanted.sum() * np.log(share)).sum())
    return float(hand.wing(np.array(off)).mean()), weight * float(np.mean(entropy))


def test_the_loss_is_that_of_both_looks() -> None:
    settings = replace(Integral.tiny().config, jitter=1.0, score_weight=0.07)
    module = IntegralNet(settings, torch.from_numpy(MEAN), "mtfl5", {})
    rng, ratio = np.random.default_rng(0), settings.crop_size // settings.first_size
    assert ratio == 2
    first, second = (rng.normal(0, 1, (2, 15, n // 8, n // 8)) for n in (settings.first_size, settings.size))
    said = {id(module.first): first, id(module.second): second}
    for look in (module.first, module.second):
        look.forward = (  # type: ignore[method-assign]
            lambda image, heads, own=look: {"mtfl5": torch.from_numpy(said[id(own)]).float()}
        )
    target, norm = rng.uniform(16, 48, (2, 5, 2)), np.array([14.0, 19.0])
    angle, size = np.array([0.4, -0.2]), np.array([0.6, 0.45])
    c, s = size * np.cos(angle), size * np.sin(angle)
    to_frame = np.stack([np.stack([c, -s, 4 + 9 * s], 1), np.stack([s, c, 3 - 9 * s], 1)], 1)
    batch: dict[str, Any] = {
        "crop": np.zeros((2, 3, 64, 64)), "frame": np.zeros((2, 3, 32, 32)),
        "target": target, "norm": norm, "to_frame": to_frame,
    }  # fmt: skip
    task = training.IntegralTask.__new__(training.IntegralTask)
    task.sampler, task.config = SimpleNamespace(), settings  # type: ignore[assignment]
    found = task.loss(module, {k: torch.from_numpy(v).float() for k, v in batch.items()}).item()
    costs = []
    for n in range(2):
        inside = target[n] @ to_frame[n, :, :2].T + to_frame[n, :, 2]
        assert (inside > 0).all() and (inside < 31).all()
        one = of_look(first[n], (target[n] + 0.5) / 2 - 0.5, norm[n] / 2, settings.score_weight)
        two = of_look(second[n], inside, norm[n] * size[n], settings.score_weight)
        costs.append(0.5 * sum(one) + sum(two))
    assert found == pytest.approx(np.mean(costs), rel=1e-5)
