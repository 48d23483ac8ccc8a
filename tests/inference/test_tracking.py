"""Faces over time: numbers that stay, a detector that looks seldom, losses and newcomers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape import Box, Face
from meanshape.core.errors import ConfigError, UnknownName
from meanshape.core.image import Pixels
from meanshape.core.types import Prediction
from meanshape.detectors.base import FaceDetector
from meanshape.inference.tracking import Tracker, assign

PICTURE = np.full((200, 300, 3), 90, np.uint8)


class Stage(FaceDetector):
    """Knows where faces are in this frame; what it is asked, it counts."""

    name = "stage"

    def __init__(self) -> None:
        self.faces: list[Box] = []
        self.looks = 0

    def _detect(self, image: Pixels, **options: Any) -> Iterable[Face]:
        self.looks += 1
        return [Face(box, score=0.9 - 0.01 * n) for n, box in enumerate(self.faces)]

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        return [max((box.iou(face) for face in self.faces), default=0.0) for box in boxes]

    def canonical(self, box: Box) -> Box:
        return box


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def tracker(stage: Stage, model_folder: Path) -> Tracker:
    """The model answers the mean shape of the box it is given: it stays where it was."""
    return Tracker(ms.Pipeline(stage, model_folder), every=5, smoothing="none")


def numbers(prediction: Prediction) -> list[int | None]:
    return [face.track for face in prediction.faces]


def at(x: float, y: float = 20) -> Box:
    return Box(x, y, x + 100, y + 120)


def test_a_face_that_stays_is_looked_for_seldom(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10)]
    found = [numbers(tracker(PICTURE, n / 25)) for n in range(16)]
    assert found == [[0]] * 16
    assert stage.looks == tracker.looks == 4  # at frames 0, 5, 10, 15


def test_numbers_stay_when_the_detector_changes_its_order(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10), at(180)]
    first = tracker(PICTURE, 0)
    stage.faces.reverse()
    later = [tracker(PICTURE, n / 25) for n in range(1, 12)][-1]
    assert numbers(first) == numbers(later) == [0, 1]
    for before, after in zip(first.faces, later.faces, strict=True):
        assert before.box.center == pytest.approx(after.box.center)


def test_newcomers_get_a_number_of_their_own(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10)]
    tracker(PICTURE, 0)
    stage.faces = [at(180), at(10)]
    found = [numbers(tracker(PICTURE, n / 25)) for n in range(1, 7)]
    assert found[0] == [0] and found[-1] == [0, 1]


def test_a_lost_face_is_looked_for_at_once_and_comes_back_under_its_number(
    tracker: Tracker, stage: Stage
) -> None:
    stage.faces = [at(10)]
    tracker(PICTURE, 0.0)
    stage.faces, before = [], stage.looks
    assert numbers(tracker(PICTURE, 0.1)) == [] and stage.looks == before + 1
    stage.faces = [at(20)]
    assert numbers(tracker(PICTURE, 0.5)) == [0]
    stage.faces = []
    tracker(PICTURE, 0.6)
    stage.faces = [at(20)]
    assert numbers(tracker(PICTURE, 5.0)) == [1]  # forgotten after a second


def test_two_tracks_of_one_face_become_one(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10), at(150)]
    assert numbers(tracker(PICTURE, 0)) == [0, 1]
    moved = tracker.tracks[1]
    moved.box, moved.shape = tracker.tracks[0].box, tracker.tracks[0].shape
    assert numbers(tracker(PICTURE, 0.04)) == [0]


def test_boxes_are_the_detectors(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10)]
    for n in range(3):
        (face,) = tracker(PICTURE, n / 25).faces
        assert face.box.as_list() == pytest.approx(at(10).as_list())


def test_assignment_is_the_best_of_all_pairs() -> None:
    known = [at(0), at(40)]
    assert assign(known, [at(35), at(-10)]) == {0: 1, 1: 0}
    assert assign(known, [at(200)]) == {} == assign([], known) == assign(known, [])


def test_wrong_settings_are_said(model_folder: Path) -> None:
    pipeline = ms.Pipeline("whole_image", model_folder)
    with pytest.raises(ConfigError, match="every is at least 1"):
        Tracker(pipeline, every=0)
    with pytest.raises(UnknownName, match="kalman"):
        Tracker(pipeline, smoothing="kalmann")
