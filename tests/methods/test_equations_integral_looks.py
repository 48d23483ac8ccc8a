"""The integral method's two looks in numpy, from the crop to the points, and its loss on mixed mark-ups."""

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
BLOCKS = (1, 1, 2, 1)
SETTINGS = replace(Integral.tiny().config, size=40, frame_scale=1.3, channels=(8, 12, 16, 20), blocks=BLOCKS)


def normed(maps: np.ndarray, weights: hand.Weights, name: str, at: int, stride: int = 1) -> np.ndarray:
    """Convolve without bias, padded by half the kernel, and normalise: layers `at` and `at` + 1."""
    kernel = weights[f"{name}.{at}.weight"]
    found = hand.convolution(maps, kernel, pad=kernel.shape[-1] // 2, stride=stride)
    return hand.norm(found, weights, f"{name}.{at + 1}")


def blocks(maps: np.ndarray, weights: hand.Weights, name: str, first: int, count: int) -> np.ndarray:
    """Residual blocks (He 2016): relu(x + F(x)), F two normalised 3 x 3 convolutions with a ReLU between."""
    for index in range(first, first + count):
        body = f"{name}.{index}.body"
        inner = hand.relu(normed(maps, weights, body, 0))
        maps = hand.relu(maps + normed(inner, weights, body, 3))
    return maps


def looked(picture: np.ndarray, weights: hand.Weights, counts: tuple[int, ...], head: str) -> np.ndarray:
    """Return the maps (3 K, cells, cells) that a look has for a picture (3, S, S) of 0..255."""
    maps = (picture - 127.5) / 64
    for index in range(2):
        maps = hand.relu(normed(maps, weights, f"stem.{index}", 0, stride=2))
    maps = blocks(maps, weights, "stem", 2, counts[0])
    eighth = hand.relu(normed(maps, weights, "middle.0", 0, stride=2))
    eighth = blocks(eighth, weights, "middle", 1, counts[1])
    deep = hand.relu(normed(eighth, weights, "deep.0", 0, stride=2))
    deep = normed(blocks(deep, weights, "deep", 1, counts[2]), weights, "back", 0)
    twice = deep.repeat(2, 1).repeat(2, 2)[:, : eighth.shape[1], : eighth.shape[2]]
    last = blocks(hand.relu(eighth + twice), weights, "last", 0, counts[3])
    return hand.convolution(last, weights[f"heads.{head}.weight"], weights[f"heads.{head}.bias"])


def expected(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p = sum_c softmax(score)_c (centre_c + 8 offset_c) for each point, and the votes' deviation."""
    count, cells = len(maps) // 3, maps.shape[-1]
    points, spread = np.zeros((count, 2)), np.zeros(count)
    for k in range(count):
        share = hand.softmax(maps[k].ravel()).reshape(cells, cells)
        votes = np.zeros((cells, cells, 2))
        for row in range(cells):
            for column in range(cells):
                votes[row, column, 0] = 8 * column + 3.5 + 8 * maps[count + k, row, column]
                votes[row, column, 1] = 8 * row + 3.5 + 8 * maps[2 * count + k, row, column]
                points[k] += share[row, column] * votes[row, column]
        spread[k] = np.sqrt((share * ((votes - points[k]) ** 2).sum(-1)).sum())
    return points, spread


def test_both_looks_are_those_of_the_page() -> None:
    """The second look sees the upright frame, and the inverse of its similarity brings its points back."""
    module = hand.scrambled(IntegralNet(SETTINGS, torch.from_numpy(MEAN), "mtfl5", {"other": 4}), 3)
    rng = np.random.default_rng(5)
    crops = rng.uniform(0, 255, (2, 3, 64, 64))
    turn = np.array([[0.9, 0.4], [-0.4, 0.9]])
    start = (MEAN - 0.5) @ turn * 18 + 15.5  # the first look's scores say where, or frames would be far off
    cells = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1) * 8 + 3.5
    with torch.no_grad():
        near = -np.linalg.norm(cells[None] - start[:, None, None], axis=-1)
        head = module.first.heads["mtfl5"]
        head.weight.mul_(0.2)
        # a score that is the same in all cells moves no point: the place comes in as each cell's own
        bias = torch.from_numpy(np.concatenate([near, np.zeros((10, 4, 4))])).float()
        head.register_forward_hook(lambda _m, _i, out: out + bias)
        answer = [one.double().numpy() for one in module(torch.from_numpy(crops).float())]
        other = module.second(torch.from_numpy(crops[..., :40, :40]).float(), {"other": slice(1, 2)})["other"]
    weights = hand.weights_of(module)
    one, two = hand.part(weights, "first"), hand.part(weights, "second")
    upright = (MEAN - 0.5) / 1.3 * 40 + 19.5
    for n, crop in enumerate(crops):
        first = expected(looked(hand.means(crop, 2), one, (0, 1, 1, 0), "mtfl5") + bias.numpy())[0] * 2 + 0.5
        matrix, shift = hand.similarity(first, upright)
        points, spread = expected(looked(hand.seen(crop, matrix, shift, 40), two, BLOCKS, "mtfl5"))
        assert np.abs(answer[0][n] - first).max() < 1e-3
        assert np.abs(answer[1][n] - np.linalg.solve(matrix, (points - shift).T).T).max() < 5e-3
        assert np.abs(answer[2][n] - spread / np.sqrt(np.linalg.det(matrix))).max() < 5e-3
    maps = looked(64 * crops[1, :, :40, :40] + 127.5, two, BLOCKS, "other")
    assert other.shape == (1, 12, 5, 5) and np.abs(other[0].numpy() - maps).max() < 1e-2


def of_look(maps: np.ndarray, points: np.ndarray, norm: np.ndarray, weight: float) -> float:
    """Wing loss of known points plus cross entropy of scores of points in the grid, each averaged by face."""
    side, costs = 8 * maps.shape[-1], []
    for values in ("wing", "entropy"):
        means = []
        for n in range(len(maps)):
            found, own = expected(maps[n])[0], []
            for k, point in enumerate(points[n]):
                if values == "wing" and not np.isnan(point).any():
                    own.append(hand.wing(np.linalg.norm(found[k] - point) / norm[n]))
                elif values == "entropy" and ((point > -0.5) & (point < side - 0.5)).all():
                    row, column = np.mgrid[: side // 8, : side // 8] * 8 + 3.5
                    wanted = np.exp(-((column - point[0]) ** 2 + (row - point[1]) ** 2) / 128)
                    own.append(-(wanted / wanted.sum()).ravel() @ np.log(hand.softmax(maps[n, k].ravel())))
            means += [np.mean(own)] if own else []
        costs.append(np.mean(means))
    return float(costs[0] + weight * costs[1])


def test_the_loss_of_partial_and_of_other_mark_ups() -> None:
    """Unknown points cost nothing, those outside the grid no scores; no gradient passes between the looks."""
    settings = replace(SETTINGS, jitter=0.0, score_weight=0.07)
    module = IntegralNet(settings, torch.from_numpy(MEAN), "mtfl5", {"other": 4})
    rng = np.random.default_rng(1)
    first, second, other = (
        rng.normal(0, 1, shape) for shape in ((4, 15, 4, 4), (4, 15, 5, 5), (2, 12, 5, 5))
    )
    said = torch.from_numpy(first).requires_grad_()
    module.first.forward = lambda image, heads: {"mtfl5": said}  # type: ignore[method-assign]
    answers = {"mtfl5": torch.from_numpy(second), "other": torch.from_numpy(other)}
    module.second.forward = lambda image, heads: {name: answers[name] for name in heads}  # type: ignore[method-assign]
    target, own = rng.uniform(18, 46, (4, 5, 2)), rng.uniform(18, 46, (2, 4, 2))
    norm = np.array([14.0, 19, 9, 11])
    target[0, 1], target[1, 0], target[3], own[1, :2] = np.nan, (-7.0, 30.0), np.nan, np.nan
    batch: dict[str, Any] = {
        "crop": np.zeros((4, 3, 64, 64)), "target": target, "norm": norm,
        "rows:other": np.array([2, 4]), "own:other": own,
    }  # fmt: skip
    task = training.IntegralTask.__new__(training.IntegralTask)
    task.sampler, task.config = SimpleNamespace(), settings  # type: ignore[assignment]
    loss = task.loss(module.double(), {k: torch.from_numpy(v) for k, v in batch.items()})
    loss.backward()
    upright, placed, owned, scales = (MEAN - 0.5) / 1.3 * 40 + 19.5, target.copy(), own.copy(), norm.copy()
    for n in range(4):
        matrix, shift = hand.similarity(expected(first[n])[0] * 2 + 0.5, upright)
        placed[n], scales[n] = target[n] @ matrix.T + shift, norm[n] * np.sqrt(np.linalg.det(matrix))
        if n >= 2:
            owned[n - 2] = own[n - 2] @ matrix.T + shift
    half = (target + 0.5) / 2 - 0.5
    two = of_look(second, placed, scales, 0.07) + 0.5 * 0.5 * of_look(other, owned, scales[2:], 0.07)
    assert loss.item() == pytest.approx(0.5 * of_look(first, half, norm / 2, 0.07) + two, rel=1e-6)
    for place in ((0, 0, 1, 2), (1, 7, 2, 1), (2, 12, 3, 0)):
        step = np.zeros_like(first)
        step[place] = 1e-5
        up, down = (of_look(first + sign * step, half, norm / 2, 0.07) for sign in (1, -1))
        assert said.grad is not None
        assert said.grad[place].item() == pytest.approx(0.5 * (up - down) / 2e-5, rel=1e-3, abs=1e-9)
