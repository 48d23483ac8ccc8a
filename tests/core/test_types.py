import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, FormatError, ResultError, ShapeError, UnknownName
from meanshape.core.face import Emotion, Face, Pose
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape

number = st.floats(-5e3, 5e3)
length = st.floats(0.1, 5e3)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), number, number, length, length)
points = arrays(np.float64, (5, 2), elements=number)


def five(**more):
    return Shape(np.arange(10.0).reshape(5, 2), "mtfl5", **more)


class TestBox:
    @given(boxes, points)
    def test_relative_and_absolute_undo_each_other(self, box, some):
        assert np.allclose(box.absolute(box.relative(some)), some, atol=1e-7)
        assert np.allclose(box.relative([(box.left, box.top), (box.right, box.bottom)]), [(0, 0), (1, 1)])

    @given(boxes, st.floats(0.2, 5), st.floats(0.2, 5))
    def test_scaled_keeps_the_centre(self, box, fx, fy):
        scaled = box.scaled(fx, fy)
        assert scaled.center == pytest.approx(box.center)
        assert (scaled.width, scaled.height) == pytest.approx((box.width * fx, box.height * fy))

    @given(boxes, boxes)
    def test_iou(self, one, other):
        assert one.iou(one) == pytest.approx(1)
        assert one.iou(other) == pytest.approx(other.iou(one))
        assert 0 <= one.iou(other) <= 1 + 1e-9

    def test_iou_by_hand(self):
        assert Box(0, 0, 2, 2).iou(Box(1, 1, 3, 3)) == pytest.approx(1 / 7)
        assert Box(0, 0, 1, 1).iou(Box(1, 0, 2, 1)) == 0

    @given(boxes, st.integers(1, 5000))
    def test_mirrored_twice_is_itself(self, box, width):
        assert box.mirrored(width).mirrored(width).as_list() == pytest.approx(box.as_list())

    @given(points)
    def test_around_touches_every_side(self, some):
        assume((np.ptp(some, axis=0) > 1e-3).all())
        relative = Box.around(some).relative(some)
        assert relative.min() >= 0
        assert relative.max() <= 1 + 1e-9
        assert np.allclose([relative.min(0), relative.max(0)], [(0, 0), (1, 1)])

    def test_part_and_whole(self):
        assert Box.whole(10, 20).as_list() == [-0.5, -0.5, 9.5, 19.5]
        assert Box(0, 0, 10, 20, 0.5).part((0.1, 0.5, 1.1, 1.0)) == Box(1, 10, 11, 20, 0.5)

    def test_measures(self):
        box = Box(1, 2, 4, 6)
        assert (box.width, box.height, box.area, box.diagonal, box.size) == (3, 4, 12, 5, math.sqrt(12))
        assert box.shifted(1, -1) == Box(2, 1, 5, 5)

    @pytest.mark.parametrize(
        "wrong",
        [
            (math.nan, 0, 1, 1),
            (0, 0, math.inf, 1),
            (1, 0, 0, 1),
            (0, 1, 1, 0),
            (0, 0, 0, 1),
            ("a", 0, 1, 1),
            (None, 0, 1, 1),
            (0, 0, 1, 1, 1.5),
            (0, 0, 1, 1, math.nan),
        ],
    )
    def test_says_no(self, wrong):
        with pytest.raises(BoxError, match="box"):
            Box(*wrong)

    def test_nothing_has_no_box(self):
        with pytest.raises(BoxError, match="annotated"):
            Box.around(np.full((5, 2), np.nan))

    def test_is_frozen_and_plain(self):
        box = Box(np.float32(1), np.int64(2), 3, 4, np.float32(1.0000001))
        assert json.dumps(box.as_list()) == "[1.0, 2.0, 3.0, 4.0]"
        assert box.score == 1.0
        with pytest.raises(dataclasses.FrozenInstanceError):
            box.left = 0


