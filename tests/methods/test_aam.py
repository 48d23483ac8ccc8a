"""AAM: the warp, the textures, the four fitters, the portrait, and what becomes of bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meanshape.core import config
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, ShapeError, WeightsError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.methods.aam import AAM, Config
from meanshape.methods.aam.model import FILE
from meanshape.methods.aam.portrait import paint
from meanshape.methods.aam.texture import Appearance, Sampling, TextureModel, TextureReader
from meanshape.methods.mean_shape import MeanShape
from meanshape.methods.shared.piecewise import PiecewiseAffine

TRAIN = 40
QUICK = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [synthetic.face(seed, 96) for seed in range(TRAIN + 10)]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> AAM:
    return AAM.tiny().fit(faces[:TRAIN], seed=1)


@pytest.fixture(scope="module")
def mean_error(faces: list[Sample]) -> float:
    return error(MeanShape().fit(faces[:TRAIN]), faces[TRAIN:])


def error(model: object, faces: list[Sample]) -> float:
    """Return the mean error as a share of the box."""
    found = [model.predict(face.image, face.box).points for face in faces]
    off = [np.linalg.norm(p - f.shape.points, axis=1) / f.box.size for p, f in zip(found, faces, strict=True)]
    return float(np.mean(off))


def test_it_beats_the_mean_shape_by_far(fitted: AAM, faces: list[Sample], mean_error: float) -> None:
    assert error(fitted, faces[TRAIN:]) < 0.7 * mean_error


@pytest.mark.parametrize("fitter", ["linear", "project_out", "wiberg"])
def test_other_fitters(fitter: str, faces: list[Sample], tmp_path, mean_error: float) -> None:
    """Each moves shapes toward the truth on faces it has learnt from, and comes back from its file."""
    made = replace(AAM.tiny().config, fitter=fitter, copies=2, iterations=3)
    model = AAM(made).fit(faces[:TRAIN], seed=1)
    gains = []
    for face in faces[:8]:
        way = [
            np.linalg.norm(s.points - face.shape.points, axis=1).mean()
            for s in model.iterations(face.image, face.box)
        ]
        gains.append(way[-1] / way[0])
    assert np.median(gains) < 0.6
    loaded = AAM.load(model.save(tmp_path / "model"))
    assert loaded.predict(faces[45].image, faces[45].box) == model.predict(faces[45].image, faces[45].box)


def test_iterations_end_with_the_answer(fitted: AAM, faces: list[Sample]) -> None:
    face = faces[TRAIN]
    way = fitted.iterations(face.image, face.box)
    assert len(way) == 3 + len(fitted.config.faces) and way[-1] == fitted.predict(face.image, face.box)


def test_an_earlier_shape_starts_it(fitted: AAM, faces: list[Sample]) -> None:
    face = faces[TRAIN]
    wrong = face.box.shifted(60, 0)
    found = fitted.predict(face.image, wrong, start=face.shape)
    assert np.linalg.norm(found.points - face.shape.points, axis=1).mean() < 0.08 * face.box.size


# The portrait


def test_a_face_is_described_and_rendered_again(fitted: AAM, faces: list[Sample]) -> None:
    """What the model makes of a face it knows resembles that face more than other faces' portraits do."""
    pictures = [fitted.reconstruct(fitted.describe(f.image, f.shape)) for f in faces[:6]]
    reader = fitted.portrait.reader
    textures = []
    for face, picture in zip(faces, pictures, strict=False):
        assert picture.shape == (reader.side, reader.side, 3) and picture.dtype == np.uint8
        _, points = fitted.portrait.render(fitted.describe(face.image, face.shape))
        again = fitted.describe(picture, Shape(points))
        textures.append((fitted.describe(face.image, face.shape), again))
    told, seen = np.array(textures).transpose(1, 0, 2)[..., :4]
    distance = np.linalg.norm(told[:, None] - seen[None], axis=-1)
    assert (distance.argmin(1) == np.arange(6)).mean() >= 0.8


