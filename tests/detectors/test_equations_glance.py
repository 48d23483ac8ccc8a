"""Glance by hand: its network, what a cell's numbers mean, which cells answer, and the loss."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from numpy.lib.stride_tricks import sliding_window_view  # noqa: E402

from meanshape.detectors.glance import training  # noqa: E402
from meanshape.detectors.glance.config import Config  # noqa: E402
from meanshape.detectors.glance.grid import grid  # noqa: E402
from meanshape.detectors.glance.network import GlanceNet, folded  # noqa: E402
from meanshape.detectors.glance.targets import assign  # noqa: E402

LEVELS = ((8, 20.0, 0, 40), (16, 56.0, 28, 100), (32, 130.0, 70, np.inf))
"""Stride, unit, and the sizes of the faces that the stride answers for."""


def cells(side: int) -> list[tuple[int, float, float, float]]:
    """Level, unit and centre (x, y) of each cell of a square picture: strides, rows, columns."""
    return [
        (level, unit, column * stride + (stride - 1) / 2, row * stride + (stride - 1) / 2)
        for level, (stride, unit, _, _) in enumerate(LEVELS)
        for row in range(side // stride)
        for column in range(side // stride)
    ]


def test_the_network_answers_in_three_strides() -> None:
    """3 x 3 convolutions with norms, a way back up that is added, and a 1 x 1 answer, per stride."""
    rng, net = np.random.default_rng(3), GlanceNet((4, 6, 8, 10, 12)).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                positive = name.endswith("var") or (value.ndim == 1 and name.endswith("weight"))
                low = 0.7 if positive else -0.6
                drawn = rng.uniform(low, 1.4 if low > 0 else 0.6, value.shape)
                value.copy_(torch.from_numpy(drawn / (np.sqrt(np.prod(value.shape[1:])) / 2 or 1)))
        pixels = rng.uniform(0, 255, (1, 3, 64, 96))
        weights = {name: value.double().numpy() for name, value in net.state_dict().items()}
        answers = [net(torch.from_numpy(pixels).float()), folded(net)(torch.from_numpy(pixels).float())]

    def block(maps: np.ndarray, name: str, stride: int) -> np.ndarray:
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
        found = np.einsum("chwij,ocij->ohw", windows, weights[f"{name}.0.weight"])
        scale, shift, mean, var = (
            weights[f"{name}.1.{key}"][:, None, None]
            for key in ("weight", "bias", "running_mean", "running_var")
        )
        return np.maximum((found - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)

    def mixed(maps: np.ndarray, name: str) -> np.ndarray:
        matrix = weights[f"{name}.weight"][:, :, 0, 0]
        return np.tensordot(matrix, maps, 1) + weights[f"{name}.bias"][:, None, None]

    maps = block(block((pixels[0] - 127) / 64, "stem.0", 2), "stem.1", 2)
    levels = []
    for name in ("fine", "middle", "coarse"):
        maps = block(block(maps, f"{name}.0", 2), f"{name}.1", 1)
        levels.append(maps)
    levels[1] = levels[1] + mixed(levels[2], "to_middle").repeat(2, 1).repeat(2, 2)
    levels[0] = levels[0] + mixed(levels[1], "to_fine").repeat(2, 1).repeat(2, 2)
    wanted = np.concatenate(
        [mixed(block(m, f"necks.{i}", 1), f"heads.{i}").reshape(15, -1) for i, m in enumerate(levels)], 1
    )
    assert wanted.shape == (15, 96 + 24 + 6) and wanted.std() > 0.1
    for answer in answers:
        assert np.abs(answer[0].numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


def placed(said: np.ndarray, cell: tuple[int, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the box and the five points that a cell's fifteen numbers mean, in units of its stride."""
    _, unit, x, y = cell
    middle, half = np.array([x, y]) + unit * said[1:3], unit * np.exp(np.clip(said[3:5], -5, 5)) / 2
    return np.concatenate([middle - half, middle + half]), np.array([x, y]) + unit * said[5:].reshape(5, 2)


def test_numbers_are_read_in_the_unit_of_their_stride() -> None:
    answer = np.random.default_rng(1).normal(0, 2, (15, 84)).astype(np.float32)
    answer[3:5, 82] = 7, -7
    every = np.arange(84)
    boxes, points = grid(64, 64).boxes(answer, every), grid(64, 64).points(answer, every)
    for index, cell in enumerate(cells(64)):
        box, five = placed(answer[:, index].astype(float), cell)
        assert np.allclose(boxes[index], box, rtol=1e-9) and np.allclose(points[index], five, rtol=1e-9)


def owner_of(cell: tuple[int, float, float, float], boxes: np.ndarray, ignored: np.ndarray, side: int) -> int:
    """Return the smallest face that a cell must answer for; -2 where it may or is ignored; else -1."""
    level, _, x, y = cell
    stride, _, low, high = LEVELS[level]
    answer, smallest = -1, np.inf
    if any(a - 2 <= x <= c + 2 and b - 2 <= y <= d + 2 for a, b, c, d in ignored):
        answer = -2
    for index, (a, b, c, d) in enumerate(boxes):
        size = np.sqrt((c - a) * (d - b))

        def away(x: float, y: float, middle: tuple[float, float] = ((a + c) / 2, (b + d) / 2)) -> float:
            return max(abs(x - middle[0]), abs(y - middle[1]))

        reach = min(stride, max(0.55 * stride, 0.33 * size))
        nearest = min(away(u, v) for at, _, u, v in cells(side) if at == level)
        if low <= size <= high and (away(x, y) <= reach or away(x, y) == nearest) and size < smallest:
            answer, smallest = index, size
        may = low / 1.7 <= size <= high * 1.7 and away(x, y) <= max(reach, size / 4)
        if may and answer == -1:
            answer = -2
    return answer


