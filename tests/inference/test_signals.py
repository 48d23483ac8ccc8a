"""Signals of one face and of a track, against values worked out by hand and against rendered faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.core.geometry import apply
from meanshape.datasets.synthetic import face, generate
from meanshape.inference import signals
from meanshape.inference.align import eye_crops
from meanshape.inference.signals import Signals

HAND = {
    **{"right_eye_outer": (0, 0), "right_eye_inner": (30, 0)},
    **{"right_eye_top_outer": (10, -5), "right_eye_top_inner": (20, -7)},
    **{"right_eye_bottom_inner": (20, 3), "right_eye_bottom_outer": (10, 5)},
    **{"left_eye_inner": (70, 0), "left_eye_outer": (100, 0)},
    **{"left_eye_top_inner": (80, -3), "left_eye_top_outer": (90, -3)},
    **{"left_eye_bottom_outer": (90, 3), "left_eye_bottom_inner": (80, 3)},
    **{"right_mouth_corner": (25, 80), "left_mouth_corner": (75, 80)},
    **{"right_inner_mouth_corner": (30, 80), "left_inner_mouth_corner": (70, 80)},
    **{"right_upper_lip_inside": (40, 76), "upper_lip_bottom": (50, 75), "left_upper_lip_inside": (60, 76)},
    **{"right_lower_lip_inside": (40, 82), "lower_lip_top": (50, 83), "left_lower_lip_inside": (60, 82)},
    **{"right_pupil": (12, -1), "left_pupil": (85, 0)},
}
"""Points of a face with 100 pixels between the outer eye corners."""


def by_hand(**moved: Any) -> ms.Shape:
    kind = ms.markup("ibug70")
    points = np.full((70, 2), np.nan)
    for name, point in (HAND | moved).items():
        points[kind.points.index(name)] = point
    for side, height in (("right_brow", -20), ("left_brow", -15)):
        for n, index in enumerate(kind.groups[side]):
            points[index] = (10 * n + (60 if side == "left_brow" else 0), height + (n - 2))
    return ms.Shape(points, kind)


WANTED = Signals(
    right_eye=(10 + 10) / (2 * 30), left_eye=(6 + 6) / (2 * 30), mouth=(6 + 8 + 6) / 3 / 40, smile=0.5,
    right_brow=0.2, left_brow=0.15,
)  # fmt: skip


def test_signals_are_those_worked_out_by_hand() -> None:
    assert signals.of(by_hand()) == pytest.approx(WANTED)


def test_signals_know_nothing_of_size_place_and_tilt() -> None:
    shape = by_hand()
    c, s = 3 * np.cos(0.7), 3 * np.sin(0.7)
    turned = shape.with_points(apply(np.array([[c, -s, 40], [s, c, -7]]), shape.points))
    assert signals.of(turned) == pytest.approx(WANTED)
    for one, other in zip(signals.pupil_offsets(turned), signals.pupil_offsets(shape), strict=True):
        assert one == pytest.approx(other)


def test_pupils_lie_from_the_middle_of_their_eye() -> None:
    right, left = signals.pupil_offsets(by_hand())
    assert right == pytest.approx([-3 / 30, -1 / 30]) and left == pytest.approx([0, 0])
    with pytest.raises(ms.ShapeError, match="ibug68 has no right pupil"):
        signals.pupil_offsets(by_hand().to("ibug68"))


def test_mark_ups_without_lids_are_refused_and_smaller_ones_do() -> None:
    with pytest.raises(ms.ShapeError, match="mtfl5 has no"):
        signals.of(by_hand().to("mtfl5"))
    for kind in ("ibug68", "ibug51"):
        assert signals.of(by_hand().to(kind)) == pytest.approx(WANTED)


def test_a_track_is_measured_against_its_own_median() -> None:
    wide = by_hand(left_mouth_corner=(100, 80), right_mouth_corner=(25, 80))
    found = signals.relative([by_hand(), by_hand(), wide])
    names = Signals._fields
    assert found[0] == pytest.approx([1, 1, 0, 1, 0, 0])
    assert found[2, names.index("smile")] == pytest.approx(1.5) and found[2, 0] == 1
    assert signals.relative([]).shape == (0, 6)
    half = by_hand(right_eye_top_inner=(np.nan, np.nan))
    assert np.isnan(signals.relative([half, half])[:, 0]).all()
    assert signals.relative([half, half])[0, 1:] == pytest.approx([1, 0, 1, 0, 0])


def test_blinks_are_short_and_whole() -> None:
    times = np.arange(100) / 25
    opening = np.full(100, 0.3)
    opening[10:13] = (0.2, 0.05, 0.17)  # 0.2 is two thirds: not yet shut
    opening[40:60] = 0.02  # 0.8 seconds: shut on purpose
    opening[:2] = opening[97:] = 0.01  # cut off
    (blink,) = signals.blinks(times, opening)
    assert blink == pytest.approx((11 / 25, 13 / 25, 0.05 / 0.3))
    assert signals.blinks(times, np.stack([opening, opening], 1)) == [blink]
    assert len(signals.blinks(times, opening, longest=1.0)) == 2
    assert signals.blinks(times, opening, closed=0.7)[0].start == pytest.approx(10 / 25)
    one_eye = np.stack([opening, np.full(100, 0.3)], 1)  # a wink leaves the mean above
    assert signals.blinks(times, one_eye, closed=0.5) == []
    assert signals.blinks([], []) == [] == signals.blinks([0.0, 1.0], [np.nan, np.nan])


@pytest.mark.parametrize(
    ("times", "openings", "words", "said"),
    [
        ([0, 1], [1], {}, r"rising times \(T,\)"),
        ([0, 0], [1, 1], {}, "rising times"),
        ([0, 1], [1, 1], {"closed": 1.5}, "closed is a part"),
        ([0, 1], [1, 1], {"longest": 0}, "longest is seconds"),
        ([0, 1], [1, 1], {"longest": "1"}, "longest must be a number"),
    ],
)
def test_what_does_not_fit_is_said(times: Any, openings: Any, words: Any, said: str) -> None:
    with pytest.raises(ms.ConfigError, match=said):
        signals.blinks(times, openings, **words)


def rendered(monkeypatch: pytest.MonkeyPatch, seed: int, **moves: float) -> Signals:
    """Signals of the exact points of a rendered face that does this."""
    monkeypatch.setattr(generate, "draw_moves", lambda emotion, rng: {"asymmetry": 0.0, **moves})
    made = generate.plan(seed, 128, generate.Options(0, 0, 0, emotion="neutral"))
    return signals.of(ms.Shape(made.points, "ibug68"))


@pytest.mark.parametrize("seed", range(4))
def test_rendered_faces_move_their_own_signal(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rest = rendered(monkeypatch, seed)
    shut = rendered(monkeypatch, seed, eye_close=1.0)
    assert max(shut.right_eye, shut.left_eye) < 0.5 * min(rest.right_eye, rest.left_eye)
    talking = rendered(monkeypatch, seed, jaw_open=1.0)
    assert talking.mouth > rest.mouth + 0.3 and talking.right_eye == pytest.approx(rest.right_eye, abs=0.02)
    smiling = rendered(monkeypatch, seed, smile=1.0)
    assert smiling.smile > 1.1 * rest.smile
    raised = rendered(monkeypatch, seed, brow_raise=1.0)
    lowered = rendered(monkeypatch, seed, brow_lower=1.0)
    assert lowered.right_brow < rest.right_brow - 0.02 < rest.right_brow + 0.02 < raised.right_brow
    assert raised.left_brow > rest.left_brow + 0.02 and raised.smile == pytest.approx(rest.smile, abs=0.01)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_eye_crops_are_level_and_centred(color: Any) -> None:
    sample = face(3, 160, roll=25, yaw=0, pitch=0)
    assert sample.shape is not None
    pixels = sample.pixels() if color == "rgb" else sample.pixels()[:, :, ::-1].copy()
    crops = eye_crops(pixels, sample.shape, size=64, width=2.0, color=color)
    plain = eye_crops(sample.pixels(), sample.shape, size=64, width=2.0)
    for (crop, matrix, inverse), same, ends in zip(
        crops,
        plain,
        (("right_eye_outer", "right_eye_inner"), ("left_eye_inner", "left_eye_outer")),
        strict=True,
    ):
        corners = np.array([sample.shape[name] for name in ends])
        assert apply(matrix, corners) == pytest.approx(np.array([(15.5, 31.5), (47.5, 31.5)]))
        assert apply(inverse, apply(matrix, corners)) == pytest.approx(corners)
        assert (
            crop.shape == (64, 64, 3)
            and (crop == (same.image if color == "rgb" else same.image[:, :, ::-1])).all()
        )
    with pytest.raises(ms.ConfigError, match="width is in widths"):
        eye_crops(pixels, sample.shape, width=0)
    with pytest.raises(ms.ShapeError, match="no points"):
        eye_crops(pixels, ms.Face(ms.Box(0, 0, 9, 9)))
    with pytest.raises(ms.ShapeError, match="mtfl5 has no eye corners"):
        eye_crops(pixels, sample.shape.to("mtfl5"))


@pytest.mark.parametrize("seed", range(6))
def test_head_crops_hold_the_face_from_chin_to_forehead(seed: int) -> None:
    sample = face(seed, 160, yaw=0, pitch=0)
    assert sample.shape is not None
    _, matrix, _ = ms.align(sample.image, sample.shape, 100, "head")
    points = apply(matrix, sample.shape.points)
    brows, chin = points[17:27, 1].mean(), points[8, 1]
    assert points.min() >= 0 and points.max() <= 99
    assert brows - 0.45 * (chin - brows) > 0  # the forehead is about half as high as what lies below