def test_sliders_change_the_face(fitted: AAM) -> None:
    mean, wide = fitted.reconstruct([]), fitted.reconstruct([2.5])
    assert np.abs(mean.astype(int) - wide).mean() > 1
    assert np.array_equal(fitted.shape_from([]), fitted.shape_model.mean)


def test_a_texture_painted_on_the_mean_is_itself() -> None:
    mean = np.array([[5.0, 5], [35, 6], [34, 36], [6, 33], [20, 20]])
    warp = PiecewiseAffine.over(mean, 1.0, 0.1)
    values = warp.pixels @ (2.0, 1.0) + 10
    picture = paint(warp, values, mean, 42, ground=-1)
    ys, xs = np.nonzero(picture >= 0)
    inside = (np.abs(xs - 20) < 12) & (np.abs(ys - 20) < 12)
    assert np.allclose(picture[ys, xs][inside], (2 * xs + ys + 10)[inside], atol=0.1)
    moved = paint(warp, values, mean + np.array([3, 2]), 42, ground=-1)
    assert np.allclose(moved[14:30, 15:31], picture[12:28, 12:28], atol=0.1)


# The warp


def mesh(seed: int = 0) -> PiecewiseAffine:
    return PiecewiseAffine.over(np.random.default_rng(seed).random((9, 2)) * 60, 3.0, 0.15)


@QUICK
@given(seed=st.integers(0, 99), numbers=st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_an_affine_change_of_the_points_moves_every_pixel_by_it(seed: int, numbers: list[float]) -> None:
    warp = mesh(seed)
    linear, shift = np.reshape(numbers[:4], (2, 2)), np.array(numbers[4:]) * 20
    assert np.allclose(warp.places(warp.mean @ linear.T + shift), warp.pixels @ linear.T + shift, atol=1e-6)
    stretch = warp.stretch(warp.mean @ linear.T + shift)
    assert np.allclose(stretch, linear, atol=1e-6)


@QUICK
@given(seed=st.integers(0, 99))
def test_weights_are_mixtures(seed: int) -> None:
    warp = mesh(seed)
    assert np.allclose(warp.weights.sum(1), 1) and np.allclose(warp.places(warp.mean), warp.pixels)
    one = warp.mean.copy()
    one[0] += 1
    moved = np.hypot(*(warp.places(one) - warp.pixels).T)
    assert (moved < 1.3 * np.sqrt(2)).all() and (moved == 0).any()


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.tile([[1.0, 2.0]], (5, 1)) * np.arange(5)[:, None], np.eye(2)]
)
def test_no_mesh_on_a_line(points: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="line"):
        PiecewiseAffine.over(points, 1.0, 0.1)


# Textures


def test_slopes_are_derivatives() -> None:
    mean = np.random.default_rng(1).random((12, 2)) * 2 - 1
    reader = TextureReader(mean, 40.0, Sampling("intensities", stride=0.05))
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    picture = (3 * x - 2 * y).astype(np.float32)[..., None]
    slopes = reader.slopes(picture, reader.warp.mean)
    spread = (reader.warp.pixels @ (3, -2)).std()
    assert np.allclose(slopes * spread, (3, -2), atol=0.02)


def test_intensities_do_not_see_light() -> None:
    mean = np.random.default_rng(1).random((12, 2)) * 2 - 1
    reader = TextureReader(mean, 40.0, Sampling("intensities", stride=0.05))
    light = np.random.default_rng(0).integers(20, 120, (64, 64)).astype(np.uint8)
    one, other = (reader.read(reader.prepare(p), reader.warp.mean) for p in (light, light * 2))
    assert np.allclose(one, other, atol=1e-4) and abs(one.mean()) < 1e-4
    flat = reader.read(reader.prepare(np.full((64, 64), 9, np.uint8)), reader.warp.mean)
    assert np.array_equal(flat, np.zeros_like(flat))


