"""Glance's search by hand: scales, a look, a closer one in the mirror; and how `both` joins two detectors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.shape import Shape
from meanshape.detectors.both import Both
from meanshape.detectors.glance.config import Config
from meanshape.detectors.glance.model import Glance

LEVELS = ((8, 20.0), (16, 56.0), (32, 130.0))
"""Stride and usual face of each grid."""
SETTINGS = Config(calibration=(2.0, -0.5), proposed=0.3, sure=0.95, threshold=0.4)


def cells(width: int, height: int) -> np.ndarray:
    """Unit and centre (A, 3) of each cell: strides, rows, columns."""
    return np.array(
        [
            (unit, column * stride + (stride - 1) / 2, row * stride + (stride - 1) / 2)
            for stride, unit in LEVELS
            for row in range(height // stride)
            for column in range(width // stride)
        ]
    )


class Told:
    """A session that answers numbers drawn for it: few faces in a picture, many in the middle of a crop."""

    def __init__(self) -> None:
        self.rng, self.said, self.asked = np.random.default_rng(3), [], []

    def __call__(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        count, height, width = inputs["pixels"].shape[:3]
        where, draw = cells(width, height), self.rng.normal
        answer = draw(0, 0.2, (count, 15, len(where)))
        if width == height == 64:
            answer[:, 0] = draw(0.5, 1, answer[:, 0].shape)
            answer[:, 1:3] += ((31.5 - where[:, 1:]) / where[:, :1]).T
            answer[:, 3:5] += np.log(40 / where[:, 0])
            answer[:, 1] += (self.rng.random(answer[:, 1].shape) < 0.3) * 40 / where[:, 0]  # a neighbour
        else:
            answer[:, 0] = draw(-2, 1.5, answer[:, 0].shape)
        self.said.append(answer.astype(np.float32).astype(float))
        self.asked.append(inputs["pixels"])
        return [answer.astype(np.float32)]


def read(answer: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box and the five points of a cell's numbers (15,), in units of its stride."""
    unit, middle = cell[0], cell[1:] + cell[0] * answer[1:3]
    half = unit * np.exp(answer[3:5]) / 2
    return np.concatenate([middle - half, middle + half]), cell[1:] + unit * answer[5:].reshape(5, 2)


