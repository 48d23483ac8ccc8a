"""Every mark-up file, looked at on a rendered face: names, mirror, conversions, places."""

from __future__ import annotations

import checks
import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.errors import MarkUpError
from meanshape.core.markup import markup
from meanshape.datasets.synthetic import face

NAMES = registry.names("markups")


def points_of(name: str) -> np.ndarray:
    """Points of an upright rendered face seen from the front; skip what 68 points cannot give."""
    shape = face(2, 96, pitch=0, yaw=0, roll=0, occlusion=0).shape
    try:
        return shape.to(name).points
    except MarkUpError:
        pytest.skip(f"{name} cannot be made of 68 points")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_symmetric(name):
    checks.markup_is_symmetric(markup(name))


@pytest.mark.parametrize("name", NAMES)
def test_its_conversions_keep_left_and_right_apart(name):
    points = np.random.default_rng(0).normal(size=(len(markup(name)), 2))
    checks.markup_converts(markup(name), points)


@pytest.mark.parametrize("name", NAMES)
def test_its_names_lie_where_they_say(name):
    checks.markup_fits_a_face(markup(name), points_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_nearly_symmetric_face_is_nearly_its_own_mirror_image(name):
    points = points_of(name)
    kind = markup(name)
    middle = (np.nanmin(points[:, 0]) + np.nanmax(points[:, 0])) / 2
    mirrored = points[list(kind.mirror)] * (-1, 1) + (2 * middle, 0)
    assert np.nanmax(np.abs(mirrored - points)) < 6  # pixels, of a face 60 wide