def test_texture_modes_are_the_principal_ones() -> None:
    rng = np.random.default_rng(0)
    textures = (rng.normal(size=(40, 3)) * (5, 2, 1) @ rng.normal(size=(3, 200)) + 7).astype(np.float32)
    model = TextureModel.train(textures, 10)
    assert len(model.modes) == 3 and np.allclose(model.modes @ model.modes.T, np.eye(3), atol=1e-4)
    assert np.allclose(model.texture_from(model.project(textures)), textures, atol=1e-2)
    assert np.allclose(np.var(model.project(textures), axis=0, ddof=1), model.variances, rtol=1e-3)


def test_appearance_joins_what_goes_together() -> None:
    """Shape and texture driven by one number have one joint mode; c tells both."""
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(200, 1))
    shapes, textures = cause @ [[0.02, 0.01]], cause @ [[30.0, -10.0, 5.0]]
    model = Appearance.train(shapes, textures, 0.99)
    assert len(model.variances) == 1
    b, g = model.part(model.join(shapes[3], textures[3]))
    assert np.allclose(b, shapes[3], atol=1e-3) and np.allclose(g, textures[3], atol=0.5)


# Bad input


def test_fewer_faces_than_modes(faces: list[Sample]) -> None:
    for fitter in ("update", "linear"):
        model = AAM(replace(AAM.tiny().config, fitter=fitter, modes=(30, 30))).fit(faces[:3])
        assert len(model.shape_model.variances) <= 5
        assert np.isfinite(model.predict(faces[9].image, faces[9].box).points).all()


@pytest.mark.parametrize("grey", [0, 255])
def test_a_constant_picture_gives_a_face_in_the_box(fitted: AAM, grey: int) -> None:
    box = Box(40, 30, 110, 100)
    points = fitted.predict(np.full((160, 160, 3), grey, np.uint8), box).points
    assert box.iou(Box.around(points)) > 0.3


def test_points_outside_the_picture(fitted: AAM, faces: list[Sample]) -> None:
    face = faces[TRAIN]
    cut = np.ascontiguousarray(face.pixels()[:, :60])
    assert fitted.predict(cut, face.box).box().iou(face.box) > 0.4


def test_degenerate_samples(faces: list[Sample]) -> None:
    """All points equal: left out; all on a line: no mesh."""
    equal = replace(faces[0], shape=Shape(np.full((68, 2), 20.0)))
    plain, same = (AAM.tiny().fit([*faces[:10], *more], seed=2) for more in ([], [equal]))
    box = faces[20].box
    assert plain.predict(faces[20].image, box) == same.predict(faces[20].image, box)
    rng = np.random.default_rng(0)
    lines = [
        replace(f, shape=Shape(np.column_stack([np.sort(rng.random(68)) * 60, np.full(68, 40.0)])), box=f.box)
        for f in faces[:4]
    ]
    with pytest.raises(ShapeError, match="line"):
        AAM.tiny().fit(lines)


def test_another_markup(faces: list[Sample]) -> None:
    five = [replace(f, shape=f.shape.to("mtfl5")) for f in faces]
    model = AAM.tiny().fit(five[:TRAIN])
    assert model.markup.name == "mtfl5" and error(model, five[TRAIN:]) < 0.15


@pytest.mark.parametrize(
    "bad", [{"fitter": "newton"}, {"texture.kind": "sift"}, {"faces": "(60,)"}, {"start": "eyes"}]
)
def test_settings_that_cannot_be(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.override(Config(), bad)


def test_broken_weights(fitted: AAM, tmp_path) -> None:
    from meanshape.core import weights

    folder = fitted.save(tmp_path / "model")
    np.savez(folder / FILE, **{"shape.mean": np.zeros((3, 2))})
    weights.write_card(folder, weights.read_card(folder), ["config.toml", FILE])
    with pytest.raises(WeightsError, match="not the weights"):
        AAM.load(folder)
