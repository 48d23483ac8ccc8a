"""ASM: what points see, where they go, and what becomes of bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meanshape.core import config
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, ShapeError, WeightsError
from meanshape.core.image import warp
from meanshape.core.markup import markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.methods.asm import ASM, PRESETS, Config
from meanshape.methods.asm.model import FILE
from meanshape.methods.asm.profiles import Contrast, Mahalanobis, Moments, Patches, Profiles, neighbours
from meanshape.methods.mean_shape import MeanShape
from meanshape.methods.shared.oriented import CHANNELS, orientations

TRAIN = 40


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [synthetic.face(seed, 96) for seed in range(TRAIN + 10)]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> ASM:
    return ASM.tiny().fit(faces[:TRAIN], seed=1)


def error(model: object, faces: list[Sample]) -> float:
    """Return the mean error as a share of the box."""
    found = [model.predict(face.image, face.box).points for face in faces]
    off = [np.linalg.norm(p - f.shape.points, axis=1) / f.box.size for p, f in zip(found, faces, strict=True)]
    return float(np.mean(off))


def test_it_beats_the_mean_shape_by_far(fitted: ASM, faces: list[Sample]) -> None:
    mean = MeanShape().fit(faces[:TRAIN])
    assert error(fitted, faces[TRAIN:]) < 0.45 * error(mean, faces[TRAIN:])


def test_the_paper_beats_the_mean_shape(faces: list[Sample]) -> None:
    mean = MeanShape().fit(faces[:TRAIN])
    paper = ASM(replace(PRESETS["1995"], faces=(25.0, 50.0), modes=(0, 0))).fit(faces[:TRAIN])
    assert error(paper, faces[TRAIN:]) < 0.9 * error(mean, faces[TRAIN:])


def test_the_search_goes_downhill(fitted: ASM, faces: list[Sample]) -> None:
    """On most faces the answer is nearer than the start, and the start nearer than the mean in the box."""
    wins = []
    for face in faces[TRAIN:]:
        way = fitted.iterations(face.image, face.box)
        assert way[-1] == fitted.predict(face.image, face.box) and len(way) >= 4
        off = [np.linalg.norm(s.points - face.shape.points, axis=1).mean() for s in way]
        wins.append(off[-1] < off[2] < off[0])
    assert np.mean(wins) >= 0.7


def test_an_earlier_shape_and_eyes_start_it(fitted: ASM, faces: list[Sample]) -> None:
    """On a face turned by 40 degrees, with a box that knows nothing of it."""
    face = faces[TRAIN + 1]
    x, y = face.box.center
    c, s = np.cos(0.7), np.sin(0.7)
    matrix = np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])
    turned = warp(face.pixels(), matrix, (96, 96))
    true = Shape(face.shape.points @ matrix[:, :2].T + matrix[:, 2])
    eyes = true.to("mtfl5").points.copy()
    eyes[2:] = np.nan
    for start in (true, true.to("mtfl5"), Shape(eyes, "mtfl5")):
        found = fitted.predict(turned, face.box, start=start).points
        assert np.linalg.norm(found - true.points, axis=1).mean() < 0.08 * face.box.size
    useless = Shape(np.full((5, 2), 9.0), "mtfl5")
    assert fitted.predict(turned, face.box, start=useless) == fitted.predict(turned, face.box)


def test_fewer_faces_than_modes(faces: list[Sample]) -> None:
    model = ASM(replace(ASM.tiny().config, modes=(30,))).fit(faces[:3])
    assert len(model.shape_model.variances) <= 5
    assert np.isfinite(model.predict(faces[9].image, faces[9].box).points).all()
    with pytest.raises(ShapeError, match="span a face"):
        ASM.tiny().fit(
            [Sample("one", faces[0].image, Shape(np.tile(faces[0].shape.points[:1], (68, 1))), faces[0].box)]
            * 2
        )


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_constant_picture_gives_a_face_in_the_box(fitted: ASM, grey: int) -> None:
    box = Box(40, 30, 110, 100)
    points = fitted.predict(np.full((160, 160, 3), grey, np.uint8), box).points
    assert box.iou(Box.around(points)) > 0.4


def test_points_outside_the_picture(fitted: ASM, faces: list[Sample]) -> None:
    """A part of the face is cut off: the points go on where a face has them; in training they do no harm."""
    cut = [replace(f, image=np.ascontiguousarray(f.pixels()[:, :64])) for f in faces[: TRAIN + 10]]
    found = fitted.predict(cut[TRAIN].image, cut[TRAIN].box)
    assert found.box().iou(cut[TRAIN].box) > 0.5
    half = ASM.tiny().fit(cut[:TRAIN])
    assert error(half, cut[TRAIN:]) < 0.8 * error(MeanShape().fit(cut[:TRAIN]), cut[TRAIN:])


def test_degenerate_samples_are_left_out(faces: list[Sample]) -> None:
    """All points equal, one point known: not learnt from. On a line: a shape like any other."""
    equal = Shape(np.full((68, 2), 20.0))
    single = np.full((68, 2), np.nan)
    single[0] = 5
    line = Shape(np.column_stack([np.linspace(5, 90, 68), np.full(68, 40.0)]))
    box = faces[0].box
    bad = [Sample(str(n), faces[0].image, s, box) for n, s in enumerate([equal, Shape(single)])]
    plain = ASM.tiny().fit(faces[:12], seed=2)
    same = ASM.tiny().fit([*faces[:12], *bad], seed=2)
    assert plain.predict(faces[20].image, box) == same.predict(faces[20].image, box)
    odd = ASM.tiny().fit([*faces[:12], Sample("line", faces[0].image, line, box)], seed=2)
    assert np.isfinite(odd.predict(faces[20].image, box).points).all()


def test_another_markup(faces: list[Sample]) -> None:
    five = [replace(f, shape=f.shape.to("mtfl5")) for f in faces]
    model = ASM.tiny().fit(five[:TRAIN])
    assert model.markup.name == "mtfl5" and error(model, five[TRAIN:]) < 0.12


def test_modes_for_sliders(fitted: ASM) -> None:
    mean, wide = fitted.shape_from([]), fitted.shape_from([2.0])
    assert np.array_equal(mean, fitted.shape_model.mean)
    assert np.linalg.norm(wide - mean) == pytest.approx(2 * np.sqrt(fitted.shape_model.variances[0]))
    with pytest.raises(ShapeError):
        fitted.shape_from(np.zeros(99))


@pytest.mark.parametrize(
    "bad",
    [{"descriptor": "haar"}, {"match": "worst"}, {"measure": "l2"}, {"faces": "60"}, {"modes": "(3,)"}],
)
def test_settings_that_cannot_be(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.override(Config(), bad)


def test_broken_weights(fitted: ASM, faces: list[Sample], tmp_path) -> None:
    from meanshape.core import weights

    folder = fitted.save(tmp_path / "model")
    np.savez(folder / FILE, **{"shape.mean": np.zeros((3, 2))})
    weights.write_card(folder, weights.read_card(folder), ["config.toml", FILE])
    with pytest.raises(WeightsError, match="not the weights"):
        ASM.load(folder)
    (folder / FILE).write_bytes(b"nothing")
    weights.write_card(folder, weights.read_card(folder), ["config.toml", FILE])
    with pytest.raises(WeightsError, match="not a file of arrays"):
        ASM.load(folder)


# What points see


def test_filters_answer_as_windows_do() -> None:
    reader = Patches(places=5, cells=3, apart=2)
    rng = np.random.default_rng(0)
    picture = rng.random((60, 60, CHANNELS), np.float32)
    values = reader.read(picture, np.array([[30.0, 25.0], [28.3, 31.7]]))
    filters = rng.normal(size=(2, reader.size)).astype(np.float32)
    direct = np.einsum("ksd,kd->ks", reader.windows(values), filters)
    assert np.allclose(reader.filtered(values, filters), direct, atol=1e-4)


def test_a_window_is_read_where_its_place_is() -> None:
    """Moving the point by a place's offset makes that place's window the middle one."""
    reader = Patches(places=5, cells=3, apart=2, step=1.0)
    picture = np.random.default_rng(1).random((60, 60, CHANNELS), np.float32)
    point = np.array([[30.0, 25.0]])
    offsets = reader.offsets(point)[0]
    windows = reader.windows(reader.read(picture, point))[0]
    for place in (0, 7, 24):
        moved = reader.windows(reader.read(picture, point + offsets[place]))[0]
        assert np.allclose(moved[12], windows[place], atol=1e-5)


def test_profiles_find_an_edge_across_the_contour() -> None:
    """A vertical edge at x = 30.5; points of a vertical contour off by -3 … 3 pixels."""
    light = np.zeros((60, 60), np.uint8)
    light[:, 31:] = 200
    reader = Profiles((0, 0, 1), (1, 2, 2), half=2, reach=4)
    picture = reader.prepare(light)
    values = reader.read(picture, np.array([[27.5, 20.0], [30.5, 30.0], [33.5, 40.0]]))
    best = np.abs(reader.windows(values)[..., 2]).argmax(1)
    shifts = reader.offsets(np.array([[27.5, 20.0], [30.5, 30.0], [33.5, 40.0]]))[np.arange(3), best]
    assert np.abs(shifts[:, 0] - (3, 0, -3)).max() <= 0.51 and np.allclose(shifts[:, 1], 0, atol=1)
    flat = reader.windows(reader.read(reader.prepare(np.full((60, 60), 7, np.uint8)), np.zeros((3, 2))))
    assert np.array_equal(flat, np.zeros_like(flat))


def test_neighbours_follow_the_lines() -> None:
    before, after = neighbours(markup("ibug68"))
    assert (before[8], after[8]) == (7, 9) and (before[0], after[0]) == (0, 1)
    assert (before[37], after[37]) == (36, 38)
    alone = neighbours(markup("imm73"))
    assert alone[0][32] == alone[1][32] == 32  # a pupil has no line
    points = np.random.default_rng(0).random((73, 2))
    normals = Profiles(*alone).normals(points)
    assert np.allclose(np.hypot(*normals.T), 1)


def test_measures_prefer_what_they_learnt() -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(1, 1, (2, 400, 9)).astype(np.float32)
    around = rng.normal(0, 1, (2, 400, 9)).astype(np.float32)
    moments = Moments.of(2, 9)
    moments.add(0, here)
    moments.add(1, around)
    reader = Profiles((0, 0), (1, 1), half=4)

    class Plain:
        size = 9
        windows = staticmethod(lambda values: values)
        filtered = staticmethod(lambda values, filters: (values @ filters[..., None])[..., 0])

    assert reader.size == 9
    for kind in (Contrast, Mahalanobis):
        measure = kind.train(moments, 0.01)
        gap = measure.score(Plain(), here).mean() - measure.score(Plain(), around).mean()
        assert gap > 3
    odds = Contrast.train(moments, 0.0).score(Plain(), here)
    assert odds.mean() == pytest.approx(4.5, abs=0.6)  # half the squared distance of the means, 9 / 2
    whitened = Mahalanobis.train(moments, 0.0).score(Plain(), here)
    assert -2 * whitened.mean() == pytest.approx(9, abs=0.3)  # a chi-square of 9 degrees


def test_orientations_follow_the_gradient() -> None:
    x = np.arange(50)
    for angle in (0, 90, 180, 270):
        ramp = np.rot90(np.tile(x * 4, (50, 1)), angle // 90).astype(np.uint8)
        channels = orientations(np.ascontiguousarray(ramp), 1.5, 8)[25, 25]
        light = {0: 0, 90: 6, 180: 4, 270: 2}[angle]  # y runs down
        assert channels.argmax() == light and channels[(light + 4) % 8] == 0
