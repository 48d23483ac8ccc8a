"""Faces that do not stand upright are found, and their points are those of the same face upright."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meanshape as ms
from meanshape import Box, Face, Shape
from meanshape.core import weights
from meanshape.core.errors import ConfigError
from meanshape.core.geometry import apply, invert
from meanshape.core.image import read_image
from meanshape.detectors.base import FaceDetector
from meanshape.detectors.whole_image import WholeImage
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.tracking import Tracker
from meanshape.inference.turns import LEVEL, MOST, Candidate, roll_of, search, turned, view

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
shipped = pytest.mark.skipif("integral" not in weights.names(), reason="the default model is not here")
FIVE = np.array([[30.0, 20], [50, 20], [40, 30], [32, 40], [48, 40]])
"""Five points of an upright face in the box of `Upright`, as it is in `upright_picture`."""
HEAD = Box(20, 5, 60, 55)


def upright_picture():
    """A picture of 120 x 70 with a mark that `Upright` takes for a face if it stands as it does here."""
    pixels = np.zeros((70, 120, 3), np.uint8)
    pixels[10:14, 38:42, 0] = 255
    pixels[48:52, 38:42, 2] = 255
    return pixels


class Upright(FaceDetector):
    """Finds the one face whose red mark is above its blue one."""

    name = "upright"
    sure = 0.99

    def __init__(self, score=0.999, points=True):
        self.score, self.points, self.looks = score, points, 0

    def _detect(self, image, *, min_face=None):
        self.looks += 1
        red, blue = (np.argwhere(image[..., c] > 200).mean(0)[::-1] for c in (0, 2))
        if abs(red[0] - blue[0]) > 1 or red[1] > blue[1]:
            return []
        away = red - (39.5, 11.5)
        return [
            Face(
                Box(*(np.array(HEAD.as_list()[:4]) + np.tile(away, 2)).tolist(), score=self.score),
                Shape(FIVE + away, "mtfl5") if self.points else None,
            )
        ]

    def canonical(self, box):
        return box.part((0.1, 0.3, 0.9, 0.9))


def quarter(points, k, size):
    """Points (N, 2) in a picture that np.rot90 turned k times; `size` is that of the picture before."""
    for _ in range(k):
        points, size = np.stack([points[:, 1], size[0] - 1 - points[:, 0]], 1), size[::-1]
    return points


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("k", range(4))
def test_a_face_is_found_in_any_quarter(k, points):
    upright = upright_picture()
    found = search(Upright(points=points), np.ascontiguousarray(np.rot90(upright, k)), "auto")
    assert len(found) == 1
    corners = quarter(np.array([[HEAD.left, HEAD.top], [HEAD.right, HEAD.bottom]]), k, (120, 70))
    assert np.allclose(found[0].face.box.as_list()[:4], np.r_[corners.min(0), corners.max(0)])
    canonical = HEAD.part((0.1, 0.3, 0.9, 0.9))
    assert np.allclose(found[0].box.center, quarter(np.array([canonical.center]), k, (120, 70))[0])
    assert (found[0].box.width, found[0].box.height) == pytest.approx((canonical.width, canonical.height))
    assert abs(found[0].roll) == pytest.approx({0: 0, 1: 90, 2: 180, 3: 90}[k])
    assert found[0].roll == pytest.approx(90 if k == 1 else found[0].roll)  # toward the subject's right
    if points:
        assert np.allclose(found[0].face.shape.points, quarter(FIVE, k, (120, 70)))


@pytest.mark.parametrize(
    ("turns", "k", "score", "looks", "faces"),
    [
        ("none", 0, 0.999, 1, 1), ("none", 1, 0.999, 1, 0), ("all", 0, 0.999, 4, 1), ("auto", 0, 0.999, 1, 1),
        ("auto", 2, 0.999, 4, 1), ("auto", 0, 0.8, 4, 1), ("auto", 1, 0.8, 4, 0),
    ],
)  # fmt: skip
def test_it_looks_as_often_as_it_must(turns, k, score, looks, faces):
    detector = Upright(score)
    found = search(detector, np.ascontiguousarray(np.rot90(upright_picture(), k)), turns)
    assert (detector.looks, len(found)) == (looks, faces)


def test_a_detector_that_does_not_say_when_it_is_sure_is_believed():
    class Plain(Upright):
        sure = FaceDetector.sure

    for k, looks in ((0, 1), (1, 4)):
        detector = Plain(0.3)
        search(detector, np.ascontiguousarray(np.rot90(upright_picture(), k)), "auto")
        assert detector.looks == looks


def test_what_does_not_search_is_asked_once():
    assert len(search(WholeImage(), upright_picture(), "all")) == 1


def test_a_face_seen_in_two_turns_is_one_face():
    class Twice(Upright):
        """Takes an upside-down face for one, too, with less confidence and a box that is off."""

        def _detect(self, image, *, min_face=None):
            self.looks += 1
            if self.looks == 1:
                return [Face(Box(30, 10, 80, 70), score=0.9)]
            return [Face(Box(45, 5, 95, 65), score=0.999)] if self.looks == 3 else []

    found = search(Twice(), upright_picture(), "auto")
    assert [one.face.score for one in found] == [0.999] and found[0].roll == -180


@pytest.mark.parametrize(("score", "count"), [(0.97, 1), (0.99, 2)])
def test_a_photo_stands_in_one_way_but_for_faces_that_are_sure(score, count):
    class Elsewhere(Upright):
        """Sees an upside-down face, and less surely another where none is."""

        def _detect(self, image, *, min_face=None):
            self.looks += 1
            return [Face(Box(5, 5, 25, 25), score={1: score - 0.02, 3: 0.999}.get(self.looks, score))]

    found = search(Elsewhere(), np.zeros((300, 300, 3), np.uint8), "auto")
    assert [one.face.score for one in found] == [0.999] + [score] * (2 * (count - 1))


@given(st.floats(-360, 360), st.integers(1, 40), st.integers(1, 40))
def test_a_turned_picture_holds_the_whole_picture(degrees, width, height):
    pixels = np.zeros((height, width, 3), np.uint8)
    picture, back = turned(pixels, degrees)
    corners = apply(invert(back), np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)], float))
    assert (corners > -1).all() and (corners < np.array(picture.shape[1::-1])).all()
    angle = np.rad2deg(np.arctan2(back[1, 0], back[0, 0]))
    assert abs((angle - degrees + 180) % 360 - 180) < 1e-6 and np.linalg.det(back[:, :2]) == pytest.approx(1)


@pytest.mark.parametrize("k", range(4))
def test_a_quarter_turn_moves_pixels_and_blurs_none(k):
    pixels = np.random.default_rng(k).integers(0, 255, (7, 12, 3)).astype(np.uint8)
    picture, back = turned(pixels, 90 * k)
    assert np.array_equal(picture, np.rot90(pixels, k))
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            there = np.rint(apply(back, np.array([[x, y]], float))[0]).astype(int)
            assert (picture[y, x] == pixels[there[1], there[0]]).all()


class Tilted(FaceDetector):
    """In a picture as it stands, finds one of two faces, tilted by 40 degrees; upright, both, surer."""

    name = "tilted"
    sure = 0.99
    tilt = 40.0

    def __init__(self, others=0.999):
        self.looks, self.others = 0, others
        self.centers = np.array([[60.0, 50], [140, 70]])  # in the picture as it stands

    def _detect(self, image, *, min_face=None):
        self.looks += 1
        angle = np.deg2rad(self.tilt)
        away = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        five = (FIVE - FIVE.mean(0)) @ away.T
        if self.looks == 1:
            there = self.centers[0]
            return [Face(self._box(there), Shape(five + there, "mtfl5"), score=0.995)]
        _, back = turned(np.zeros((120, 200, 3), np.uint8), -self.tilt)
        there = apply(invert(back), self.centers)
        shapes = [Shape(FIVE - FIVE.mean(0) + center, "mtfl5") for center in there]
        return [Face(self._box(shape.points.mean(0)), shape, score=self.others) for shape in shapes]

    def _box(self, center):
        return Box.around([center - 20, center + 20])


@pytest.mark.parametrize(("turns", "others", "looks", "faces"), [
    ("none", 0.999, 1, 1), ("auto", 0.999, 2, 2), ("auto", 0.9, 2, 1), ("auto", 0.96, 2, 2),
])  # fmt: skip
def test_a_tilted_picture_is_searched_upright_too(turns, others, looks, faces):
    detector = Tilted(others)
    found = search(detector, np.zeros((120, 200, 3), np.uint8), turns)
    assert (detector.looks, len(found)) == (looks, faces)
    assert all(one.roll == pytest.approx(40, abs=1e-6) for one in found)
    for one, center in zip(found, detector.centers, strict=False):
        assert np.allclose(one.face.shape.points.mean(0), center) and np.allclose(one.face.box.center, center)


def test_a_picture_that_is_hardly_tilted_is_searched_once():
    detector = Tilted()
    detector.tilt = LEVEL - 1
    search(detector, np.zeros((120, 200, 3), np.uint8), "auto")
    assert detector.looks == 1


@shipped
def test_two_astronauts_in_a_tilted_photo_are_both_found():
    photo = read_image(PHOTO)[:350, 50:400]
    small = np.asarray(cv2.resize(photo, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA))
    row = np.full((400, 700, 3), 127, np.uint8)
    row[20:370, 20:370] = photo
    row[200:340, 500:640] = small
    upright = ms.detect(row).faces
    assert len(upright) == 2
    for degrees in (40, 130, -45):
        picture, back = turned(row, degrees)
        found = ms.detect(picture).faces
        assert len(found) == 2
        for before in upright:
            apart = [
                np.linalg.norm(apply(back, f.shape.points) - before.shape.points, axis=1).mean()
                for f in found
            ]
            assert min(apart) < 0.04 * before.box.size


@shipped
def test_an_astronaut_upside_down_is_one_face():
    photo = read_image(PHOTO)
    for size in (photo.shape[0], 256):
        small = np.asarray(cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA))
        for k in range(4):
            assert len(ms.detect(np.ascontiguousarray(np.rot90(small, k))).faces) == 1


@given(st.floats(-179, 179), st.floats(1, 50))
def test_the_five_points_tell_the_tilt(roll, scale):
    angle = np.deg2rad(roll)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert roll_of(Shape(FIVE @ turn.T + 7, "mtfl5")) == pytest.approx(roll, abs=1e-6)


def test_points_that_do_not_tell_are_taken_for_upright():
    assert roll_of(None) == roll_of(Shape(np.full((5, 2), np.nan), "mtfl5")) == 0
    assert roll_of(Shape(np.zeros((5, 2)), "mtfl5")) == 0
    assert roll_of(Shape(np.zeros((51, 2)), "ibug51")) == 0


@given(st.floats(-180, 180), st.floats(5, 400), st.floats(0.5, 2))
def test_a_view_stands_upright_and_knows_the_way_back(roll, size, ratio):
    box = Box.around([[50 - size / 2, 40 - ratio * size / 2], [50 + size / 2, 40 + ratio * size / 2]])
    seen = view(np.zeros((60, 90, 3), np.uint8), box, roll)
    if abs(roll) <= LEVEL:
        assert seen.back is None and seen.box == box
        return
    assert max(seen.pixels.shape[:2]) <= MOST
    assert seen.box.width / seen.box.height == pytest.approx(box.width / box.height)
    assert np.allclose(apply(seen.back, np.array([seen.box.center])), [box.center], atol=1e-6)
    down = apply(seen.back, np.array([seen.box.center + np.array([0, 1.0])]))[0] - box.center
    away = np.rad2deg(np.arctan2(down[0], down[1])) - roll
    assert abs((away + 180) % 360 - 180) < 1e-4
    points = Shape(np.stack([seen.box.center] * 68))
    assert np.allclose(seen.placed(points).points, box.center)


def test_an_unknown_way_is_an_error():
    with pytest.raises(ConfigError, match="none, auto, all, not 'some'"):
        Pipeline("whole_image", turns="some")


@shipped
@pytest.mark.parametrize("model", ["integral", "dan", "cpr", "tcdcn"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_photo_on_its_side_has_the_points_of_the_photo(model, k):
    if model not in weights.names():
        pytest.skip("its weights are not here")
    photo = read_image(PHOTO)
    upright = ms.detect(photo, model=model).faces[0]
    turned = ms.detect(np.ascontiguousarray(np.rot90(photo, k)), model=model)
    assert len(turned.faces) == 1
    wanted = quarter(upright.shape.points, k, photo.shape[1::-1])
    apart = np.linalg.norm(turned.faces[0].shape.points - wanted, axis=1).mean()
    assert apart < 0.03 * upright.box.size
    assert abs((turned.faces[0].pose.roll - upright.pose.roll - 90 * k + 180) % 360 - 180) < 8
    assert not ms.detect(np.ascontiguousarray(np.rot90(photo, 2)), model=model, turns="none").faces


@shipped
def test_labels_are_those_of_the_face_upright():
    photo = read_image(PHOTO)
    both = [
        ms.detect(pixels, emotion=True, attributes=True).faces[0]
        for pixels in (photo, np.ascontiguousarray(np.rot90(photo)))
    ]
    assert both[0].emotion.label == both[1].emotion.label == "happy"
    for name, labels in both[0].attributes.items():
        assert max(labels, key=labels.get) == max(both[1].attributes[name], key=both[1].attributes[name].get)


@shipped
def test_a_face_on_its_side_is_followed():
    photo = np.ascontiguousarray(np.rot90(read_image(PHOTO)))
    tracker = Tracker(Pipeline(), smoothing="none")
    found = [tracker(np.roll(photo, 2 * n, axis=1), n / 25) for n in range(20)]
    assert [[face.track for face in one.faces] for one in found] == [[0]] * 20
    assert tracker.looks <= 2
    moved = found[-1].faces[0].shape.points - found[0].faces[0].shape.points
    assert np.allclose(moved.mean(0), (38, 0), atol=2)


@shipped
def test_a_film_without_faces_is_searched_in_turns_now_and_then():
    class Counted(Upright):
        def _detect(self, image, *, min_face=None):
            self.looks += 1
            return []

    detector = Counted()
    tracker = Tracker(Pipeline(detector), every=5)
    for n in range(10):
        tracker(upright_picture(), n / 25)
    assert detector.looks == 10 + 2 * 3


def test_a_candidate_is_upright_unless_told():
    assert Candidate(Face(HEAD), HEAD).roll == 0


@shipped
def test_a_cut_to_a_face_on_its_side_is_searched_in_turns_at_once():
    photo = read_image(PHOTO)
    shots = [photo] * 4 + [np.ascontiguousarray(np.rot90(photo))] * 3
    rolls = [[face.pose.roll for face in frame.faces] for frame in ms.video(shots, rate=25)]
    assert all(len(found) == 1 for found in rolls)
    assert rolls[4][0] - rolls[3][0] == pytest.approx(90, abs=3)