def test_the_cells_that_answer_are_those_of_the_rules() -> None:
    rng = np.random.default_rng(8)
    for sizes in ((12, 30, 36, 95), (17, 43, 60, 110)):
        middle = rng.uniform(20, 76, (4, 2))
        half = np.array(sizes)[:, None] * rng.uniform(0.9, 1.1, (4, 2)) / 2
        boxes, ignored = np.hstack([middle - half, middle + half]), np.array([[5.0, 50, 30, 80]])
        wanted = [owner_of(cell, boxes, ignored, 96) for cell in cells(96)]
        assert assign(boxes, ignored, 96).tolist() == wanted and {-2, -1, 0, 1, 2, 3} == set(wanted)


def costs(said: np.ndarray, true: np.ndarray, cell: tuple[int, float, float, float]) -> np.ndarray:
    """Return 1 - IoU, Zheng's (2020) further two terms, and the smooth L1 of the points in faces."""
    box, five = placed(said, cell)
    wide, high = np.maximum(np.minimum(box[2:], true[2:4]) - np.maximum(box[:2], true[:2]), 0)
    (w, h), (tw, th) = box[2:] - box[:2], true[2:4] - true[:2]
    iou = wide * high / (w * h + tw * th - wide * high)
    hull = np.maximum(box[2:], true[2:4]) - np.minimum(box[:2], true[:2])
    apart = np.linalg.norm((box[:2] + box[2:] - true[:2] - true[2:4]) / 2) / np.linalg.norm(hull)
    form = 4 / np.pi**2 * (np.arctan(tw / th) - np.arctan(w / h)) ** 2
    off = np.abs(five.ravel() - true[4:]) / np.sqrt(tw * th)
    points = np.where(off < 0.05, off**2 / 0.1, off - 0.025).sum()
    return np.array([1 - iou, apart**2, form, 0.0 if np.isnan(points) else points])


def test_the_loss_is_that_of_scores_boxes_and_points() -> None:
    """Quality focal loss with the IoU as target, complete IoU, smooth L1, and their gradients."""
    rng, config = np.random.default_rng(6), Config(side=64)
    task = training.Task(SimpleNamespace(), SimpleNamespace(), config, 0)  # type: ignore[arg-type]
    said = rng.normal(0, 0.4, (2, 15, 84))
    every, rows = cells(64), []
    for number, cell in ((0, 20), (0, 66), (1, 83), (1, 5)):
        _, unit, x, y = every[cell]
        middle, half = np.array([x, y]) + rng.uniform(-3, 3, 2), unit * rng.uniform(0.4, 0.7, 2)
        five = (np.array([x, y]) + unit * rng.normal(0, 0.4, (5, 2))).ravel()
        five[:2] = np.array([x, y]) + unit * (said[number, 5:7, cell] + 0.02)
        rows.append([number, cell, *middle - half, *middle + half, *five])
    rows[3][6:] = [np.nan] * 10
    rows[2][2:6] = [value + 200 for value in rows[2][2:6]]  # no overlap: the score's target is 0.3
    counts = (rng.random((2, 84)) > 0.2).astype(float)
    for number, cell, *_ in rows:
        counts[number, cell] = 1
    leaf = torch.from_numpy(said).float().requires_grad_()
    batch = {"pixels": torch.zeros(2, 3, 64, 64), "rows": torch.tensor(rows, dtype=torch.float32)}
    batch["counts"] = torch.from_numpy(counts).float()
    loss = task.loss(lambda pixels: leaf, batch)  # type: ignore[arg-type]
    loss.backward()

    parts = {(n, c): costs(said[n, :, c], np.array(true), every[c]) for n, c, *true in rows}
    target = np.zeros((2, 84))
    for place, part in parts.items():
        target[place] = 0.3 + 0.7 * (1 - part[0])
    alpha = {
        place: part[2] / (part[0] + part[2]) for place, part in parts.items()
    }  # Zheng: not differentiated

    def total(said: np.ndarray) -> float:
        share = 1 / (1 + np.exp(-said[:, 0]))
        entropy = -target * np.log(share) - (1 - target) * np.log(1 - share)
        value = (counts * (target - share) ** 2 * entropy).sum()
        for n, c, *true in rows:
            overlap, apart, form, points = costs(said[n, :, c], np.array(true), every[c])
            value += 2.0 * (overlap + apart + alpha[n, c] * form) + points
        return float(value / len(rows))

    assert loss.item() == pytest.approx(total(said), rel=1e-5)
    assert leaf.grad is not None
    for number, cell, *_ in rows:
        for entry in (0, 1, 3, 4, 6):
            step = np.zeros_like(said)
            step[number, entry, cell] = 1e-5
            slope = (total(said + step) - total(said - step)) / 2e-5
            assert leaf.grad[number, entry, cell].item() == pytest.approx(slope, rel=2e-3, abs=1e-5)
