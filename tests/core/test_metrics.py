import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from meanshape.core import metrics
from meanshape.core.box import Box
from meanshape.core.errors import MarkUpError, ShapeError

values = st.lists(st.floats(0, 1), min_size=1, max_size=50)


def face():
    """68 points whose eye corners are 100 apart and eye centres 80; box (0, 0, 160, 120)."""
    points = np.full((68, 2), 50.0)
    points[0], points[1] = (0, 0), (160, 120)
    points[36:42] = [(40, 50), (45, 48), (55, 48), (60, 50), (55, 52), (45, 52)]
    points[42:48] = [(120, 50), (125, 48), (135, 48), (140, 50), (135, 52), (125, 52)]
    return points


def test_normalisers_by_hand():
    lengths = metrics.normalisers(face()[None], "ibug68")
    assert tuple(lengths) == metrics.NORMALISERS
    assert {name: length.tolist() for name, length in lengths.items()} == {
        "inter_ocular": [100.0],
        "inter_pupil": [80.0],
        "box_diagonal": [200.0],
        "box_size": [pytest.approx(np.sqrt(160 * 120))],
        "box_width": [160.0],
    }
    boxed = metrics.normalisers(face()[None], "ibug68", [Box(0, 0, 3, 4)])
    assert boxed["box_diagonal"].tolist() == [5]


def test_five_points_have_no_inter_ocular():
    lengths = metrics.normalisers(np.random.default_rng(0).normal(size=(2, 5, 2)), "mtfl5")
    assert "inter_ocular" not in lengths
    assert lengths["inter_pupil"].shape == (2,)
    with pytest.raises(MarkUpError):
        metrics.normalisers(np.zeros((2, 4, 2)), "mtfl5")


def test_nme_is_the_mean_point_error_over_the_length():
    truth = face()[None].repeat(2, 0)
    predicted = truth.copy()
    predicted[0] += (3, 4)
    predicted[1, :34] += (0, 10)
    errors = metrics.point_errors(predicted, truth)
    assert errors.shape == (2, 68)
    assert metrics.nme(errors, [100, 100]).tolist() == pytest.approx([0.05, 0.05])
    with pytest.raises(ShapeError, match="both"):
        metrics.point_errors(predicted[:, :5], truth)


def test_points_not_annotated_do_not_count():
    errors = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    found = metrics.nme(errors, [10, 10])
    assert found[0] == pytest.approx(0.2)
    assert np.isnan(found[1])
    assert metrics.failure_rate(found, 0.1) == 1.0
    with pytest.raises(ShapeError, match="no image"):
        metrics.auc([np.nan], 0.08)


@given(values, st.floats(0.01, 0.5))
def test_auc_is_the_area_under_the_ced(some, threshold):
    steps = np.linspace(0, threshold, 2001)
    area = trapezoid(metrics.ced(some, steps), steps) / threshold
    assert metrics.auc(some, threshold) == pytest.approx(area, abs=2e-3)


@given(values)
def test_ced_and_failure_rate_add_up(some):
    assert metrics.ced(some, [0.08])[0] + metrics.failure_rate(some, 0.08) == pytest.approx(1)
    assert (np.diff(metrics.ced(some, np.linspace(0, 1, 20))) >= 0).all()


def test_by_hand():
    some = [0.02, 0.04, 0.08, 0.2]
    assert metrics.auc(some, 0.08) == pytest.approx((0.75 + 0.5) / 4)
    assert metrics.failure_rate(some, 0.08) == 0.25
    assert metrics.ced(some, [0.01, 0.04, 1]).tolist() == [0, 0.5, 1]


def test_bootstrap_covers_the_mean_and_repeats_itself():
    some = np.random.default_rng(0).exponential(size=200)
    low, high = metrics.bootstrap_interval(some)
    assert low < some.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * some.std() / np.sqrt(200), rel=0.2)
    assert metrics.bootstrap_interval(some) == (low, high)
    assert metrics.bootstrap_interval([0.3]) == (0.3, 0.3)
