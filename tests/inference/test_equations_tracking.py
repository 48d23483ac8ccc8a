"""Following faces by hand: when a track is lost, which box is whose, and the filters' equations in numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape import Box, Face
from meanshape.core.image import Pixels
from meanshape.detectors.base import FaceDetector
from meanshape.inference.smoothing import Kalman, OneEuro
from meanshape.inference.tracking import Tracker, assign

PICTURE = np.full((240, 320, 3), 90, np.uint8)
FACE = Box(100, 60, 200, 180)


class Told(FaceDetector):
    """Finds what it is told, and says of every face how sure it is told to be."""

    name = "told"

    def __init__(self) -> None:
        self.faces: list[Box] = [FACE]
        self.sureness = 1.0

    def _detect(self, image: Pixels, **options: Any) -> Iterable[Face]:
        return [Face(box, score=0.9) for box in self.faces]

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        return [self.sureness] * len(boxes)

    def canonical(self, box: Box) -> Box:
        return box


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def tracker(told: Told, model_folder: Path) -> Tracker:
    return Tracker(ms.Pipeline(told, model_folder), every=1000, smoothing="none")


def grow(tracker: Tracker, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model answer shapes that are larger by a factor, about their centres."""
    model: Any = tracker.pipeline.model
    before = model.predict_batch

    def larger(*args: Any, **options: Any) -> list[Any]:
        shapes = before(*args, **options)
        middles = [shape.points.mean(0) for shape in shapes]
        return [
            shape.with_points((shape.points - middle) * factor + middle)
            for shape, middle in zip(shapes, middles, strict=True)
        ]

    monkeypatch.setattr(model, "predict_batch", larger)


@pytest.mark.parametrize(("factor", "stays"), [(1.5, True), (1.7, False), (0.65, True), (0.55, False)])
def test_a_face_neither_swells_nor_shrinks_in_one_frame(
    tracker: Tracker, told: Told, monkeypatch: pytest.MonkeyPatch, factor: float, stays: bool
) -> None:
    """However sure the check is: what does so is another thing than the face."""
    assert len(tracker(PICTURE, 0.0).faces) == 1
    told.faces = []
    grow(tracker, factor, monkeypatch)
    assert len(tracker(PICTURE, 0.04).faces) == int(stays)


@pytest.mark.parametrize(("score", "stays"), [(0.51, True), (0.49, False)])
def test_what_the_check_takes_for_no_face_is_lost(
    tracker: Tracker, told: Told, score: float, stays: bool
) -> None:
    tracker(PICTURE, 0.0)
    told.faces, told.sureness = [], score
    for n in range(1, 5):
        found = tracker(PICTURE, 0.04 * n)
    assert len(found.faces) == int(stays)


@pytest.mark.parametrize(("pause", "number"), [(0.9, 0), (1.2, 1)])
def test_a_number_is_remembered_for_a_second(tracker: Tracker, told: Told, pause: float, number: int) -> None:
    tracker(PICTURE, 0.0)
    told.faces, told.sureness = [], 0.0
    tracker.tracks[0].score = 0.0  # so that the check is due
    assert not tracker(PICTURE, 0.01).faces
    told.faces, told.sureness = [FACE], 1.0
    assert [face.track for face in tracker(PICTURE, pause).faces] == [number]


@pytest.mark.parametrize(("overlap", "same"), [(0.29, False), (0.31, True)])
def test_boxes_are_one_face_from_an_overlap_of_three_tenths(overlap: float, same: bool) -> None:
    by = 100 * (1 - overlap) / (1 + overlap)
    assert assign([Box(0, 0, 100, 100)], [Box(by, 0, 100 + by, 100)]) == ({0: 0} if same else {})


# Filters


def path() -> tuple[np.ndarray, np.ndarray]:
    """Times and points (T, 7, 2) of a face that moves, unevenly sampled."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 25))
    way = np.stack([60 * np.sin(times), 25 * times], 1)
    return times, rng.uniform(0, 100, (7, 2)) + way[:, None] + rng.normal(0, 0.8, (25, 7, 2))


def test_the_1_euro_filter_is_the_published_one() -> None:
    """alpha = 1 / (1 + tau / T), tau = 1 / (2 pi fc); fc = fc_min + beta |speed|, the speed smoothed."""
    size, cutoff, beta, of_speed = 80.0, 1.3, 9.0, 5.0
    times, points = path()
    smooth = OneEuro(cutoff, beta, of_speed)

    def alpha(hertz: float, seconds: float) -> float:
        return 1 / (1 + 1 / (2 * np.pi * hertz) / seconds)

    out, speed = points[0], np.zeros((7, 2))
    assert np.array_equal(smooth(points[0], times[0], size), out)
    for n in range(1, len(times)):
        seconds = times[n] - times[n - 1]
        now = (points[n] - points[n - 1]) / size / seconds
        part = alpha(of_speed, seconds)
        speed = part * now + (1 - part) * speed
        fast = np.hypot(*np.median(speed, axis=0))
        part = alpha(cutoff + beta * fast, seconds)
        out = part * points[n] + (1 - part) * out
        assert np.allclose(smooth(points[n], times[n], size), out)


def test_the_kalman_filter_is_the_textbook_s() -> None:
    """x = F x, P = F P F' + Q; K = P H' / (H P H' + R); x += K (z - H x), P = (1 - K H) P."""
    noise, motion, size = 0.02, 2.0, 80.0
    times, points = path()
    smooth = Kalman(noise, motion)
    smooth(points[0], times[0], size)
    look = np.array([[1.0, 0.0]])
    x, p = np.array([points[0], 0 * points[0]]), np.diag([noise**2, 1.0])
    for n in range(1, len(times)):
        t = times[n] - times[n - 1]
        step = np.array([[1, t], [0, 1]])
        push = motion**2 * np.array([[t**4 / 4, t**3 / 2], [t**3 / 2, t**2]])
        x, p = np.einsum("ij,jkl->ikl", step, x), step @ p @ step.T + push
        gain = p @ look.T @ np.linalg.inv(look @ p @ look.T + noise**2)
        x = x + gain[:, :, None] * (points[n] - x[0])
        p = (np.eye(2) - gain @ look) @ p
        assert np.allclose(smooth(points[n], times[n], size), x[0])
