"""Films that are cut: who comes after is somebody else; flashes, pans and other backdrops are no cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import meanshape as ms
from meanshape import Box, Face
from meanshape.core import weights
from meanshape.core.image import Pixels, read_image
from meanshape.core.prediction import Prediction
from meanshape.datasets.synthetic import face
from meanshape.detectors.base import FaceDetector
from meanshape.inference import cuts
from meanshape.inference.tracking import Tracker

CLIPS = Path(__file__).parent / "clips"
PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SIDE = 160
shipped = pytest.mark.skipif(
    not {"dan", "cpr", "mtcnn"} <= set(weights.names()),
    reason="the weights of dan, cpr and mtcnn are not here",
)


class Stage(FaceDetector):
    """Knows where faces are; its check takes for a face what overlaps one."""

    name = "stage"

    def __init__(self) -> None:
        self.faces: list[Box] = []
        self.looks = 0

    def _detect(self, image: Pixels, **options: Any) -> Iterable[Face]:
        self.looks += 1
        return [Face(box, score=0.95) for box in self.faces]

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        return [max((box.iou(known) for known in self.faces), default=0.0) for box in boxes]

    def canonical(self, box: Box) -> Box:
        return box


@cache
def portrait(person: int, seed: int = 0, yaw: float = 0.0) -> tuple[Pixels, Box]:
    """A rendered face before a backdrop of its seed."""
    plain: dict[str, Any] = {
        "occlusion": 0,
        "degrade": False,
        "emotion": "neutral",
        "fill": 0.55,
        "shift": 0.0,
    }
    sample = face((seed, person), SIDE, identity=person, yaw=yaw, pitch=0, roll=0, **plain)
    assert sample.box is not None
    return sample.pixels(), sample.box


def scene(person: int, at: tuple[int, int] = (80, 40), seed: int = 0, room: int = 0) -> tuple[Pixels, Box]:
    """A portrait in a larger picture, whose noise is the room's."""
    pixels, box = portrait(person, seed)
    canvas = np.random.default_rng(room).integers(0, 256, (15, 20, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    x, y = at
    canvas[y : y + SIDE, x : x + SIDE] = pixels
    return canvas, box.shifted(x, y)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def tracker(stage: Stage, model_folder: Path) -> Tracker:
    return Tracker(ms.Pipeline(stage, model_folder), every=50, smoothing="none")


def show(tracker: Tracker, stage: Stage, pixels: Pixels, *boxes: Box, time: float) -> Prediction:
    stage.faces = list(boxes)
    return tracker(pixels, time)


def numbers(prediction: Prediction) -> list[int | None]:
    return [found.track for found in prediction.faces]


@pytest.mark.parametrize("other", [1, 2, 3, 4])
@pytest.mark.parametrize("room", [0, 1])
def test_after_a_cut_another_person_has_another_number_at_once(
    tracker: Tracker, stage: Stage, other: int, room: int
) -> None:
    """In another room or in the same; the check is content, and was asked for in every third frame only."""
    pixels, box = scene(0)
    assert [numbers(show(tracker, stage, pixels, box, time=n / 25)) for n in range(4)] == [[0]] * 4
    pixels, box = scene(other, room=room)
    looks = stage.looks
    found = [show(tracker, stage, pixels, box, time=(4 + n) / 25) for n in range(3)]
    assert [numbers(one) for one in found] == [[1]] * 3 and stage.looks == looks + 1
    assert found[0].faces[0].box.as_list() == pytest.approx(box.as_list())


def test_after_a_cut_the_points_are_the_new_faces_own(tracker: Tracker, stage: Stage) -> None:
    pixels, box = scene(0)
    show(tracker, stage, pixels, box, time=0.0)
    pixels, box = scene(1, at=(140, 60), room=1)
    (after,) = show(tracker, stage, pixels, box, time=0.04).faces
    assert after.track == 1 and after.shape is not None
    assert after.shape.box().as_list() == pytest.approx(box.as_list())


def test_where_a_cut_leaves_an_empty_place_the_face_is_gone_at_once(tracker: Tracker, stage: Stage) -> None:
    """Nothing can be told of a wall's look: the check looks, due or not."""
    pixels, box = scene(0)
    for n in range(4):
        show(tracker, stage, pixels, box, time=n / 25)
    assert tracker.tracks[0].unchecked in (0, 1)
    other, place = scene(1, at=(150, 70), room=1)
    other[:200, :150] = 90
    assert numbers(show(tracker, stage, other, place, time=0.16)) == [1]


@pytest.mark.parametrize("tells", [True, False])
def test_what_the_detector_does_not_find_after_a_cut_is_followed_if_the_check_is_sure(
    tracker: Tracker, stage: Stage, monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    pixels, box = scene(0)
    show(tracker, stage, pixels, box, time=0.0)
    monkeypatch.setattr(Stage, "_detect", lambda self, image, **options: [])
    if not tells:
        monkeypatch.setattr(Stage, "scores", FaceDetector.scores)
    pixels, _ = scene(1, room=1)
    assert numbers(show(tracker, stage, pixels, box, time=0.04)) == ([1] if tells else [])


@pytest.mark.parametrize("light", [3.0, 40.0, 0.3, 0.02])
def test_a_flash_is_no_cut(tracker: Tracker, stage: Stage, light: float) -> None:
    pixels, box = scene(0)
    lit = np.clip(pixels * light, 0, 255).astype(np.uint8)
    for n, frame in enumerate([pixels, pixels, lit, pixels, pixels, lit, lit, pixels]):
        assert numbers(show(tracker, stage, frame, box, time=n / 25)) == [0]


def test_a_face_that_a_flash_hides_keeps_its_number(tracker: Tracker, stage: Stage) -> None:
    pixels, box = scene(0)
    white = np.full_like(pixels, 255)
    seen = [
        numbers(show(tracker, stage, *shown, time=n / 25))
        for n, shown in enumerate([(pixels, box), (white,), (white,), (white,), (pixels, box)])
    ]
    assert seen[0] == seen[-1] == [0] and seen[-2] == []


def test_through_black_the_same_face_keeps_its_number_and_another_does_not(
    tracker: Tracker, stage: Stage
) -> None:
    for number, (after, wanted) in enumerate([(0, 0), (1, 1)]):
        pixels, box = scene(0)
        tracker.tracks.clear()
        tracker._count = 0
        for n in range(6):
            dark = (pixels * (1 - n / 5)).astype(np.uint8)
            faces = [box] if n < 4 else []
            show(tracker, stage, dark, *faces, time=10 * number + n / 25)
        pixels, box = scene(after)
        for n in range(1, 6):
            found = show(
                tracker, stage, (pixels * (n / 5)).astype(np.uint8), box, time=10 * number + (6 + n) / 25
            )
        assert numbers(found) == [wanted]


def test_another_backdrop_is_no_cut(tracker: Tracker, stage: Stage) -> None:
    for n in range(8):
        pixels, box = scene(0, room=n)
        assert numbers(show(tracker, stage, pixels, box, time=n / 25)) == [0]
    assert stage.looks == 1


def test_a_face_from_the_shot_before_the_last_has_its_number_again(tracker: Tracker, stage: Stage) -> None:
    """A shot of some frames between: within the second that a number is kept."""
    found = []
    for n, person in enumerate([0, 0, 0, 1, 1, 1, 0, 0]):
        pixels, box = scene(person, room=person)
        found += numbers(show(tracker, stage, pixels, box, time=n / 25))
    assert found == [0, 0, 0, 1, 1, 1, 0, 0]


def test_a_film_that_changes_its_size_goes_on(tracker: Tracker, stage: Stage) -> None:
    pixels, box = scene(0)
    show(tracker, stage, pixels, box, time=0.0)
    large = pixels.repeat(2, 0).repeat(2, 1)
    doubled = Box(*(2 * edge + 0.5 for edge in box.as_list()))
    found = show(tracker, stage, large, doubled, time=0.04)
    assert numbers(found) == [0] and found.faces[0].box.as_list() == pytest.approx(doubled.as_list())
    pixels, box = scene(1)
    assert numbers(show(tracker, stage, pixels, box, time=0.08)) == [1]


def test_looks_tell_people_apart_and_not_brightness() -> None:
    looks = [cuts.look(*portrait(person)) for person in range(6)]
    for one in range(6):
        for other in range(one):
            apart = cuts.difference(looks[one], looks[other])
            assert apart is not None and apart > cuts.OTHERS
    pixels, box = portrait(0)
    half = pixels[:, 60:], box.shifted(-60, 0)  # half of the face has left the picture
    for same in (
        (pixels // 2 + 90, box),
        (pixels // 3, box),
        (pixels, box.shifted(3, 2)),
        portrait(0, yaw=8),
        half,
    ):
        apart = cuts.difference(looks[0], cuts.look(*same))
        assert apart is not None and apart < 0.2
    white, black = (cuts.look(np.full_like(pixels, level), box) for level in (255, 0))
    beside = cuts.look(pixels, Box(-500, -500, -400, -400))
    for nothing in (white, black, beside):
        assert cuts.difference(looks[0], nothing) is None and not cuts.tells(nothing)
    assert cuts.burnt(white) and not cuts.burnt(black)
    wall = cuts.difference(looks[0], cuts.look(np.full_like(pixels, 90), box))
    assert wall is not None and wall > cuts.OTHERS


def spun(pixels: Pixels, about: tuple[float, float], degrees: float, side: int) -> Pixels:
    """A picture turned about a point (x, y), which comes to the middle of a grey square."""
    turn = cv2.getRotationMatrix2D(about, degrees, 1.0)
    turn[:, 2] += (side - 1) / 2 - np.array(about)
    grey = (120, 130, 140)
    return np.asarray(cv2.warpAffine(pixels, turn, (side, side), borderValue=grey), np.uint8)


@pytest.mark.parametrize("roll", [-150, -60, 45, 120])
def test_a_look_turns_with_its_face(roll: int) -> None:
    pixels, box = portrait(0)
    upright = spun(pixels, box.center, 0, 200)
    half = (box.width / 2, box.height / 2)
    box = Box(99.5 - half[0], 99.5 - half[1], 99.5 + half[0], 99.5 + half[1])
    before, turned = cuts.look(upright, box), spun(upright, box.center, roll, 200)
    same, lying = (cuts.difference(before, cuts.look(turned, box, by)) for by in (roll, 0))
    assert same is not None and same < 0.1
    assert lying is not None and lying > cuts.OTHERS


@shipped
@pytest.mark.parametrize("degrees", [15, -15])
@pytest.mark.parametrize("model", ["dan", "cpr"])
def test_a_person_who_spins_keeps_the_number(model: str, degrees: int) -> None:
    pixels, tracker = read_image(PHOTO), Tracker(ms.Pipeline("mtcnn", model))
    found = [tracker(spun(pixels, (225, 120), degrees * n, 512), n / 25) for n in range(36)]
    assert [numbers(one) for one in found] == [[0]] * 36


def test_frames_of_another_shape_have_nothing_in_common() -> None:
    wide, high = np.zeros((90, 160, 3), np.uint8), np.zeros((160, 90, 3), np.uint8)
    assert cuts.frames_alike(cuts.thumbnail(wide), cuts.thumbnail(high)) == 0
    assert cuts.frames_alike(cuts.thumbnail(wide), cuts.thumbnail(wide + np.uint8(9))) == 1  # both are empty
    assert cuts.thumbnail(np.zeros((1, 1, 3), np.uint8)).shape == (24, 24)


@shipped
@pytest.mark.parametrize("model", ["dan", "cpr"])
@pytest.mark.parametrize("name", ["cut0", "cut90"])
def test_two_people_in_one_film_are_two(name: str, model: str) -> None:
    """The second had the first one's number, and points half a face off for a frame."""
    pytest.importorskip("av")
    truth = np.load(CLIPS / f"{name}_truth.npy", allow_pickle=False)
    for n, frame in enumerate(ms.video(CLIPS / f"{name}.mp4", model=model, smoothing="none")):
        (found,), true = frame.faces, truth[n // 20]
        apart = np.hypot(*(found.shape.points - true).T).mean() / np.hypot(*(true[45] - true[36]))
        assert found.track == n // 20 and apart < 0.06