def iou(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Intersection over union, and over the smaller one."""
    wide, high = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high), wide * high / min(areas)


def suppressed(faces: list[Any], limit: float, inside: float = 1.0) -> list[Any]:
    """Greedy suppression of (logit, box, points), the best first."""
    kept: list[Any] = []
    for face in sorted(faces, key=lambda one: -one[0]):
        shared = [iou(face[1], other[1]) for other in kept]
        if all(union <= limit and smaller <= inside for union, smaller in shared):
            kept.append(face)
    return kept


def logit(score: float) -> float:
    """The network's logit whose calibrated score this is: score = 1 / (1 + exp(-(slope logit + shift)))."""
    return float((np.log(score / (1 - score)) + 0.5) / 2.0)


def closer(box: np.ndarray, answer: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """What the mirror image of a crop of 64 pixels, 1.6 faces wide, says of the same face (IoU 0.4)."""
    side = 1.6 * np.sqrt(np.prod(box[2:] - box[:2]))
    corner = (box[:2] + box[2:] - side) / 2
    best = -8.0, box, np.empty((5, 2))
    for number, cell in enumerate(cells(64, 64)):
        if np.abs(cell[1:] - 31.5).max() >= 16:
            continue
        found, five = read(answer[:, number], cell)
        found = np.array([63 - found[2], found[1], 63 - found[0], found[3]])
        five = np.stack([63 - five[:, 0], five[:, 1]], 1)[[1, 0, 2, 4, 3]]
        found, five = ((part + 0.5) * side / 64 + np.resize(corner, part.shape) for part in (found, five))
        if iou(found, box)[0] >= 0.4 and answer[0, number] > best[0]:
            best = float(answer[0, number]), found, five
    return best


def test_a_face_is_the_mean_of_both_looks() -> None:
    """Proposals; the best of each place; unsure ones seen again, and averaged; the best of each place."""
    detector, session = object.__new__(Glance), Told()
    detector.min_face, detector.config, detector._session = 20, SETTINGS, session  # type: ignore[assignment]
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    found = detector.detect(image)
    assert [pixels.shape[1:3] for pixels in session.asked] == [(96, 128), (64, 64)]
    assert (session.asked[0][0, 77:] == 127).all() and (session.asked[0][0, :, 102:] == 127).all()
    by, faces = np.array([128 / 102, 96 / 77]), []
    for number, cell in enumerate(cells(128, 96)):
        if session.said[0][0, 0, number] > logit(0.3):
            box, five = read(session.said[0][0, :, number], cell)
            box, five = (box + 0.5) * np.tile(by, 2) - 0.5, (five + 0.5) * by - 0.5
            faces.append([session.said[0][0, 0, number], box, five])
    first, again = suppressed(faces, 0.4), iter(session.said[1])
    unsure = [face for face in first if face[0] < logit(0.95)]
    assert len(faces) > len(first) > len(unsure) == len(session.said[1]) > 5
    for face in unsure:
        for part, other in enumerate(closer(face[1], next(again))):
            face[part] = (face[part] + other) / 2
    last = suppressed([face for face in first if face[0] >= logit(0.4)], 0.4, 0.8)
    assert 2 < len(last) < len(first) and len(found) == len(last)
    for face, (said, box, five) in zip(found, last, strict=True):
        assert face.score == pytest.approx(1 / (1 + np.exp(0.5 - 2 * said)), rel=1e-5)
        assert face.box.as_list() == pytest.approx(box, abs=1e-3) and face.shape is not None
        assert np.abs(face.shape.points - five).max() < 1e-3


@pytest.mark.parametrize(
    ("sides", "min_face"), [((200, 100), 16), ((900, 1600), 20), ((299, 40), 16), ((3000, 9000), 40)]
)
def test_large_faces_are_looked_for_in_smaller_pictures(sides: tuple[int, int], min_face: float) -> None:
    """The smallest face has 16 pixels; a quarter of that while the longer side has 1.3 times 230 and more."""
    detector = object.__new__(Glance)
    detector.config, wanted = SETTINGS, [16 / min_face]
    while max(sides) * wanted[-1] > 1.3 * 230:
        wanted.append(wanted[-1] / 4)
    assert detector._scales(*sides, min_face) == pytest.approx(wanted)


@pytest.mark.parametrize("sure", [0, 1, 3])
def test_both_is_mtcnn_and_what_glance_adds(sure: int) -> None:
    """Glance from 0.9, its boxes made MTCNN's by the canonical ones; one of those above IoU 0.3 or of which
    one holds 0.8 of the other. Where MTCNN is sure of several: MTCNN's, and all of Glance's that are apart.
    """
    rng, own, other = (
        np.random.default_rng(7),
        (-0.0087, 0.2459, 1.0087, 0.9841),
        (-0.0113, 0.2224, 1.0113, 0.9953),
    )
    lists: list[list[Face]] = []
    for _ in range(2):
        corner, side, score = (
            rng.uniform(0, 200, (25, 2)),
            rng.uniform(40, 90, (25, 2)),
            rng.uniform(0.3, 0.98, 25),
        )
        boxes = [
            Box(*low, *(low + size), score=float(s)) for low, size, s in zip(corner, side, score, strict=True)
        ]
        lists.append([Face(box, Shape(rng.uniform(0, 9, (5, 2)), "mtfl5"), score=box.score) for box in boxes])
    detector: Any = object.__new__(Both)
    lists[0].sort(key=lambda face: -(face.score or 0))
    detector.sure = lists[0][sure - 1].score if sure else 0.985
    detector.mtcnn = SimpleNamespace(detect=lambda image: lists[0], min_face=40)
    glance = object.__new__(Glance)
    glance.detect = lambda image, **asked: lists[1]  # type: ignore[method-assign, assignment]
    detector.glance = glance
    found = list(detector._detect(np.zeros((9, 9, 3), np.uint8)))
    if sure == 1:
        assert found == lists[0]
        return
    every = [(face.score, np.array(face.box.as_list()), face.shape) for face in lists[0]]
    known, count = every.copy(), len(lists[1])
    for face in lists[1]:
        if not sure and (face.score or 0) < 0.9:
            continue
        box = np.array(face.box.as_list())
        low, size = box[:2], box[2:] - box[:2]
        inner = np.concatenate([low + size * other[:2], low + size * other[2:]])
        size = (inner[2:] - inner[:2]) / np.subtract(own[2:], own[:2])
        low = inner[:2] - size * own[:2]
        every.append((face.score, np.concatenate([low, low + size]), face.shape))
    wanted = suppressed(every, np.nextafter(0.3, 0), 0.8)
    if sure:
        wanted = [*known]
        for face in sorted(every[len(known) :], key=lambda one: -one[0]):
            shared = [iou(face[1], other[1]) for other in wanted]
            wanted += [face] * all(union < 0.3 and smaller <= 0.8 for union, smaller in shared)
        assert len(known) < len(wanted) < len(known) + count
    assert 3 < len(wanted) < len(every) > 25
    for face, (score, box, shape) in zip(found, wanted, strict=True):
        assert face.score == score == face.box.score and face.shape is shape
        assert face.box.as_list() == pytest.approx(box)
