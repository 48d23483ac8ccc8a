"""Filters over time: quiet on a still face, close behind a moving one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanshape.core.errors import ConfigError, UnknownName
from meanshape.evaluation.jitter import Path68, measure
from meanshape.inference.smoothing import SMOOTHERS, Kalman, OneEuro, smoother

SIZE, RATE, FRAMES = 100.0, 30.0, 90
FACE = np.random.default_rng(0).uniform(0, SIZE, (68, 2))


def path(moving: bool) -> Path68:
    """A face that rests, or crosses the picture at up to two face sizes a second, found with some noise."""
    times = np.arange(FRAMES) / RATE
    way = 120 * np.sin(2 * np.pi * 0.3 * times) if moving else np.zeros(FRAMES)
    truth = FACE + np.stack([way, 0.3 * way], 1)[:, None]
    noise = np.random.default_rng(1).normal(0, 0.5, truth.shape)
    return Path68(truth + noise, times, np.full(FRAMES, SIZE), truth)


@pytest.mark.parametrize("name", ["one_euro", "kalman"])
def test_still_face_is_quieter_and_moving_face_hardly_late(name: str) -> None:
    raw = measure(path(False), "none")
    assert measure(path(False), name).jitter <= 0.5 * raw.jitter
    assert measure(path(True), name).lag <= 2


def test_without_smoothing_points_stay_as_they_are() -> None:
    found = measure(path(True), "none")
    assert found.lag == 0 and found.error == pytest.approx(100 * 0.5 * np.sqrt(np.pi / 2) / SIZE, rel=0.05)


@pytest.mark.parametrize("name", sorted(SMOOTHERS))
@given(x=st.floats(-1e4, 1e4), y=st.floats(-1e4, 1e4), seconds=st.floats(1e-3, 2))
def test_what_rests_stays(name: str, x: float, y: float, seconds: float) -> None:
    filtered, points = smoother(name), np.full((5, 2), (x, y))
    for number in range(5):
        out = filtered(points, number * seconds, SIZE)
    assert out == pytest.approx(points, abs=1e-6)


@pytest.mark.parametrize("name", sorted(SMOOTHERS))
@given(scale=st.floats(0.1, 50), shift=st.floats(-500, 500))
def test_smoothing_follows_the_pictures_scale_and_place(name: str, scale: float, shift: float) -> None:
    one, other = smoother(name), smoother(name)
    rng = np.random.default_rng(2)
    for number in range(6):
        points = FACE[:5] + rng.normal(0, 1, (5, 2)) + 3 * number
        first = one(points, number / RATE, SIZE)
        second = other(points * scale + shift, number / RATE, SIZE * scale)
        assert second == pytest.approx(first * scale + shift, rel=1e-6, abs=1e-6 * scale * SIZE)


@pytest.mark.parametrize("name", sorted(SMOOTHERS))
def test_time_that_runs_back_and_lost_points_start_anew(name: str) -> None:
    filtered = smoother(name)
    filtered(FACE, 1.0, SIZE)
    assert np.array_equal(filtered(FACE + 50, 0.5, SIZE), FACE + 50)
    filtered(np.full_like(FACE, np.nan), 0.6, SIZE)
    assert np.array_equal(filtered(FACE - 50, 0.7, SIZE), FACE - 50)


def test_wrong_settings_are_said() -> None:
    with pytest.raises(UnknownName, match="one_euro"):
        smoother("one_eurro")
    with pytest.raises(ConfigError, match="positive"):
        OneEuro(cutoff=0)
    with pytest.raises(ConfigError, match="positive"):
        Kalman(noise=-1)
