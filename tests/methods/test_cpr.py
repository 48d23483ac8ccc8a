"""CPR: every regressor learns, starts and stages, frames and descriptors, and what cannot be learnt from."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from meanshape.core import config
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, MissingExtra, ShapeError, WeightsError
from meanshape.core.geometry import apply, compose, frame_matrix, invert, similarity, unit_matrix
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.methods.cpr import (
    CPR,
    PRESETS,
    Config,
    descriptors,
    local_ridge,
    mesh_cascade,
    shape_prior,
    trees,
)
from meanshape.methods.cpr.pixel_pool import Pool
from meanshape.methods.mean_shape import MeanShape
from meanshape.methods.shared import frames, ridge

SETTINGS = {
    "mesh": {},
    "linear": {},
    "ferns": {"ferns.count": 30, "ferns.shrinkage": 20.0, "ferns.pixels": 80},
    "trees": {"trees.count": 30, "trees.pixels": 80},
    "binary": {"binary.trees": 2, "binary.depth": 3, "binary.tries": 20, "binary.pixels": 40},
}


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [synthetic.face(seed, 96) for seed in range(36)]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> CPR:
    return CPR.tiny().fit(faces[:24], seed=1)


def error(model: object, faces: list[Sample], **options: object) -> float:
    found = [model.predict(face.image, face.box, **options).points for face in faces]
    off = [
        np.linalg.norm(p - f.shape.points, axis=1).mean() / f.box.size
        for p, f in zip(found, faces, strict=True)
    ]
    return float(np.mean(off))


def numba_for(regressor: str) -> None:
    if regressor in ("trees", "binary"):
        pytest.importorskip("numba")


# The regressors


@pytest.mark.parametrize("regressor", SETTINGS)
def test_every_regressor_learns_and_comes_back_from_its_file(regressor, faces, tmp_path):
    numba_for(regressor)
    tiny = config.override(CPR.tiny().config, {"regressor": regressor, **SETTINGS[regressor]})
    model = CPR(tiny).fit(faces[:24], seed=1)
    assert error(model, faces[:24]) < 0.8 * error(MeanShape().fit(faces[:24]), faces[:24])
    back = CPR.load(model.save(tmp_path / "model"))
    for face in faces[24:28]:
        one, two = (m.predict(face.image, face.box).points for m in (model, back))
        assert np.array_equal(one, two)


def test_other_faces_are_nearer_than_the_mean(fitted, faces):
    assert error(fitted, faces[24:]) < 0.9 * error(MeanShape().fit(faces[:24]), faces[24:])


def test_each_stage_can_be_asked_for(fitted, faces):
    one, two = (fitted.predict(faces[30].image, faces[30].box, stages=n).points for n in (1, 2))
    assert not np.allclose(one, two)
    assert np.array_equal(two, fitted.predict(faces[30].image, faces[30].box).points)
    with pytest.raises(ConfigError, match="2 stages"):
        fitted.predict(faces[30].image, faces[30].box, stages=3)


def test_without_numba_trees_say_what_is_missing(monkeypatch, faces):
    monkeypatch.setitem(sys.modules, "meanshape.methods.cpr.tree_growth", None)
    with pytest.raises(MissingExtra, match="train"):
        trees.import_grow()


def test_trees_lead_where_one_walks_alone():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, 30).astype(np.int16)
    pairs, limits = rng.integers(0, 30, (9, 15, 2)), rng.integers(-99, 99, (9, 15)).astype(np.int16)
    for tree, leaf in enumerate(trees.leaf_indices(grey, pairs, limits)):
        node = 0
        while node < 15:
            first, second = pairs[tree, node]
            node = 2 * node + 1 + int(grey[first] - grey[second] > limits[tree, node])
        assert leaf == node - 15


def test_a_tree_splits_what_one_pixel_tells_apart():
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 100, (60, 5)).astype(np.uint8)
    grey[::2, 3] = 220
    targets = np.where(np.arange(60) % 2, -1.0, 1.0)[:, None].astype(np.float32)
    every = np.tile(np.stack(np.meshgrid(range(5), range(5)), -1).reshape(1, 25, 2), (1, 20, 1))
    order = np.arange(60)
    _, _, begins = trees.import_grow()(grey, targets, order, every, rng.random((1, 500)), 1)
    sides = [set(targets[order[a:b], 0]) for a, b in pairwise(begins)]
    assert sorted(sides, key=min) == [{-1.0}, {1.0}]


def test_the_ridge_trusts_near_points_more_than_far_ones():
    rng = np.random.default_rng(0)
    mean = np.stack([np.linspace(0, 1, 8), np.zeros(8)], 1)
    shared = rng.standard_normal((200, 1))
    features = np.concatenate([np.repeat(shared, 8, 1), np.ones((200, 1))], 1).astype(np.float32)
    targets = np.repeat(shared, 16, 1).astype(np.float32)
    moments = local_ridge.Moments.of(features, targets, np.ones(200, np.float32))
    found = moments.solve(0.1, local_ridge.Prior.of(mean, 0.15, 0.01, 8))
    assert np.abs(found[0, :2]).min() > 5 * np.abs(found[7, :2]).max()
    flat = moments.solve(0.1, local_ridge.Prior.of(mean, 100.0, 1.0, 8))
    assert np.allclose(flat[0], flat[7], atol=1e-3)


# Frames and descriptors


def test_a_frame_shows_what_its_matrix_says():
    rows, columns = np.mgrid[:120, :140]
    picture = np.stack([columns] * 3, -1).astype(np.uint8)
    box = Box(40, 30, 100, 90)
    view = frames.crop_face(picture, unit_matrix(box), 0.8, 30.0)
    matrix = frame_matrix(30, 1.0)
    shown = view.frame(matrix, 30)
    wanted = compose(invert(matrix), unit_matrix(box))
    x = np.arange(30) * wanted[0, 0] + wanted[0, 2]
    assert np.abs(shown[15] - x).max() <= 1.01
    assert rows.shape == (120, 140)


def test_upright_is_the_similarity_of_core():
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((9, 2))
    mean -= mean.mean(0)
    shape = rng.standard_normal((9, 2)) + 5
    assert np.allclose(frames.upright(shape, mean), similarity(shape, mean))
    assert np.allclose(frames.upright(np.full((9, 2), 3.0), mean), [[1, 0, -3], [0, 1, -3]])
    matrix = similarity(shape, mean)
    assert np.allclose(compose(matrix, invert(matrix)), [[1, 0, 0], [0, 1, 0]])


def test_descriptors_name_the_direction_and_fade_without_contrast():
    pattern = descriptors.Pattern(((0, 0.0, 1), (1, 2.0, 4)))
    ramp = np.repeat(np.arange(42, dtype=np.uint8)[None] * 4, 42, 0)
    maps = descriptors.orientation_maps(ramp, pattern.levels)
    assert maps.shape == (2, 20, 20, 8)
    found = descriptors.describe(maps, np.array([[10, 10]]), pattern).reshape(5, 8)
    assert pattern.length == 40 and (found.argmax(1) == 0).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=0.1)
    flat = descriptors.orientation_maps(np.full((42, 42), 99, np.uint8), 2)
    assert not descriptors.describe(flat, np.array([[10, 10]]), pattern).any()


def test_pixels_hang_on_the_points_and_stay_in_the_frame():
    pool = Pool(np.array([0, 1]), np.array([[0, 0], [3, -2]]))
    frame = np.arange(30 * 30, dtype=np.int64).reshape(30, 30) % 251
    shape = np.array([[4.0, 5.0], [-90.0, 900.0]])
    found = pool.values(frame.astype(np.uint8), shape, 5)
    assert found.tolist() == [frame[10, 9], frame[19 + 5 - 2, 5 + 3]]


def ramp(side: int, turn: float = 0.0, slope: float = 2.0) -> np.ndarray:
    """A picture that gets lighter by `slope` grey levels a pixel, to the right or turned by an angle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.rint(128 + slope * (x * np.cos(turn) + y * np.sin(turn))).clip(0, 255).astype(np.uint8)


