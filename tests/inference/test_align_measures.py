"""Aligned crops and the numbers people derive from a shape."""

from __future__ import annotations

import numpy as np
import pytest

import meanshape as ms
from meanshape.core.geometry import apply, compose
from meanshape.datasets import synthetic
from meanshape.datasets.synthetic.generate import Options, plan
from meanshape.inference import measures
from meanshape.inference.align import ARCFACE, align


@pytest.fixture(scope="module")
def face() -> ms.Sample:
    return synthetic.face(7, 128, roll=20, yaw=5, pitch=0)


def test_arcface_crops_put_five_points_where_they_belong(face: ms.Sample) -> None:
    crop, matrix, inverse = ms.align(face.image, face.shape)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    placed = apply(matrix, face.shape.to("mtfl5").points)
    assert np.abs(placed - ARCFACE).max() < 8  # a similarity cannot make one face out of another
    assert np.abs((placed - ARCFACE).mean(0)).max() < 1e-6
    assert compose(matrix, inverse) == pytest.approx(np.eye(2, 3), abs=1e-9)


@pytest.mark.parametrize("template", ["arcface", "mean"])
def test_crops_are_upright_and_scale_with_their_size(face: ms.Sample, template: str) -> None:
    small = align(face.image, ms.Face(face.box, face.shape), 64, template)
    large = align(face.image, face.shape, 128, template)
    upright = face.shape.with_points(apply(small.matrix, face.shape.points))
    assert abs(measures.roll(upright)) < 4 < measures.roll(face.shape)
    points = face.shape.points
    assert apply(large.matrix, points) == pytest.approx((apply(small.matrix, points) + 0.5) * 2 - 0.5)


def test_the_crop_shows_what_the_map_says() -> None:
    image = np.zeros((90, 90, 3), np.uint8)
    points = np.array([(30, 35), (60, 35), (45, 50), (34, 62), (56, 62)], float)
    image[34:37, 29:32] = 255  # around the right eye
    crop, matrix, _ = align(image, ms.Shape(points, "mtfl5"))
    x, y = np.rint(apply(matrix, points[:1])[0]).astype(int)
    assert crop[y, x].min() > 200
    assert crop.mean() < 20


def test_five_points_do_for_either_template(face: ms.Sample) -> None:
    five = face.shape.to("mtfl5")
    assert align(face.image, five, template="mean").image.shape == (112, 112, 3)


def test_what_cannot_be_aligned_is_said(face: ms.Sample) -> None:
    with pytest.raises(ms.ConfigError, match="arcface"):
        align(face.image, face.shape, template="arcfase")
    for size in (0, 112.0, "112", True, 10**7):
        with pytest.raises(ms.ConfigError, match="size"):
            align(face.image, face.shape, size)
    with pytest.raises(ms.ShapeError, match="no points"):
        align(face.image, ms.Face(face.box))
    with pytest.raises(ms.ShapeError, match="two points"):
        align(face.image, ms.Shape([(3, 3)] + [(np.nan, np.nan)] * 4, "mtfl5"))


def test_measures_of_a_shape_drawn_by_hand() -> None:
    points = np.full((68, 2), np.nan)
    points[36:42] = [(0, 10), (3, 8), (6, 8), (9, 10), (6, 11), (3, 11)]  # 3 high, 9 wide
    points[42:48] = [(20, 10), (23, 10), (26, 10), (29, 10), (26, 10), (23, 10)]  # shut
    points[60:68] = [(5, 30), (9, 28), (12, 28), (15, 28), (19, 30), (15, 32), (12, 32), (9, 32)]
    shape = ms.Shape(points, "ibug68")
    right, left = measures.eye_aspect_ratio(shape)
    assert right == pytest.approx(1 / 3) and left == 0
    assert measures.mouth_aspect_ratio(shape) == pytest.approx(4 / 14)
    assert measures.inter_ocular(shape) == 29
    assert measures.inter_pupil(shape) == pytest.approx(np.hypot(20, 1 / 3), abs=0.01)


def test_a_shut_mouth_is_smaller_than_an_open_one() -> None:
    shut, cried = (
        ms.Shape(plan(3, 128, Options(emotion=e)).points, "ibug68") for e in ("neutral", "surprise")
    )
    assert measures.mouth_aspect_ratio(shut) < measures.mouth_aspect_ratio(cried)


@pytest.mark.parametrize("degrees", [-30, 0, 30])
def test_roll_has_the_sign_of_the_pose(degrees: float) -> None:
    shape = ms.Shape(plan(3, 128, Options(roll=degrees, yaw=0, pitch=0)).points, "ibug68")
    assert measures.roll(shape) == pytest.approx(degrees, abs=4)


def test_poorer_mark_ups_say_what_they_lack(face: ms.Sample) -> None:
    five = face.shape.to("mtfl5")
    assert measures.inter_pupil(five) == pytest.approx(measures.inter_pupil(face.shape))
    for measure in (measures.eye_aspect_ratio, measures.mouth_aspect_ratio, measures.inter_ocular):
        with pytest.raises(ms.ShapeError, match="mtfl5"):
            measure(five)
    inner = face.shape.to("ibug51")
    assert measures.eye_aspect_ratio(inner) == measures.eye_aspect_ratio(face.shape)


def test_a_crop_has_the_channel_order_of_its_picture(face: ms.Sample) -> None:
    rgb = face.pixels()
    crop = ms.align(rgb, face.shape).image
    assert (ms.align(rgb[:, :, ::-1].copy(), face.shape, color="bgr").image[:, :, ::-1] == crop).all()
