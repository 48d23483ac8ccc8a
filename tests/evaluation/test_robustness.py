"""Changes do what they say, and what they cost is measured."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from known_faces import faces

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, UnknownName
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.evaluation import robustness, robustness_boxes
from meanshape.evaluation.perturb import TABLE, View
from meanshape.evaluation.robustness import CLEAN, write_csv
from meanshape.methods.mean_shape import MeanShape

POINTS = np.array([[30.0, 30], [70, 34], [50, 60], [40, 75], [62, 78]])


def view():
    """White dots on black at five points; the box is theirs."""
    pixels = np.zeros((110, 100, 3), np.uint8)
    for x, y in POINTS.astype(int):
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 255
    return View(pixels, POINTS, Box.around(POINTS))


def brightness(pixels, point):
    """The brightest value within a pixel of a point."""
    x, y = np.round(point).astype(int)
    return pixels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max()


@pytest.mark.parametrize("name", [name for name in TABLE if name not in ("occlusion", "darkness")])
def test_points_stay_on_what_they_mark(name):
    change = TABLE[name]
    for level in change.levels:
        shown = change.change(view(), level, np.random.default_rng(3))
        assert shown.pixels.dtype == np.uint8
        assert all(brightness(shown.pixels, point) > 25 for point in shown.points)


def test_a_box_moves_and_scales_within_its_level():
    rng = np.random.default_rng(0)
    before = view()
    moved = [TABLE["shift"].change(before, 0.1, rng).box for _ in range(300)]
    x = np.array([box.center[0] - before.box.center[0] for box in moved]) / before.box.width
    y = np.array([box.center[1] - before.box.center[1] for box in moved]) / before.box.height
    for shift in (x, y):
        assert 0.095 < np.abs(shift).max() <= 0.1
        assert shift.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)
    factors = (
        np.array([TABLE["scale"].change(before, 0.1, rng).box.width for _ in range(300)]) / before.box.width
    )
    assert 0.9 <= factors.min() < 0.905 and 1.095 < factors.max() <= 1.1


def test_a_turned_face_has_the_box_of_its_turned_points():
    turned = TABLE["rotation"].change(view(), 30, np.random.default_rng(0))
    assert turned.box.as_list() == pytest.approx(Box.around(turned.points).as_list())
    wider = replace(view(), box=view().box.scaled(1.5))
    assert TABLE["rotation"].change(wider, 30, np.random.default_rng(0)).box == wider.box


def test_resolution_sets_the_size_of_the_face():
    shown = TABLE["resolution"].change(view(), 20, np.random.default_rng(0))
    assert shown.box.size == pytest.approx(20, rel=0.03)
    assert shown.zoom == pytest.approx(20 / view().box.size, rel=0.03)
    assert np.allclose(shown.box.relative(shown.points), view().box.relative(POINTS))
    same = view()
    assert TABLE["resolution"].change(same, 500, np.random.default_rng(0)) is same


def test_occlusion_covers_its_share_of_the_box():
    white = replace(view(), pixels=np.full((110, 100, 3), 255, np.uint8))
    for level in (0.1, 0.3, 1.0):
        shares = []
        for seed in range(20):
            shown = TABLE["occlusion"].change(white, level, np.random.default_rng(seed)).pixels
            shares.append((shown != 255).any(2).sum() / white.box.area)
        assert np.median(shares) == pytest.approx(level, rel=0.1)


def test_darkness_keeps_its_share_of_the_light():
    assert TABLE["darkness"].change(view(), 0.25, np.random.default_rng(0)).pixels.max() == 64


def exact():
    """Samples whose points are the mean shape in their boxes, so that the mean shape makes no error."""
    some = faces()
    mean = MeanShape().fit(some)
    true = [Sample(s.id, s.image, Shape(s.box.absolute(mean.mean)), s.box) for s in some]
    return mean, true


def test_a_shifted_box_costs_the_mean_shape_exactly_the_shift():
    mean, true = exact()
    before = TABLE["shift"]

    def to_the_right(shown, level, rng):
        return replace(shown, box=shown.box.shifted(level * shown.box.width, 0))

    change = replace(before, name="right", levels=(0.1, 0.2), change=to_the_right)
    none, one, two = robustness(mean, true, {"right": change})
    expected = [10 * s.box.width / np.linalg.norm(s.shape.points[36] - s.shape.points[45]) for s in true]
    assert none.perturbation == CLEAN and none.nme == pytest.approx(0, abs=1e-9)
    assert one.nme == pytest.approx(np.mean(expected))
    assert two.median == pytest.approx(2 * np.median(expected))
    assert two.p90 == pytest.approx(2 * np.quantile(expected, 0.9))


def test_every_change_is_measured_and_changes_of_pixels_leave_the_mean_shape_alone(samples, tmp_path):
    mean = MeanShape().fit(samples)
    rows = robustness(mean, samples, draws=2, name="mine")
    assert [(row.perturbation, row.level) for row in rows] == [
        (CLEAN, 0.0),
        *((name, level) for name, change in TABLE.items() for level in change.levels),
    ]
    by_name = {(row.perturbation, row.level): row for row in rows}
    clean = rows[0].nme
    for name in ("blur", "noise", "jpeg", "occlusion", "darkness"):
        assert all(by_name[name, level].nme == pytest.approx(clean) for level in TABLE[name].levels)
    assert by_name["resolution", 20].nme == pytest.approx(clean, rel=0.05)
    shifted = by_name["shift", 0.2]
    assert shifted.nme > by_name["shift", 0.05].nme
    assert shifted.increase == pytest.approx(100 * (shifted.nme / clean - 1))
    write_csv(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows)
    assert (read[1]["model"], read[1]["perturbation"]) == ("mine", "shift")
    assert float(read[1]["nme"]) == rows[1].nme


def test_draws_are_the_same_whatever_else_is_measured(samples):
    mean = MeanShape().fit(samples)
    alone = robustness(mean, samples, ["scale"])
    among = robustness(mean, samples, ["shift", "scale"])
    assert alone[1:] == among[4:]
    assert robustness(mean, samples, ["scale"], seed=1)[1:] != alone[1:]


def test_boxes_that_are_off_cost_more_the_more_they_are_off(samples):
    mean = MeanShape().fit(samples)
    small, large = (robustness_boxes(mean, samples, shift=by, scale=by) for by in (0.05, 0.2))
    assert robustness_boxes(mean, samples, shift=0, scale=0) == pytest.approx(0, abs=1e-9)
    assert 0 < small < large


def test_wrong_calls(samples):
    mean = MeanShape().fit(samples)
    with pytest.raises(UnknownName, match="'blur'"):
        robustness(mean, samples, ["blurr"])
    with pytest.raises(DataSetError, match="points"):
        robustness(mean, [Sample("none", samples[0].image)])
    eyeless = samples[0].shape.points.copy()
    eyeless[36] = np.nan
    with pytest.raises(DataSetError, match="divided"):
        robustness(mean, [Sample("s", samples[0].image, Shape(eyeless), samples[0].box)], ["box"])