def test_a_mesh_reads_what_lies_under_it_wherever_the_points_are():
    planes = mesh_cascade.normalised(mesh_cascade.pooled_gradients(ramp(82))[0], 0.01)
    maps = mesh_cascade.steer(planes, 1 + 0j)
    assert maps.shape == (20, 20, 8) and (maps[10].argmax(-1) == 0).all()
    mean = np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5]])
    cascade = mesh_cascade.MeshCascade(mesh_cascade.Mesh(), mean, np.eye(6, dtype=np.float32))
    shape = mean * 1.3 + 0.2
    places = np.array([[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    there = (cascade.grid(places) @ cascade.coefficients(shape.ravel())).view(np.complex64)
    assert np.allclose(there.view(np.float32).reshape(2, 2), places @ shape, atol=1e-6)
    a, b = cascade.pose(cascade.coefficients(shape.ravel()))
    assert np.allclose([a, b], [1.3, 0.2 + 0.2j + 1.3 * (mean.mean(0) @ [1, 1j])], atol=1e-6)
    found = np.empty(16, np.float32)
    index = np.zeros((20, 20, 8), np.float32) + np.arange(20, dtype=np.float32)[:, None]
    mesh_cascade.sample_maps(index, np.array([3.5 + 2j, 99 + 1j], np.complex64), found)
    assert found.tolist() == [3.5] * 8 + [19.0] * 8


def turned_back(angle: float) -> np.ndarray:
    planes = mesh_cascade.normalised(mesh_cascade.pooled_gradients(ramp(34, angle, 5))[0], 1.0)
    return mesh_cascade.steer(planes, 2 * np.exp(1j * angle))[4, 4]


def test_a_turned_face_needs_no_turned_picture():
    """What is read of a picture that is turned is, turned back, what is read of the upright one."""
    upright = turned_back(0)
    for angle in (0.3, np.pi / 4, -1.1, 2.0):
        assert np.abs(turned_back(angle) - upright).max() < 0.15 * np.abs(upright).max()
    assert np.allclose(mesh_cascade.steering_matrix(1 + 0j)[::2, ::2], np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    "box", [Box(40, 30, 100, 90), Box(-5, 2, 90, 80), Box(3, 3, 6, 7), Box(900, 40, 990, 99)]
)
def test_a_window_lies_where_it_says(box):
    picture, unit = np.tile(np.arange(230, dtype=np.uint8)[:, None], (200, 1, 3)), unit_matrix(box)
    frame, turn, shift = mesh_cascade.crop_frame(picture, unit, 64, 1.5)
    x = (np.arange(10, 56) - 1 - shift.real) / turn.real * unit[0, 0] + unit[0, 2]
    if (inside := (x > 1) & (x < 228)).any():
        assert np.abs(frame[33, 10:56] - x)[inside].max() <= 1.01


def test_a_ridge_says_what_it_would_without_a_face_weighted_too():
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((30, 4)).astype(np.float32)
    wanted = seen @ rng.standard_normal((4, 3)) + rng.standard_normal((30, 3))
    weights, faces = rng.uniform(0.2, 3, 30), np.arange(30) // 3
    _, _, unseen = ridge.ridge(seen, wanted, 1e-9, faces, weights)
    mean, goal = weights @ seen / weights.sum(), weights @ wanted / weights.sum()
    root = np.sqrt(weights)[:, None]
    rest = faces != 4
    found = np.linalg.lstsq(((seen - mean) * root)[rest], ((wanted - goal) * root)[rest], rcond=None)[0]
    assert np.allclose(unseen[~rest], (seen[~rest] - mean) @ found + goal, atol=1e-3)
    heavy = ridge.ridge(seen, wanted, 1e-9, None, np.where(np.arange(30) < 10, 1e6, 1.0))[2]
    alone = ridge.ridge(seen[:10], wanted[:10], 1e-9)[2]
    assert np.allclose(heavy[:10], alone, atol=1e-2)


# Starts


def test_an_earlier_shape_starts_where_it_lies(fitted, faces):
    """Whatever the box says, a start that is right already stays nearly right."""
    for face in faces[:6]:
        wrong = face.box.shifted(0.5 * face.box.width, 0)
        found = fitted.predict(face.image, wrong, start=face.shape).points
        assert np.linalg.norm(found - face.shape.points, axis=1).mean() < 0.08 * face.box.size


def test_starts_that_say_nothing_are_not_used(fitted, faces):
    face = faces[30]
    plain = fitted.predict(face.image, face.box)
    for points in (np.full((68, 2), 40.0), np.full((68, 2), np.nan)):
        assert fitted.predict(face.image, face.box, start=Shape(points, "ibug68")) == plain
    line = np.stack([np.linspace(10, 80, 68), np.full(68, 40.0)], 1)
    assert np.isfinite(fitted.predict(face.image, face.box, start=Shape(line, "ibug68")).points).all()


def test_a_whole_shape_tells_of_its_own_box_and_how_it_is_turned(faces, fitted):
    mean, kind = fitted.mean, faces[0].shape.markup
    box, angle = Box.around(mean), np.deg2rad(35)
    c, s = 80 * np.cos(angle), 80 * np.sin(angle)
    turn = np.array([[c, -s, 50], [s, c, 60]])
    found = frames.own_unit(mean, Shape(apply(turn, mean), kind))
    assert np.allclose(found, compose(unit_matrix(box), turn))
    stages = fitted.predict(faces[30].image, faces[30].box, start=faces[30].shape).points
    upright = fitted.predict(faces[30].image, faces[30].box).points
    assert np.abs(stages - upright).mean() < 0.05 * faces[30].box.size
    missing = faces[0].shape.points.copy()
    missing[3] = np.nan
    for points, name in ((missing, kind), (np.zeros((68, 2)), kind), (mean[:5], "mtfl5")):
        assert frames.own_unit(mean[: len(points)], Shape(points, name)) is None


def test_several_starts_answer_with_the_median(faces):
    model = CPR(replace(CPR.tiny().config, starts=3, noise=0.0)).fit(faces[:24], seed=1)
    face, runs = faces[30], []
    for n in range(3):
        one = CPR(model.config)
        one.markup, one.mean, one._mesh = model.markup, model.mean, model._mesh
        one.starts = model.starts[n : n + 1]
        runs.append(one.predict(face.image, face.box).points)
    assert np.allclose(model.predict(face.image, face.box).points, np.median(runs, axis=0))


def test_a_shape_prior_takes_away_what_shapes_never_do(faces):
    shapes = np.stack([(f.shape.points - f.box.center) / f.box.size for f in faces])
    mean = shapes.mean(0)
    mirror = list(faces[0].shape.markup.mirror)
    known = shape_prior.ShapePrior.of(shapes[:30], mirror, mean, 0.03)
    noise = np.random.default_rng(0).normal(0, 0.03, shapes[30:].shape)
    found = np.stack([known(shape, mean) for shape in shapes[30:] + noise])
    assert np.abs(found - shapes[30:]).mean() < 0.7 * np.abs(noise).mean()
    turned = frames.upright(shapes[30], mean)
    again = known(shapes[30] @ turned[:, :2].T + turned[:, 2], mean)
    assert np.allclose(again, known(shapes[30], mean) @ turned[:, :2].T + turned[:, 2], atol=1e-5)


# What comes in


def test_constant_pictures_and_points_outside_them(fitted, faces):
    flat = np.full((80, 80, 3), 127, np.uint8)
    assert np.isfinite(fitted.predict(flat, Box(10, 10, 70, 70)).points).all()
    outside = [
        replace(face, id=f"{face.id}+", image=face.pixels()[20:70, 20:70].copy(), shape=moved(face), box=None)
        for face in faces[:6]
    ]
    model = CPR.tiny().fit([*faces[:12], *outside])
    assert error(model, faces[:12]) < 0.1


def moved(face: Sample) -> Shape:
    return Shape(face.shape.points - 20.0, face.shape.markup)


def test_shapes_without_extent_and_missing_points(faces):
    points = faces[0].shape.points
    line = np.stack([points[:, 0], np.full(68, 50.0)], 1)
    bad = [
        replace(faces[0], id="equal", shape=Shape(np.full((68, 2), 40.0), "ibug68")),
        replace(faces[0], id="line", shape=Shape(line, "ibug68")),
        replace(faces[0], id="none", shape=Shape(np.full((68, 2), np.nan), "ibug68")),
    ]
    holes = points.copy()
    holes[[3, 48]] = np.nan
    model = CPR.tiny().fit([*faces[:12], *bad, replace(faces[1], id="holes", shape=Shape(holes, "ibug68"))])
    assert np.isfinite(model.predict(faces[20].image, faces[20].box).points).all()
    with pytest.raises(ShapeError, match=r"span a box|two points"):
        CPR.tiny().fit(bad[::2])
    never = [
        replace(f, shape=Shape(np.where(np.arange(68)[:, None] == 5, np.nan, f.shape.points), "ibug68"))
        for f in faces[:4]
    ]
    with pytest.raises(ShapeError, match="point 5"):
        CPR.tiny().fit(never)


def test_one_face_teaches_without_folds(faces):
    model = CPR.tiny().fit(faces[:1])
    assert error(model, faces[:1]) < 0.1


@pytest.mark.parametrize("kind", ["mtfl5", "ibug51"])
def test_any_mark_up(kind, faces):
    converted = [replace(face, shape=face.shape.to(kind)) for face in faces[:24]]
    model = CPR.tiny().fit(converted, seed=1)
    assert error(model, converted) < error(MeanShape().fit(converted), converted)


@pytest.mark.parametrize(
    "settings",
    [
        {"sizes": (48,)},
        {"sizes": (47, 48, 50)},
        {"regressor": "forest"},
        {"starts": 0},
        {"stages": (1, 0, 1)},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError):
        replace(Config(), **settings)


def test_presets_are_the_papers_pairs():
    regressors = {name: preset.regressor for name, preset in PRESETS.items()}
    assert regressors == {"few": "mesh", "sdm": "linear", "esr": "ferns", "ert": "trees", "lbf": "binary"}


def test_broken_weights_are_refused(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    text = (
        (folder / "config.toml").read_text("utf-8").replace("strides = [0.12, 0.09]", "strides = [1, 1, 1]")
    )
    assert "[1, 1, 1]" in text
    with pytest.raises(WeightsError):
        other = CPR(config.from_toml(Config, text))
        other.markup = fitted.markup
        other._load(Path(folder))
