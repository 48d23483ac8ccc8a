"""Faces over time: numbers that stay, a detector that looks seldom, losses and newcomers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape import Box, Face, Shape
from meanshape.core.errors import ConfigError, UnknownName
from meanshape.core.image import Pixels
from meanshape.core.prediction import Prediction
from meanshape.detectors.base import FaceDetector
from meanshape.inference.pose import head_pose
from meanshape.inference.track import CHECK, RESTS
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


def gone(tracker: Tracker, time: float) -> Prediction:
    """Show the empty stage until the check has looked: at the latest in the third frame."""
    for n in range(CHECK):
        if not (found := tracker(PICTURE, time + 0.001 * n)).faces:
            break
    return found


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
    assert numbers(gone(tracker, 0.1)) == [] and stage.looks == before + 1
    stage.faces = [at(20)]
    assert numbers(tracker(PICTURE, 0.5)) == [0]
    stage.faces = []
    gone(tracker, 0.6)
    stage.faces = [at(20)]
    assert numbers(tracker(PICTURE, 5.0)) == [1]  # forgotten after a second


def test_a_face_that_is_sure_is_checked_in_every_third_frame(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [at(10)]
    checks: list[int] = []
    look = stage.scores
    stage.scores = lambda image, boxes: checks.append(len(boxes)) or look(image, boxes)  # type: ignore[method-assign]
    for n in range(1 + 2 * CHECK):
        tracker(PICTURE, n / 25)
    assert sum(checks) == 2
    tracker.tracks[0].score = 0.7  # no longer sure
    tracker(PICTURE, 1.0)
    assert sum(checks) == 3


def test_newcomers_are_not_looked_for_while_all_that_are_wanted_are_followed(
    stage: Stage, model_folder: Path
) -> None:
    tracker = Tracker(ms.Pipeline(stage, model_folder, max_faces=1), every=5, smoothing="none")
    stage.faces = [at(10), at(180)]
    assert [numbers(tracker(PICTURE, n / 25)) for n in range(12)] == [[0]] * 12
    assert tracker.looks == 1
    stage.faces = [at(180)]
    gone(tracker, 1.0)
    assert numbers(tracker(PICTURE, 1.1)) == [1] and tracker.looks == 2


@pytest.mark.parametrize(("step", "ahead"), [(12.0, 12.0), (1.0, 0.0), (60.0, 0.0)])
def test_a_face_that_moves_is_looked_for_where_it_goes(
    tracker: Tracker, stage: Stage, step: float, ahead: float
) -> None:
    """Not one that trembles, and not as far as no face goes in a frame."""
    stage.faces = [at(10)]
    tracker(PICTURE, 0.0)
    (track,) = tracker.tracks
    moved = track.shape.with_points(track.shape.points + np.array([step, 0.0]))
    track.follow(moved, track.box.shifted(step, 0), 1.0, 0.04)
    box, start = track.ahead(0.08)
    assert box.center[0] - track.box.center[0] == pytest.approx(ahead)
    assert start.markup.name == "ibug51"  # the inner points
    assert start.points - track.shape.to("ibug51").points == pytest.approx(np.tile([ahead, 0.0], (51, 1)))


def test_a_face_that_rests_begins_where_it_began(tracker: Tracker, stage: Stage) -> None:
    stage.faces = [Box(50, 50, 130, 130)]
    tracker(PICTURE, 0.0)
    (track,) = tracker.tracks
    for whole in (False, True):
        track.begun = None
        box, shape = track.ahead(0.04, whole)
        assert len(shape) == (68 if whole else 51)
        for by, same in ((0.003, True), (0.02, False)):
            points = track.shape.points + by * track.box.size
            moved = replace(track, shape=track.shape.with_points(points), box=box.shifted(1, 0))
            begun = moved.ahead(0.08, whole)
            assert (begun[0] is box and begun[1] is shape) == same


def test_a_face_that_drifts_takes_its_start_along(tracker: Tracker, stage: Stage) -> None:
    """A step of a hundredth of its size a frame: the start follows by as much, behind by the leash."""
    stage.faces = [Box(50, 50, 130, 130)]
    tracker(PICTURE, 0.0)
    (track,) = tracker.tracks
    first, step = track.ahead(0.04, whole=True)[0], np.array([0.01 * track.box.size, 0.0])
    for number in range(1, 6):
        shape = track.shape.with_points(track.shape.points + step)
        track.follow(shape, track.box.shifted(*step.tolist()), 1.0, number / 25)
        box, start = track.ahead((number + 1) / 25, whole=True)
        behind = track.shape.points - start.points
        expected = min(number * 0.01, RESTS) * box.size
        assert behind == pytest.approx(np.tile([expected, 0.0], (68, 1)))
        assert box.center[0] - first.center[0] == pytest.approx(number * step[0] - expected)


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
    for wrong, said in (
        ({"every": 0}, "every must be a whole number from 1 on, not 0"),
        ({"every": 2.5}, "every must be a whole number from 1 on, not 2.5"),
        ({"every": "3"}, "every must be a whole number from 1 on, not '3'"),
        ({"threshold": 1.5}, "threshold must lie in 0..1"),
        ({"threshold": "x"}, "threshold must be a number, not 'x'"),
        ({"memory": -1}, "memory is seconds"),
        ({"memory": float("nan")}, "memory must be finite"),
    ):
        with pytest.raises(ConfigError, match=said):
            Tracker(pipeline, **wrong)
    with pytest.raises(UnknownName, match="kalman"):
        Tracker(pipeline, smoothing="kalmann")


def test_what_the_pipeline_is_asked_for_is_told_of_followed_faces(stage: Stage) -> None:
    """Pose as of a single photo, though each search starts from the last; emotion and attributes, too."""
    photo = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
    pipeline = ms.Pipeline(emotion=True, attributes=True, max_faces=1)
    alone = pipeline(photo).faces[0]
    tracker = Tracker(pipeline, smoothing="none")
    face = [tracker(photo, n / 25) for n in range(4)][-1].faces[0]
    assert face.emotion is not None and face.attributes is not None and face.track == 0
    assert face.emotion.label == alone.emotion.label and set(face.attributes) == set(alone.attributes)
    whole = head_pose(face.shape)
    for name in ("pitch", "yaw", "roll"):
        assert getattr(face.pose, name) == pytest.approx(getattr(whole, name), abs=0.2)


def test_fewer_stages_are_run_where_that_is_wanted() -> None:
    photo = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
    first, all_stages = ms.Pipeline(stages=1), ms.Pipeline()
    box = [all_stages.detector.canonical(face.box) for face in all_stages.detector.detect(photo)]
    wanted = all_stages.model.predict(photo, box[0], stages=1).points
    assert first(photo).faces[0].shape.points == pytest.approx(wanted)
    assert Tracker(first)(photo, 0).faces[0].shape.points == pytest.approx(wanted)
    assert abs(all_stages(photo).faces[0].shape.points - wanted).max() > 0.1
    for model, said in (("dan", "has 2 stages, asked for 3"), ("asm", "asm has no stages")):
        with pytest.raises(ConfigError, match=said):
            ms.Pipeline(model=model, stages=3)


def test_the_box_of_points_that_hold_the_68_is_that_of_the_68() -> None:
    """Pupils do not make a face larger; five points say nothing of its box."""
    from meanshape.inference.tracking import canonical

    points = np.random.default_rng(0).uniform(20, 60, (70, 2))
    start = Box(0, 0, 10, 10)
    whole, five = Shape(points, "ibug70"), Shape(points[:5], "mtfl5")
    assert canonical(whole, whole, start) == Shape(points[:68]).box()
    assert canonical(five, five, start).as_list() == pytest.approx(start.as_list())