class TestShape:
    @given(points, st.integers(1, 5000))
    def test_mirrored_twice_is_itself(self, some, width):
        shape = Shape(some, "mtfl5", visible=[True, False, True, True, False])
        again = shape.mirrored(width).mirrored(width)
        assert np.allclose(again.points, some, atol=1e-9)
        assert again.visible.tolist() == shape.visible.tolist()

    def test_mirrored_swaps_left_and_right(self):
        shape = Shape([(30, 40), (70, 41), (50, 60), (35, 80), (65, 81)], "mtfl5")
        flipped = shape.mirrored(101)
        assert flipped["left_eye"].tolist() == [100 - 30, 40]
        assert flipped["right_mouth_corner"].tolist() == [100 - 65, 81]

    def test_by_name(self):
        shape = Shape(np.arange(136.0).reshape(68, 2))
        assert shape["left_eye"].shape == (6, 2)
        assert shape["nose_tip"].tolist() == [60, 61]
        assert len(shape) == 68
        with pytest.raises(UnknownName, match="left_eye"):
            shape["left_eey"]

    def test_to_carries_visibility_and_confidence(self):
        visible, sure = np.ones(68, bool), np.full(68, 0.9)
        visible[36], sure[45] = False, 0.2
        shape = Shape(np.zeros((68, 2)), "ibug68", visible, sure)
        assert shape.to("mtfl5").visible.tolist() == [False, True, True, True, True]
        assert shape.to("mtfl5").confidence.tolist() == [0.9, 0.2, 0.9, 0.9, 0.9]
        lfpw = shape.to("lfpw29")
        assert np.isnan(lfpw["right_brow_bottom"]).all()
        assert not lfpw.visible[5]
        assert shape.to("ibug68") is shape

    def test_box_skips_what_is_not_annotated(self):
        some = np.array([(1.0, 2.0), (3.0, 5.0), (np.nan, 100.0), (2.0, 3.0), (2.0, 3.0)])
        shape = Shape(some, "mtfl5")
        assert shape.box() == Box(1, 2, 3, 5)
        assert np.isnan(shape["nose"]).all()

    @pytest.mark.parametrize(
        ("some", "more"),
        [
            (np.zeros((4, 2)), {}),
            (np.zeros((5, 3)), {}),
            (np.zeros(10), {}),
            (np.full((5, 2), np.inf), {}),
            ([["a", "b"]] * 5, {}),
            (np.zeros((5, 2)), {"visible": [True]}),
            (np.zeros((5, 2)), {"confidence": [2.0] * 5}),
            (np.zeros((5, 2)), {"confidence": [math.nan] * 5}),
        ],
    )
    def test_says_no(self, some, more):
        with pytest.raises(ShapeError):
            Shape(some, "mtfl5", **more)

    def test_keeps_its_own_copy(self):
        mine = np.zeros((5, 2))
        shape = Shape(mine, "mtfl5")
        mine[:] = 1
        assert (shape.points == 0).all()
        with pytest.raises(ValueError, match="read-only"):
            shape.points[0] = 1

    def test_equality_and_pickle(self):
        shape = five(visible=[True] * 5, confidence=[0.5] * 5)
        assert pickle.loads(pickle.dumps(shape)) == shape
        assert shape != five()
        assert shape != shape.with_points(shape.points + 1)
        assert dataclasses.replace(shape, visible=None) == five(confidence=[0.5] * 5)


def test_pose_and_emotion_say_no():
    with pytest.raises(ResultError, match="yaw"):
        Pose(0, math.nan, 0)
    with pytest.raises(ResultError, match="probability of joy"):
        Emotion("joy", {"joy": 1.2})
    with pytest.raises(ResultError, match="joy"):
        Emotion("joy", {"fear": 1.0})


@pytest.mark.parametrize("track", ["zz", 1.5, -1, True])
def test_a_track_is_a_whole_number(track):
    with pytest.raises(ResultError, match="a face's track must be a whole number from 0"):
        Face(Box(0, 0, 1, 1), track=track)


def test_attributes_are_labels_by_name():
    with pytest.raises(ResultError, match=r"labels by name, not \['glasses'\]"):
        Face(Box(0, 0, 1, 1), attributes=["glasses"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"source": 5}, "source is a text, not 5"),
        ({"model": ["dan"]}, "model is a text"),
        ({"error": True}, "error is a text"),
        ({"seconds": "a"}, "seconds must be a number"),
        ({"seconds": math.inf}, "seconds must be finite"),
    ],
)
def test_predictions_are_named_in_texts(wrong, says):
    with pytest.raises(ResultError, match=says):
        Prediction((), (1, 1), **wrong)
    with pytest.raises(FormatError, match=says):
        Prediction.from_dict({**Prediction((), (1, 1)).to_dict(), **wrong})
    assert Prediction((), (1, 1), Path("a") / "b.jpg").source == str(Path("a") / "b.jpg")


def test_face_takes_the_score_of_its_box():
    assert Face(Box(0, 0, 1, 1, 0.7)).score == 0.7
    assert Face(Box(0, 0, 1, 1, 0.7), score=0.2).score == 0.2


