"""MTCNN's search by hand: scales of the pyramid, windows, what stands for one place, both further stages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from meanshape.methods.mtcnn import cascade

SWAPPED = (1, 0, 2, 4, 3)
"""The five points of a mirrored face."""


def scales(width: int, height: int, min_face: float, factor: float) -> list[tuple[int, int]]:
    """P-Net's window of 12 pixels on the smallest face first; down to a short side of 7, slower below 18."""
    sizes, scale = [], 12 / min_face
    while min(width, height) * scale >= 7:
        sizes.append((max(1, round(width * scale)), max(1, round(height * scale))))
        scale = scale * factor if min(width, height) * scale > 18 else scale * factor ** (1 / 3)
    return sizes


@pytest.mark.parametrize("shape", [(640, 480), (61, 200), (30, 30), (17, 900)])
@pytest.mark.parametrize(("min_face", "factor"), [(20, 0.709), (40, 0.6), (23.5, 0.8)])
def test_the_pyramid_has_the_scales_of_its_rule(
    shape: tuple[int, int], min_face: float, factor: float
) -> None:
    levels, _ = cascade.layout(*shape, cascade.Scan(min_face, factor))
    assert [(level.width, level.height) for level in levels] == scales(*shape, min_face, factor)
    if levels:  # the largest face that is looked for: 12 windows of the last level, 1.7 times the photo
        assert 12 / min(levels[-1].width, levels[-1].height) < 12 / 6.5


