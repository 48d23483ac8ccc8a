"""The point-distribution model: alignment, modes, limits, and fits with weights and holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meanshape.core.errors import ShapeError
from meanshape.core.geometry import apply, similarity
from meanshape.methods.shared.ridge import ridge
from meanshape.methods.shared.shape_model import ShapeModel

QUICK = settings(max_examples=25, deadline=None)
COUNT, TRUE_MODES = 12, 3


def made(faces: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return shapes with three modes, each turned, scaled and shifted at random; and their weights."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(COUNT, 2)) * 40
    modes = np.linalg.qr(rng.normal(size=(COUNT * 2, TRUE_MODES)))[0].T.reshape(-1, COUNT, 2)
    weights = rng.normal(size=(faces, TRUE_MODES)) * (9, 5, 2)
    shapes = mean + np.tensordot(weights, modes, 1)
    angle, scale = rng.normal(0, 0.4, faces), np.exp(rng.normal(0, 0.3, faces))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    return shapes @ turn.transpose(0, 2, 1) + rng.normal(0, 50, (faces, 1, 2)), weights


@pytest.fixture(scope="module")
def model() -> ShapeModel:
    return ShapeModel.train(made()[0], variance=0.995)


def test_it_finds_the_modes_there_are(model: ShapeModel) -> None:
    """Aligning bends a linear family a little, so that a few small modes come beside the three."""
    shares = model.variances / model.variances.sum()
    assert shares[:TRUE_MODES].sum() > 0.97 and 3 <= len(shares) <= 6
    assert np.allclose(model.modes @ model.modes.T, np.eye(len(shares)), atol=1e-10)
    assert np.allclose(model.mean.mean(0), 0, atol=1e-3) and (model.mean**2).sum(1).mean() == pytest.approx(
        1, abs=0.01
    )


def test_modes_change_neither_place_nor_size_nor_angle(model: ShapeModel) -> None:
    pose = model.directions(np.eye(2, 3))[:4].reshape(4, -1)
    pose /= np.linalg.norm(pose, axis=1, keepdims=True)
    assert np.abs(model.modes @ pose.T).max() < 0.02


def test_share_and_number_of_modes() -> None:
    shapes = made()[0]
    full = ShapeModel.train(shapes, variance=1.0)
    for share in (0.5, 0.9, 0.99):
        kept = ShapeModel.train(shapes, variance=share)
        assert kept.variances.sum() >= share * full.variances.sum()
        assert kept.variances[:-1].sum() < share * full.variances.sum()
        assert kept.noise * kept.mean.size == pytest.approx(
            full.variances[len(kept.variances) :].sum(), abs=1e-9
        )
    assert len(ShapeModel.train(shapes, modes=2).variances) == 2
    assert np.allclose(full.first(2).modes, full.modes[:2]) and full.first(2).noise > full.noise


@QUICK
@given(
    b=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    scale=st.floats(0.1, 500),
    angle=st.floats(-3, 3),
    shift=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_a_shape_of_the_model_is_found_again(model, b, scale, angle, shift) -> None:
    weights = np.zeros(len(model.variances))
    weights[:3] = np.array(b) * np.sqrt(model.variances[:3])
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    shape = model.shape_from(weights, [[c, -s, shift[0]], [s, c, shift[1]]])
    found, matrix = model.fit(shape, rounds=12)
    assert np.abs(model.shape_from(found, matrix) - shape).max() < 1e-4 * scale
    assert np.allclose(found, weights, atol=1e-3)


@QUICK
@given(seed=st.integers(0, 999), angle=st.floats(-3, 3), scale=st.floats(0.2, 5))
def test_a_fit_follows_a_similarity(model, seed, angle, scale) -> None:
    """Turned, scaled and shifted points give the same modes, whatever the points are."""
    points = made(1, seed)[0][0]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    moved = apply([[c, -s, 7], [s, c, -3]], points)
    (one, a), (other, b) = model.fit(points, rounds=6), model.fit(moved, rounds=6)
    assert np.allclose(one, other, atol=1e-6)
    assert np.allclose(
        apply([[c, -s, 7], [s, c, -3]], model.shape_from(one, a)), model.shape_from(other, b), atol=1e-3
    )


def test_missing_points_and_points_that_weigh_nothing(model: ShapeModel) -> None:
    shape = model.shape_from(np.sqrt(model.variances[:2]) * (1.2, -0.7), [[50, 0, 9], [0, 50, 4]])
    holes = shape.copy()
    holes[[2, 7]] = np.nan
    assert np.allclose(model.shape_from(*model.fit(holes, rounds=8)), shape, atol=1e-2)
    assert np.allclose(model.complete(holes[None])[0], shape, atol=0.5)
    wrong = shape + 0.0
    wrong[5] += 500
    weights = np.ones(COUNT)
    weights[5] = 0
    assert np.allclose(model.shape_from(*model.fit(wrong, weights, rounds=8)), shape, atol=1e-2)
    flat = np.repeat(np.eye(2)[None], COUNT, 0)
    flat[5, 0, 0] = 0.0  # nothing is known of x, y is right
    wrong[5, 1] = shape[5, 1]
    assert np.allclose(model.shape_from(*model.fit(wrong, flat, rounds=8)), shape, atol=1e-2)


def test_the_prior_pulls_to_the_mean(model: ShapeModel) -> None:
    shape = model.shape_from(2 * np.sqrt(model.variances[:1]), [[50, 0, 0], [0, 50, 0]])
    pulled = [np.abs(model.fit(shape, prior=prior)[0][0]) for prior in (0.0, 3.0, 1e9)]
    assert pulled[0] > pulled[1] > pulled[2] and pulled[2] < 1e-3


def test_limits(model: ShapeModel) -> None:
    deviations = np.sqrt(model.variances)
    far = 10 * deviations * np.where(np.arange(len(deviations)) % 2, 1, -1)
    assert np.allclose(model.limit(far, max_deviation=1.5), np.sign(far) * 1.5 * deviations)
    assert np.sqrt(
        np.mean(model.limit(far, max_deviation=None, max_distance=2.0) ** 2 / model.variances)
    ) == pytest.approx(2)
    near = deviations * 0.3
    assert np.array_equal(model.limit(near, 3, 3), near) and np.array_equal(model.limit(far, None, None), far)
    assert (np.abs(model.fit(made(1, 5)[0][0], max_deviation=0.5)[0]) <= 0.5 * deviations + 1e-12).all()


def test_fewer_faces_than_modes() -> None:
    shapes = made(4)[0]
    model = ShapeModel.train(shapes, modes=40)
    assert len(model.variances) <= 3
    for shape in shapes:
        fitted = model.shape_from(*model.fit(shape, max_deviation=None, rounds=10))
        assert np.abs(fitted - shape).max() < 0.05 * np.ptp(shape)


def test_equal_shapes_have_a_mean_and_no_modes() -> None:
    shape = made(1)[0][0]
    model = ShapeModel.train(np.stack([shape, shape + 5, 2 * shape]))
    assert len(model.variances) == 0
    assert np.allclose(model.shape_from(*model.fit(shape)), shape, atol=1e-6)


def test_holes_in_training() -> None:
    """A tenth of the points is missing: the model is nearly that of all points."""
    shapes = made(200)[0]
    holes = shapes.copy()
    holes[np.random.default_rng(1).random(shapes.shape[:2]) < 0.1] = np.nan
    full, found = ShapeModel.train(shapes, modes=3), ShapeModel.train(holes, modes=3)
    assert np.abs(found.mean - full.mean).max() < 0.02
    assert (np.linalg.svd(full.modes @ found.modes.T)[1] > 0.97).all()


@pytest.mark.parametrize("bad", [np.ones((5, COUNT, 2)), np.full((5, COUNT, 2), np.nan), made(1)[0]])
def test_shapes_that_make_no_model(bad: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"two shapes|annotated"):
        ShapeModel.train(bad)


def test_fits_to_degenerate_points(model: ShapeModel) -> None:
    together = np.full((COUNT, 2), 7.0)
    assert np.allclose(model.shape_from(*model.fit(together)), together)
    line = np.column_stack([np.linspace(0, 90, COUNT), np.full(COUNT, 3.0)])
    fitted = model.shape_from(*model.fit(line))
    assert np.isfinite(fitted).all() and np.abs(fitted - line.mean(0)).max() < 500
    with pytest.raises(ShapeError, match="two points"):
        model.fit(np.full((COUNT, 2), np.nan))
    with pytest.raises(ShapeError, match="nothing"):
        model.fit(made(1)[0][0], np.zeros(COUNT))
    with pytest.raises(ShapeError, match="weights"):
        model.fit(made(1)[0][0], np.ones(3))


def test_files_keep_it(model: ShapeModel) -> None:
    once = ShapeModel.from_arrays(model.arrays())
    twice = ShapeModel.from_arrays(once.arrays())
    assert np.array_equal(once.modes, twice.modes) and np.allclose(once.modes, model.modes, atol=1e-6)
    with pytest.raises(ShapeError, match="differ"):
        ShapeModel.from_arrays({**model.arrays(), "variances": np.ones(1, np.float32)})


def test_the_mean_is_placed_by_weights(model: ShapeModel) -> None:
    target = apply([[30, 4, 5], [-4, 30, 6]], model.mean)
    assert np.allclose(apply(model.place(target), model.mean), target)
    assert np.allclose(model.place(target), similarity(model.mean, target))


def test_unseen_answers_are_those_of_regressions_without_the_group() -> None:
    rng = np.random.default_rng(3)
    seen = rng.normal(size=(60, 8)).astype(np.float32)
    wanted = seen @ rng.normal(size=(8, 3)) + rng.normal(size=(60, 3))
    groups = np.repeat(np.arange(20), 3)
    _, _, answers = ridge(seen, wanted, 0.1, groups)
    for group in (0, 7, 19):
        own = groups == group
        mean, goal = seen.mean(0), wanted.mean(0)
        x, y = (seen - mean)[~own], (wanted - goal)[~own]
        full = (seen - mean).T @ (seen - mean)
        left = x.T @ x + 0.1 * np.trace(full) / 8 * np.eye(8)
        expected = (seen - mean)[own] @ np.linalg.solve(left, x.T @ y) + goal
        assert np.allclose(answers[own], expected, atol=1e-3)
