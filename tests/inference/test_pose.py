"""Head pose: angles of rendered heads come back; what a shape does not show is not said."""

from __future__ import annotations

import numpy as np
import pytest

from meanshape.core.face import Pose
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic.generate import Options, plan
from meanshape.inference.pose import head_of, head_pose, rotation, rotation_slopes

RANGE = np.array((30.0, 60.0, 45.0))  # pitch, yaw, roll


def rendered(number: int, **angles: float) -> Shape:
    return Shape(plan((3, number), 160, Options(**angles)).points, "ibug68")


def found(shape: Shape) -> np.ndarray:
    pose = head_pose(shape)
    assert pose is not None
    return np.array([pose.pitch, pose.yaw, pose.roll])


@pytest.mark.parametrize(
    ("kind", "mean"), [("ibug68", 3.5), ("ibug51", 3.5), ("ibug49", 3.5), ("mtfl5", 4.5), ("lfpw29", 4.0)]
)
def test_rendered_heads_are_read_within_degrees(kind: str, mean: float) -> None:
    rng = np.random.default_rng(0)
    errors = []
    for number in range(40):
        angles = rng.uniform(-1, 1, 3) * RANGE
        shape = rendered(number, pitch=angles[0], yaw=angles[1], roll=angles[2])
        errors.append(np.abs(found(shape if kind == "ibug68" else shape.to(kind)) - angles))
    assert np.mean(errors) < mean
    assert np.max(np.mean(errors, axis=0)) < mean + 3  # no angle is much worse than the others


@pytest.mark.parametrize(("angle", "index"), [("pitch", 0), ("yaw", 1), ("roll", 2)])
def test_signs_are_the_design_s(angle: str, index: int) -> None:
    """+pitch up, +yaw and +roll toward the subject's right: the picture's left."""
    others = {"pitch": 0.0, "yaw": 0.0, "roll": 0.0}
    there = rendered(1, **others | {angle: 25.0})
    back = rendered(1, **others | {angle: -25.0})
    assert found(there)[index] > 15 and found(back)[index] < -15
    nose, eyes = there.points[30], there.points[36:48].mean(0)
    if angle == "yaw":
        assert nose[0] < eyes[0]
    if angle == "roll":
        assert there.points[36:42].mean(0)[1] > there.points[42:48].mean(0)[1]
    if angle == "pitch":
        assert nose[1] - eyes[1] < back.points[30][1] - back.points[36:48].mean(0)[1]


def test_a_mirrored_face_turns_the_other_way() -> None:
    shape = rendered(2, pitch=10, yaw=30, roll=-20)
    here, mirrored = found(shape), found(shape.mirrored(160))
    assert mirrored == pytest.approx(here * (1, -1, -1), abs=0.2)


def test_size_and_place_do_not_matter() -> None:
    shape = rendered(4, pitch=-10, yaw=20, roll=15)
    larger = shape.with_points(shape.points * 37 + (5000, -300))
    assert found(larger) == pytest.approx(found(shape), abs=1e-3)


def test_a_face_upside_down_is_rolled_by_half_a_turn() -> None:
    shape = rendered(5, pitch=0, yaw=0, roll=0)
    over = shape.with_points(160 - shape.points)
    assert abs(found(over)[2]) == pytest.approx(180, abs=5)


def test_missing_points_are_done_without() -> None:
    shape = rendered(6, pitch=5, yaw=-25, roll=10)
    points = shape.points.copy()
    points[17:36:2] = np.nan
    assert found(Shape(points, "ibug68")) == pytest.approx(found(shape), abs=8)


def test_too_few_points_or_a_line_say_nothing() -> None:
    points = np.full((68, 2), np.nan)
    points[[36, 45, 30, 48]] = [(10, 10), (30, 10), (20, 20), (12, 30)]
    assert head_pose(Shape(points, "ibug68")) is None
    assert head_pose(Shape(np.column_stack([np.arange(5), np.arange(5)]), "mtfl5")) is None


def test_a_mark_up_with_nothing_in_common_has_no_head() -> None:
    from meanshape.core.markup import from_toml

    own = from_toml("hand", 'points = ["a", "b", "c", "d", "e"]\nmirror = [0, 1, 2, 3, 4]')
    assert head_of(own) is None
    assert head_pose(Shape(np.random.default_rng(0).uniform(0, 9, (5, 2)), own)) is None


def test_the_head_is_symmetric_and_of_a_head_s_size() -> None:
    kind = markup("ibug51")
    head = head_of(kind)
    assert head is not None
    mirrored = head.places[list(kind.mirror)] * (-1, 1, 1)
    assert mirrored == pytest.approx(head.places, abs=0.11)  # it is written to a tenth of a millimetre
    eyes = head.places[19:25].mean(0) - head.places[25:31].mean(0)
    assert 55 < np.linalg.norm(eyes) < 75


def test_slopes_of_a_rotation_are_its_slopes() -> None:
    angles, step = (0.3, -0.7, 0.5), 1e-6
    turn, slopes = rotation(*angles), rotation_slopes(*angles)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
    for index in range(3):
        moved = list(angles)
        moved[index] += step
        assert (rotation(*moved) - turn) / step == pytest.approx(slopes[index], abs=1e-5)


def test_a_pose_is_plain_numbers() -> None:
    pose = head_pose(rendered(8))
    assert isinstance(pose, Pose) and isinstance(pose.yaw, float)