def iou(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Intersection over union, and over the smaller one."""
    wide, high = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high), wide * high / min(areas)


def suppressed(boxes: np.ndarray, scores: np.ndarray, limit: float, inside: float = 1.0) -> list[int]:
    """Greedy suppression: the best first, none that overlaps a better one by more than the limit."""
    kept: list[int] = []
    for n in np.argsort(-scores):
        shared = [iou(boxes[n], boxes[other]) for other in kept]
        if all(union <= limit and (smaller <= inside or inside == 1) for union, smaller in shared):
            kept.append(int(n))
    return kept


def test_proposals_are_means_of_what_stands_for_one_place() -> None:
    """Window (i, j) of a level lies at (stride i - 3) W / w - 0.5; what overlaps by 0.4 is averaged."""
    rng = np.random.default_rng(5)
    image = cv2.resize(
        rng.integers(0, 256, (9, 11, 3)).astype(np.uint8), (61, 47), interpolation=cv2.INTER_CUBIC
    )
    weights = rng.normal(0, 1, (5, 12, 12, 3)) / 900
    weights -= weights.mean((1, 2, 3), keepdims=True)

    def said(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (rows, columns) and offsets (4, rows, columns) of windows of (H, W, 3), every two pixels."""
        windows = sliding_window_view(pixels.astype(float), (12, 12), axis=(0, 1))[::2, ::2]
        sums = np.einsum("ijcyx,kyxc->kij", windows, weights)
        return 1 / (1 + np.exp(-sums[0])), 0.2 * np.tanh(sums[1:])

    def pnet(pixels: np.ndarray) -> Any:
        scores, offsets = said(pixels[0].transpose(1, 2, 0))
        return scores[None], offsets[None], None

    found = cascade.propose(cascade.Crops(image), pnet, cascade.Scan(20, 0.75), 0.75, 1.6)
    boxes, scores, level = [], [], image
    for wide, high in scales(61, 47, 20, 0.75):
        way = cv2.INTER_AREA if 2 * wide < level.shape[1] else cv2.INTER_LINEAR
        level = cv2.resize(level, (wide, high), interpolation=way)
        framed = np.full((-(-(high + 6) // 2) * 2, -(-(wide + 6) // 2) * 2, 3), 127, np.uint8)
        framed[3 : 3 + high, 3 : 3 + wide] = level
        face, moves = said(framed)
        for row, column in zip(*np.nonzero(face > 0.75), strict=True):
            zoom = np.array([61 / wide, 47 / high])
            corner = (np.array([2 * column, 2 * row]) - 3) * zoom - 0.5
            boxes.append(
                np.concatenate([corner, corner + 12 * zoom]) + 12 * np.tile(zoom, 2) * moves[:, row, column]
            )
            scores.append(face[row, column])
    every, sure, wanted = np.array(boxes), np.array(scores), []
    kept = suppressed(every, sure, 0.4)
    for best in kept:
        share = np.array(
            [score * (iou(every[best], box)[0] >= 0.4) for box, score in zip(every, sure, strict=True)]
        )
        if share.sum() >= 1.6:
            wanted.append(np.append(share @ every / share.sum(), sure[best]))
    assert 3 < len(wanted) < len(kept) < len(every)
    assert np.allclose(np.column_stack([found.boxes, found.scores]), wanted, atol=1e-3)


class Told:
    """A network that answers what was drawn for it: scores, offsets (N, 4) and points (N, 10)."""

    def __init__(self, seed: int) -> None:
        self.rng, self.said = np.random.default_rng(seed), []

    def __call__(self, pixels: np.ndarray) -> Any:
        count = len(pixels)
        offsets, points = self.rng.normal(0, 0.12, (count, 4)), self.rng.uniform(0.1, 0.9, (count, 10))
        self.said.append((self.rng.uniform(0.3, 1, count), offsets, points))
        return tuple(part.astype(np.float32) for part in self.said[-1])


def squared(boxes: np.ndarray) -> np.ndarray:
    """The squares of the longer sides about the same centres."""
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.hstack([middle - half, middle + half])


def drawn() -> np.ndarray:
    """Windows (60, 4) in a few crowds."""
    rng = np.random.default_rng(8)
    middle = rng.uniform(30, 170, (12, 2)).repeat(5, 0) + rng.normal(0, 3, (60, 2))
    half = rng.uniform(8, 14, (60, 2))
    return np.hstack([middle - half, middle + half])


IMAGE = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)


def test_r_net_moves_squares_and_leaves_one_in_a_place() -> None:
    net, windows = Told(1), drawn()
    found = cascade.refine(cascade.Crops(IMAGE), net, cascade.Windows(windows, np.ones(60)), 0.55)
    (scores, offsets, _), squares = net.said[0], squared(windows)
    boxes = squares + offsets * (squares[:, 2:3] - squares[:, :1])
    good = [n for n in range(60) if scores[n] > 0.55]
    kept = [good[n] for n in suppressed(boxes[good], scores[good], 0.7)]
    assert 3 < len(kept) < len(good) < 60
    assert np.allclose(found.boxes, boxes[kept], atol=1e-4) and np.allclose(found.scores, scores[kept])


@pytest.mark.parametrize("mirror", [False, True])
def test_o_net_looks_twice_and_both_looks_count_alike(mirror: bool) -> None:
    """A face goes if the mean of its scores cannot reach the threshold; points and boxes are means."""
    net, boxes = Told(2), drawn()
    found = cascade.conclude(
        cascade.Crops(IMAGE), net, cascade.Windows(boxes, np.ones(60)), 0.7, looks=2, mirror=mirror
    )
    counts, sums = [60], (np.zeros(60), np.zeros((60, 4)), np.zeros((60, 5, 2)))
    for turn, (scores, offsets, flat) in enumerate(net.said):
        squares, five = squared(boxes), flat.reshape(-1, 2, 5).transpose(0, 2, 1)
        moves = offsets
        if mirror and turn == 1:
            five = np.stack([1 - five[..., 0], five[..., 1]], -1)[:, SWAPPED]
            moves = np.stack([-offsets[:, 2], offsets[:, 1], -offsets[:, 0], offsets[:, 3]], 1)
        side = squares[:, 2:3] - squares[:, :1]
        seen = scores, squares + moves * side, squares[:, None, :2] + five * side[:, None]
        sums = tuple(a + b for a, b in zip(sums, seen, strict=True))  # type: ignore[assignment]
        means = [part / (turn + 1) for part in sums]
        good = np.flatnonzero((sums[0] + 1 - turn) / 2 > 0.7)  # were the look to come quite sure
        rows = good[suppressed(means[1][good], means[0][good], 0.4, 0.7)]
        sums, boxes = tuple(part[rows] for part in sums), means[1][rows]  # type: ignore[assignment]
        counts += [len(good), len(rows)]
    assert len(net.said) == 2 and counts[0] > counts[1] > counts[2] > counts[4] > 1
    for ours, theirs in zip((found.scores, found.boxes, found.points), sums, strict=True):
        assert np.allclose(ours, theirs / 2, atol=1e-3)
