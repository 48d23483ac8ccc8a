"""The canonical face box from five points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanshape.core.box import Box
from meanshape.core.errors import ShapeError
from meanshape.datasets.parts.boxes import canonical_box_from_doubled, canonical_box_from_five, fit_part
from meanshape.datasets.parts.drawing import five, template

FIVE = np.array([[40, 50], [80, 52], [60, 75], [45, 95], [75, 96]], float)


def test_the_box_fits_a_plain_face():
    points = template() * 50 + 100
    assert canonical_box_from_five(five(points)).iou(Box.around(points)) > 0.8


@given(st.floats(0.1, 20), st.floats(-500, 500), st.floats(-500, 500))
def test_the_box_follows_scale_and_shift(scale, dx, dy):
    plain = canonical_box_from_five(FIVE)
    moved = canonical_box_from_five(FIVE * scale + [dx, dy])
    wanted = np.array(plain.as_list()) * scale + [dx, dy, dx, dy]
    assert np.allclose(moved.as_list(), wanted, atol=1e-6 * scale + 1e-6)


def test_a_quarter_turn_turns_the_box():
    plain = canonical_box_from_five(FIVE)
    turned = canonical_box_from_five(FIVE[:, ::-1] * [-1, 1])
    assert np.allclose(turned.as_list(), [-plain.bottom, plain.left, -plain.top, plain.right])


def test_the_mirror_image_has_the_mirrored_box():
    mirrored = canonical_box_from_five((FIVE * [-1, 1] + [199, 0])[[1, 0, 2, 4, 3]])
    wanted = canonical_box_from_five(FIVE).mirrored(200)
    assert np.allclose(mirrored.as_list(), wanted.as_list(), atol=0.1)


def test_five_points_are_wanted_all_of_them():
    with pytest.raises(ShapeError, match="five finite points"):
        canonical_box_from_five(np.where(FIVE == 40, np.nan, FIVE))
    with pytest.raises(ShapeError, match="five finite points"):
        canonical_box_from_five(FIVE[:4])


def test_fractions_take_boxes_to_boxes():
    rng = np.random.default_rng(0)
    sources = [Box(x, y, x + w, y + w * 1.1) for x, y, w in rng.uniform(10, 90, (9, 3))]
    targets = [box.part((-0.1, 0.2, 1.3, 1.05)) for box in sources]
    targets[4] = Box(0, 0, 1000, 1000)  # one gross error does not matter
    fractions = fit_part([b.as_list() for b in sources], [b.as_list() for b in targets])
    assert np.allclose(fractions, (-0.1, 0.2, 1.3, 1.05))


def test_the_doubled_box_is_corrected():
    doubled = Box.around(FIVE).scaled(2)
    assert canonical_box_from_doubled(doubled).iou(canonical_box_from_five(FIVE)) > doubled.iou(
        canonical_box_from_five(FIVE)
    )