class TestPrediction:
    full = Prediction(
        faces=(
            Face(
                Box(1, 2, 3, 4, 0.9),
                Shape([(1, 2), (np.nan, np.nan), (3, 4), (5, 6), (7, 8)], "mtfl5", [True] * 5, [0.5] * 5),
                pose=Pose(1, 2, 3),
                emotion=Emotion("joy", {"joy": 0.75, "fear": 0.25}),
                attributes={"glasses": "no"},
                track=7,
            ),
            Face(Box(5, 6, 7, 8)),
        ),
        size=(640, 480),
        source="photos/ü.jpg",
        model="dan",
        seconds=0.01,
    )

    def test_there_and_back_through_json(self):
        text = json.dumps(self.full.to_dict(), allow_nan=False)
        assert Prediction.from_dict(json.loads(text)) == self.full

    def test_the_schema_has_just_these_keys(self):
        data = self.full.to_dict()
        assert list(data) == ["schema", "source", "size", "model", "seconds", "faces", "error"]
        assert data["schema"] == 1
        assert data["size"] == [640, 480]
        assert list(data["faces"][0]) == ["box", "score", "track", "shape", "pose", "emotion", "attributes"]
        assert data["faces"][0]["shape"]["points"][1] == [None, None]
        assert data["faces"][1]["shape"] is None

    def test_no_faces_is_a_prediction(self):
        nothing = Prediction((), (1, 1), error="broken.jpg: empty (0 bytes)")
        assert Prediction.from_dict(nothing.to_dict()) == nothing

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            [],
            {"schema": 2},
            {"schema": 1, "size": [1, 1]},
            {"schema": 1, "size": 3, "faces": []},
            {"schema": 1, "size": [1, 1], "faces": [{"box": [0, 0, 0, 0]}]},
            {"schema": 1, "size": [1, 1], "faces": [{"box": [0, 0, 1]}]},
            {"schema": 1, "size": [1, 1], "faces": [[]]},
        ],
    )
    def test_what_does_not_fit_is_a_format_error(self, wrong):
        with pytest.raises(FormatError, match="schema 1"):
            Prediction.from_dict(wrong)


def test_a_sample_decodes_when_asked():
    sample = Sample("a", np.zeros((4, 6), np.uint8))
    assert sample.pixels().shape == (4, 6, 3)
    assert Sample("b", "not/there.png").id == "b"


def test_what_is_printed_is_one_short_line():
    points = np.arange(136.0).reshape(68, 2)
    points[3] = np.nan
    shape = Shape(points, visible=np.arange(68) > 1, confidence=np.full(68, 0.5))
    assert repr(shape) == "Shape(ibug68, 67 points, 134 x 134, 2 hidden, confidence 0.50)"
    assert repr(Shape(np.full((68, 2), np.nan))) == "Shape(ibug68, 0 points, 0 x 0)"
    assert repr(shape.markup) == "MarkUp(ibug68, 68 points)"
    face = Face(Box(1, 2, 30, 40, 0.9), shape, pose=Pose(1, -2, 3), emotion=Emotion("happy"), track=4)
    told = repr(face)
    assert told.startswith("Face(box (1, 2, 30, 40), score 0.90, Shape(") and "\n" not in told
    assert told.endswith("pitch 1, yaw -2, roll 3, happy, track 4)")
    found = Prediction((face, face), (640, 480), "a.jpg", "dan")
    assert repr(found) == "Prediction(2 faces, 640 x 480, 'a.jpg', model dan)"
    assert repr(Prediction((face,), (640, 480))) == "Prediction(1 face, 640 x 480)"
    assert repr(Prediction((), (0, 0), error="gone")) == "Prediction(gone, 0 x 0)"


def test_a_shape_is_an_array_of_points_too():
    shape = Shape(np.arange(136.0).reshape(68, 2))
    assert np.asarray(shape).shape == (68, 2) and np.asarray(shape, np.float32).dtype == np.float32
    np.array(shape)[:] = 0  # a copy
    assert shape.points[1, 1] == 3 and not np.asarray(shape, copy=False).flags.writeable
    assert shape[30].tolist() == [60, 61] and shape[-1].tolist() == [134, 135]
    assert np.array_equal(shape[36:42], shape["right_eye"])
    assert [point.tolist() for point in shape][:2] == [[0, 1], [2, 3]] and len(shape) == 68
    with pytest.raises(IndexError):
        shape[68]
