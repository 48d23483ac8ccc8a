import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meanshape.core import geometry
from meanshape.core.box import Box
from meanshape.core.errors import ShapeError

number = st.floats(-1e3, 1e3)
points = arrays(np.float64, (6, 2), elements=number).filter(lambda p: np.linalg.svd(p - p.mean(0))[1][1] > 1)
maps = st.builds(
    lambda scale, angle, x, y: turn(scale, angle, x, y), st.floats(0.1, 10), st.floats(-3, 3), number, number
)


def turn(scale, angle, x, y):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


@given(points, maps)
def test_similarity_finds_the_map(some, matrix):
    found = geometry.similarity(some, geometry.apply(matrix, some))
    assert np.allclose(found, matrix, atol=1e-6)


@given(points, points)
def test_similarity_is_the_least_squares_solution(source, target):
    """Against a general solver: a, b, x, y of [a -b; b a]."""
    ones, zeros = np.ones(6), np.zeros(6)
    system = np.concatenate(
        [
            np.stack([source[:, 0], -source[:, 1], ones, zeros], 1),
            np.stack([source[:, 1], source[:, 0], zeros, ones], 1),
        ]
    )
    a, b, x, y = np.linalg.lstsq(system, target.T.ravel(), rcond=None)[0]
    assert np.allclose(geometry.similarity(source, target), [[a, -b, x], [b, a, y]], atol=1e-5)


@given(points, maps, st.integers(0, 5))
def test_similarity_skips_what_is_not_annotated_or_weighs_nothing(some, matrix, i):
    target = geometry.apply(matrix, some)
    weights = np.ones(6)
    weights[i] = 0
    wrong = target.copy()
    wrong[i] += 100
    others = np.delete(some, i, 0)
    assume(np.ptp(others, axis=0).max() > 1)
    assert np.allclose(geometry.similarity(some, wrong, weights), matrix, atol=1e-6)
    wrong[i] = np.nan
    assert np.allclose(geometry.similarity(some, wrong), matrix, atol=1e-6)


def test_similarity_of_many_and_of_none():
    rng = np.random.default_rng(0)
    some = rng.normal(size=(3, 6, 2))
    many = geometry.similarity(some, some[0])
    assert many.shape == (3, 2, 3)
    assert np.allclose(many[1], geometry.similarity(some[1], some[0]))
    assert np.allclose(geometry.similarity(np.ones((4, 2)), np.full((4, 2), 3.0)), [[1, 0, 2], [0, 1, 2]])
    with pytest.raises(ShapeError, match="annotated"):
        geometry.similarity(np.full((4, 2), np.nan), np.ones((4, 2)))


@given(points, arrays(np.float64, (2, 3), elements=st.floats(-10, 10)))
def test_affine_finds_the_map(some, matrix):
    assert np.allclose(geometry.affine(some, geometry.apply(matrix, some)), matrix, atol=1e-4)


def test_affine_says_no():
    with pytest.raises(ShapeError, match="three points"):
        geometry.affine(np.eye(2), np.eye(2))
    line = np.stack([np.arange(4.0), np.arange(4.0)], 1)
    with pytest.raises(ShapeError, match="line"):
        geometry.affine(line, line)


@given(points, maps, maps)
def test_invert_and_compose(some, first, second):
    assert np.allclose(geometry.apply(geometry.invert(first), geometry.apply(first, some)), some, atol=1e-6)
    both = geometry.apply(second, geometry.apply(first, some))
    assert np.allclose(geometry.apply(geometry.compose(first, second), some), both, atol=1e-5)


def test_invert_says_no():
    with pytest.raises(ShapeError, match="inverse"):
        geometry.invert(np.zeros((2, 3)))


@given(points, st.lists(maps, min_size=2, max_size=4))
def test_procrustes_undoes_similarities(some, matrices):
    shapes = np.stack([geometry.apply(matrix, some) for matrix in matrices])
    upright = sum(s / np.linalg.norm(s) for s in shapes - shapes.mean(1, keepdims=True))
    assume(np.linalg.norm(upright) > 1e-2)
    mean, aligned = geometry.procrustes(shapes)
    assert np.allclose(mean.mean(0), 0, atol=1e-9)
    assert np.linalg.norm(mean) == pytest.approx(1)
    assert np.allclose(aligned, mean, atol=1e-6)


def test_procrustes_keeps_upright_and_skips_nan():
    rng = np.random.default_rng(0)
    face = rng.normal(size=(8, 2))
    shapes = np.stack(
        [geometry.apply(turn(s, a, 5, 9), face) for s, a in [(1, 0.3), (2, -0.3), (3, 0.1), (1, -0.1)]]
    )
    shapes[0, 3] = np.nan
    mean, aligned = geometry.procrustes(shapes)
    matrix = geometry.similarity(face, mean)
    assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) < 3
    assert np.isnan(aligned[0, 3]).all()
    assert np.allclose(aligned[1:], mean, atol=1e-6)
    shapes[:, 3] = np.nan
    with pytest.raises(ShapeError, match="at least once"):
        geometry.procrustes(shapes)


@given(st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), number, number, *[st.floats(1, 1e3)] * 2))
def test_crop_matrix_takes_edges_to_edges(box):
    matrix = geometry.crop_matrix(box, (112, 56))
    corners = geometry.apply(matrix, [(box.left, box.top), (box.right, box.bottom)])
    assert np.allclose(corners, [(-0.5, -0.5), (111.5, 55.5)], atol=1e-6)
    assert np.array_equal(geometry.crop_matrix(Box.whole(7, 7), 7), np.eye(2, 3))


@given(points, st.floats(0.1, 10))
def test_resize_points(some, factor):
    resized = geometry.resize_points(some, factor)
    assert np.allclose(resized, (some + 0.5) * factor - 0.5)
    assert np.allclose(geometry.resize_points(resized, 1 / factor), some, atol=1e-8)
    whole = geometry.apply(geometry.crop_matrix(Box.whole(10, 10), 20), some)
    assert np.allclose(geometry.resize_points(some, 2), whole)
