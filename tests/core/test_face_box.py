import numpy as np
import pytest

from meanshape.core.face_box import face_box, full
from meanshape.core.markup import MarkUp, markup
from meanshape.core.shape import Shape


def points(kind):
    return np.random.default_rng(0).uniform(0, 99, (len(markup(kind)), 2))


def test_the_68_of_70_points_give_the_box():
    shape = Shape(points("ibug70"), "ibug70", confidence=np.linspace(0, 1, 70))
    assert full(shape) == Shape(shape.points[:68], "ibug68", confidence=shape.confidence[:68])
    assert face_box(shape) == Shape(shape.points[:68], "ibug68").box()


def test_a_mark_up_of_ones_own_has_the_68_in_any_order():
    own = MarkUp("own", ("third_eye", *reversed(markup("ibug68").points)))
    there = points("ibug68")
    assert full(Shape(np.vstack([[500, 500], there[::-1]]), own)) == Shape(there, "ibug68")


@pytest.mark.parametrize("name", ["muct76", "wflw98", "ibug51", "mtfl5"])
def test_points_that_are_not_the_68_give_no_box(name):
    """Some convert to the 68, with holes or roughly: their tight box is another."""
    assert face_box(Shape(points(name), name)) is None
