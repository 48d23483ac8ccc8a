"""ASM's and AAM's equations in numpy: the shape model, its limits and prior, profiles, measures, fitters."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meanshape.methods.aam.fitters import Composition, Linear
from meanshape.methods.aam.texture import Appearance, Sampling, TextureModel, TextureReader
from meanshape.methods.asm import ASM, PRESETS
from meanshape.methods.asm.model import _mean_place
from meanshape.methods.asm.profiles import Mahalanobis, Profiles
from meanshape.methods.shared.log_odds import Contrast, Moments
from meanshape.methods.shared.shape_model import ShapeModel

POINTS = 9


@pytest.fixture(scope="module")
def shapes() -> np.ndarray:
    """Shapes (80, K, 2) that differ much, each turned, scaled and shifted."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(POINTS, 2)) * 30 + np.tensordot(
        rng.normal(size=(80, 4)) * (14, 9, 5, 1), rng.normal(size=(4, POINTS, 2)), 1
    )
    angle, size = rng.normal(0, 0.3, 80), rng.uniform(0.5, 2, 80)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * size
    return np.einsum("abn,nkb->nka", turn, made) + rng.normal(0, 40, (80, 1, 2))


@pytest.fixture(scope="module")
def model(shapes: np.ndarray) -> ShapeModel:
    return ShapeModel.train(shapes, 0.98)


# The shape model


def principal(shapes: np.ndarray) -> np.ndarray:
    """The variances of shapes, aligned by similarities to their mean, scaled into its tangent space."""
    z = shapes @ (1, 1j)
    z = z - z.mean(1, keepdims=True)
    mean = z[0] / np.linalg.norm(z[0])
    for _ in range(200):
        laid = z * ((z.conj() @ mean) / (np.abs(z) ** 2).sum(1))[:, None]
        mean = laid.mean(0)
        mean = mean / np.linalg.norm(mean)
    laid = z * ((z.conj() @ mean) / (np.abs(z) ** 2).sum(1))[:, None] * np.sqrt(POINTS)
    mean = mean * np.sqrt(POINTS)
    laid = laid / ((laid.conj() @ mean).real / POINTS)[:, None]
    return np.linalg.eigvalsh(np.cov(np.concatenate([laid.real, laid.imag], 1), rowvar=False))[::-1]


def test_modes_are_the_principal_ones_of_the_tangent_space(shapes: np.ndarray, model: ShapeModel) -> None:
    wanted = principal(shapes)
    count = int(np.argmax(np.cumsum(wanted) >= 0.98 * wanted.sum())) + 1
    assert len(model.variances) == count
    assert np.allclose(model.variances, wanted[:count], rtol=1e-4)
    assert np.sqrt((model.mean**2).sum(1).mean()) == pytest.approx(1, rel=0.02)


def test_a_shape_is_the_mean_and_its_modes_placed(model: ShapeModel) -> None:
    """x = T(mean + P b), |b_i| <= 3 sqrt(lambda_i)."""
    b = np.random.default_rng(1).normal(0, 4, len(model.variances)) * np.sqrt(model.variances)
    matrix = np.array([[3.0, -2.0, 7.0], [2.0, 3.0, -5.0]])
    wanted = [
        matrix[:, :2] @ (model.mean[k] + [b @ model.modes[:, 2 * k], b @ model.modes[:, 2 * k + 1]])
        + matrix[:, 2]
        for k in range(POINTS)
    ]
    assert np.allclose(model.shape_from(b, matrix), wanted)
    root = [np.sqrt(value) for value in model.variances]
    assert np.allclose(model.limit(b), [max(-3 * r, min(3 * r, x)) for x, r in zip(b, root, strict=True)])


@pytest.mark.parametrize("prior", [0.0, 4.0, 80.0])
def test_a_fit_is_the_likeliest_shape(model: ShapeModel, shapes: np.ndarray, prior: float) -> None:
    """At the answer nothing lowers sum w |T(mean + P b) - x|^2 + prior sum b^2 / lambda."""
    rng = np.random.default_rng(2)
    target, weights = shapes[3], rng.uniform(0.5, 2, POINTS)

    def cost(numbers: np.ndarray) -> float:
        (a, c, x, y), b = numbers[:4], numbers[4:]
        points = (model.mean + (b @ model.modes).reshape(-1, 2)) @ np.array([[a, c], [-c, a]]) + (x, y)
        off = (weights[:, None] * (points - target) ** 2).sum()
        return float(off + prior * (b**2 / model.variances).sum())

    b, matrix = model.fit(target, weights, prior=prior, max_deviation=None, rounds=60)
    answer = np.concatenate([[matrix[0, 0], matrix[1, 0], *matrix[:, 2]], b])
    best = cost(answer)
    for n in range(len(answer)):
        for step in (-1e-2, 1e-2):
            moved = answer.copy()
            moved[n] += step * (1 if n < 4 else np.sqrt(model.variances[n - 4]))
            assert cost(moved) > best


# Profiles


def test_profiles_are_normalised_slopes_across_the_contour() -> None:
    """Of a picture whose light is known everywhere: g / sum |g|, one pixel apart along the normal."""
    y, x = np.mgrid[:60, :60].astype(np.float64)
    light = (0.5 * x**1.5 + 2 * y).astype(np.float32)[..., None]
    points = np.array([[20.0, 30], [30, 30], [40, 30]])
    reader = Profiles((0, 0, 1), (1, 2, 2), half=2, reach=1)  # a contour along x: its normal is along y
    assert np.allclose(np.abs(reader.normals(points)), [[0, 1]] * 3)
    assert np.allclose(reader.windows(reader.read(light, points)), np.full((3, 3, 5), 0.2) * np.sign(
        reader.normals(points)[0, 1]
    ), atol=1e-5)  # fmt: skip
    upright = Profiles((0, 0, 1), (1, 2, 2), half=2, reach=1)
    column = points[:, ::-1].copy()  # along y: the normal is along x
    way = np.sign(upright.normals(column)[1, 0])
    found = upright.windows(upright.read(light, column))[1]
    for place, shift in enumerate((-1, 0, 1)):
        at = 30 + way * (shift + np.arange(-2, 3))
        slopes = way * (0.5 * (at + 1) ** 1.5 - 0.5 * (at - 1) ** 1.5) / 2
        assert np.allclose(found[place], slopes / np.abs(slopes).sum(), atol=1e-4)


class Plain:
    """Descriptors as they are given."""

    size = 6

    @staticmethod
    def windows(values: np.ndarray) -> np.ndarray:
        return values

    @staticmethod
    def filtered(values: np.ndarray, filters: np.ndarray) -> np.ndarray:
        return np.einsum("ksd,kd->ks", values, filters)


def test_measures_are_mahalanobis_distances() -> None:
    """-1/2 (g - mean)^T S^-1 (g - mean); and half the distance to the surroundings less that to the point."""
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(2, 6, 6))
    here = np.einsum("knd,kde->kne", rng.normal(1, 1, (2, 50, 6)), mix).astype(np.float32)
    around = np.einsum("knd,kde->kne", rng.normal(0, 2, (2, 70, 6)), mix).astype(np.float32)
    seen = rng.normal(size=(2, 5, 6)).astype(np.float32)
    moments, ridge = Moments.of(2, 6), 0.05
    moments.add(0, here[:, :20])
    moments.add(0, here[:, 20:])
    moments.add(1, around)

    def spread(values: np.ndarray) -> np.ndarray:
        found = np.cov(values, rowvar=False, bias=True)
        return found + ridge * np.trace(found) / 6 * np.eye(6)

    score = Mahalanobis.train(moments, ridge).score(Plain(), seen)  # type: ignore[arg-type]
    odds = Contrast.train(moments, ridge).score(Plain(), seen)  # type: ignore[arg-type]
    for k in range(2):
        own, others = here[k].astype(float), around[k].astype(float)
        both = np.linalg.inv((spread(own) + spread(others)) / 2)
        for s in range(5):
            near, far = seen[k, s] - own.mean(0), seen[k, s] - others.mean(0)
            assert score[k, s] == pytest.approx(-near @ np.linalg.inv(spread(own)) @ near / 2, rel=1e-3)
            assert odds[k, s] == pytest.approx(
                (far @ both @ far - near @ both @ near) / 2, rel=1e-3, abs=1e-2
            )


def test_a_place_is_the_mean_of_all_by_their_odds() -> None:
    rng = np.random.default_rng(4)
    score, offsets = rng.normal(0, 2, (3, 7)), rng.normal(0, 3, (1, 7, 2))
    step, precision = _mean_place(score, offsets, 0.3)
    for k in range(3):
        odds = np.exp(score[k]) / np.exp(score[k]).sum()
        mean = odds @ offsets[0]
        spread = sum(p * np.outer(o - mean, o - mean) for p, o in zip(odds, offsets[0], strict=True))
        assert np.allclose(step[k], mean)
        assert np.allclose(precision[k], np.linalg.inv(spread + 0.3 * np.eye(2)))


@pytest.mark.parametrize(("near", "rests"), [(9, True), (8, False)])
def test_a_search_moves_points_to_where_they_fit_and_all_to_a_face(
    model: ShapeModel, near: int, rests: bool
) -> None:
    """Each to its best place; the nearest shape; done once nine of ten moved by half of the reach or less."""
    rng = np.random.default_rng(9)
    reach = np.arange(-4, 5)
    places = np.array([[0.6, 0.8]] * POINTS)[:, None] * reach[:, None]  # along a normal
    best = np.where(np.arange(POINTS) < near, rng.integers(-2, 3, POINTS), 4)  # the others go all the way
    score = rng.uniform(-9, -1, (POINTS, 9))
    score[np.arange(POINTS), best + 4] = -0.5
    points = model.shape_from([0.2], [[30.0, 2, 5], [-2, 30, 4]])
    level = SimpleNamespace(
        model=model,
        reader=SimpleNamespace(offsets=lambda at: places, read=lambda picture, at: None),
        measure=SimpleNamespace(score=lambda reader, values: score),
    )
    found, settled = ASM(PRESETS["1995"])._step(level, None, points)  # type: ignore[arg-type]
    wanted = points + best[:, None] * [0.6, 0.8]
    assert np.allclose(found, model.shape_from(*model.fit(wanted, rounds=2)))
    assert settled == rests


# Appearance


def test_textures_have_mean_0_and_variance_1() -> None:
    reader = TextureReader(np.random.default_rng(1).random((12, 2)), 40.0, Sampling("intensities"))
    light = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    found = reader.read(reader.prepare(light), reader.warp.mean).astype(float)
    assert found.mean() == pytest.approx(0, abs=1e-4) and found.var() == pytest.approx(1, rel=1e-3)


def test_appearance_is_the_pca_of_shape_and_texture_in_one_unit() -> None:
    """PCA of (r b_s, b_g), r^2 = Var_tex / Var_shape; b_s = c Q_s / r, b_g = c Q_g."""
    rng = np.random.default_rng(5)
    both = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 7))
    shapes, textures = 0.01 * (both[:, :3] - both[:, :3].mean(0)), 40 * (both[:, 3:] - both[:, 3:].mean(0))
    found = Appearance.train(shapes, textures, 0.95)
    r = np.sqrt((textures**2).mean(0).sum() / (shapes**2).mean(0).sum())
    joined = np.concatenate([r * shapes, textures], 1)
    values, vectors = np.linalg.eigh(np.cov(joined, rowvar=False))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = int(np.argmax(np.cumsum(values) >= 0.95 * values.sum())) + 1
    assert found.balance == pytest.approx(r) and len(found.variances) == count
    assert np.allclose(found.variances, values[:count])
    c = found.join(shapes[7], textures[7])
    assert np.allclose(np.abs(c), np.abs(joined[7] @ vectors[:, :count]))
    b, g = found.part(c)
    again = vectors[:, :count] @ (vectors[:, :count].T @ joined[7])
    assert np.allclose(b, again[:3] / r) and np.allclose(g, again[3:])


@dataclass
class Reads:
    """A reader whose texture is a known function of the points."""

    slope: np.ndarray
    bend: np.ndarray
    channels: int = 1

    def read(self, picture: Any, points: np.ndarray) -> np.ndarray:
        flat = points.ravel()
        return (self.slope @ flat + 0.3 * np.sin(self.bend @ flat)).astype(np.float32)


@pytest.mark.parametrize("boldness", [1.0, 2.6])
def test_the_paper_s_search_takes_the_first_step_that_helps(model: ShapeModel, boldness: float) -> None:
    """c <- c - k A dg, k in turn 1, 1.5, 0.5, 0.25, 0.125 until |dg|^2 drops; the pose likewise, composed."""
    rng = np.random.default_rng(6)
    few = model.first(2)
    reader = Reads(rng.normal(0, 0.1, (40, 2 * POINTS)), rng.normal(0, 0.02, (40, 2 * POINTS)))
    modes = np.linalg.qr(rng.normal(size=(40, 3)))[0].T
    there = few.shape_from([0.1, -0.05], [[20.0, 1, 3], [-1, 20, 5]])
    texture = TextureModel(reader.read(None, there), modes.astype(np.float32), np.ones(3))
    mixed = np.linalg.qr(rng.normal(size=(5, 4)))[0].T
    appearance = Appearance(mixed[:, :2], mixed[:, 2:], np.full(4, 9.0), 2.0)

    def difference(matrix: np.ndarray, c: np.ndarray) -> np.ndarray:
        b, g = c @ mixed[:, :2] / 2.0, c @ mixed[:, 2:]
        points = (few.mean + (b @ few.modes).reshape(-1, 2)) @ matrix[:, :2].T + matrix[:, 2]
        return reader.read(None, points) - (texture.mean + g @ modes)

    def posed(matrix: np.ndarray, step: np.ndarray) -> np.ndarray:
        z = np.exp(step[0] + 1j * step[1])
        turn = np.array([[z.real, -z.imag], [z.imag, z.real]])
        return np.column_stack([turn @ matrix[:, :2], matrix[:, 2] + step[2:4]])

    start = few.shape_from([0.05, 0.02], [[20.5, 1.4, 4], [-1.4, 20.5, 4.5]])
    b, matrix = few.fit(start)
    c = np.concatenate([2.0 * b, (reader.read(None, start) - texture.mean) @ modes.T]) @ mixed.T
    slopes = []
    for n in range(8):
        step = np.zeros(8)
        step[n] = 1e-3
        ends = [difference(posed(matrix, way * step), c + way * step[4:]) for way in (1, -1)]
        slopes.append((ends[0].astype(float) - ends[1]) / 2e-3)
    weights = boldness * np.linalg.pinv(np.stack(slopes))
    frame = SimpleNamespace(shapes=few, reader=reader)
    fitter = Linear(weights.astype(np.float32), texture, appearance, 3)
    found = list(fitter.steps(frame, None, start, 3.0))  # type: ignore[arg-type]
    assert found
    taken = []
    for points in found:
        now = difference(matrix, c).astype(float)
        for k in (1.0, 1.5, 0.5, 0.25, 0.125):
            tried = posed(matrix, -k * (now @ weights)), np.clip(c - k * (now @ weights)[4:], -9, 9)
            if (difference(*tried) ** 2).sum() < (now**2).sum():
                break
        taken.append(k)
        matrix, c = tried
        wanted = (few.mean + (c @ mixed[:, :2] / 2 @ few.modes).reshape(-1, 2)) @ matrix[:, :2].T + matrix[
            :, 2
        ]
        assert np.abs(points - wanted).max() < 5e-2
    assert taken[0] == (1.0 if boldness == 1.0 else 0.5)


@pytest.mark.parametrize("together", [False, True])
def test_inverse_composition_projects_out_and_undoes_its_step(together: bool) -> None:
    """dp = H^-1 J'^T (I - mean), J' = J - A A^T J, H = J'^T J'; the points move by minus the warped step.

    Fitted together, J is of the mean and the modes that explain the picture: sum of c_i times their slopes.
    """
    rng = np.random.default_rng(8)
    pixels, unknowns = 30, 6
    modes = np.linalg.qr(rng.normal(size=(pixels, 4)))[0].T.astype(np.float32)
    texture = TextureModel(rng.normal(size=pixels).astype(np.float32), modes, np.ones(4))
    slopes, moves = rng.normal(size=(5, pixels, 2)), rng.normal(size=(pixels, 2, unknowns))
    directions, stretch = rng.normal(size=(unknowns, POINTS, 2)), rng.normal(size=(POINTS, 2, 2))
    seen, points = rng.normal(size=pixels).astype(np.float32), rng.normal(size=(POINTS, 2)) * 20
    reader = SimpleNamespace(
        channels=1, read=lambda picture, at: seen, warp=SimpleNamespace(stretch=lambda at: stretch)
    )
    frame = SimpleNamespace(
        reader=reader, moves=moves.astype(np.float32), directions=directions, nearest=lambda at, limit: at
    )
    fitter = Composition(texture, slopes[: 5 if together else 1].astype(np.float32), 1)
    (found,) = fitter.steps(frame, None, points, 3.0)  # type: ignore[arg-type]
    own = slopes[0]
    if together:
        own = own + np.tensordot(modes @ (seen - texture.mean), slopes[1:], 1)
    jacobian = np.einsum("pa,pau->pu", own, moves)
    jacobian = jacobian - modes.T @ (modes @ jacobian)
    step = np.linalg.solve(jacobian.T @ jacobian, jacobian.T @ (seen - texture.mean))
    warped = np.einsum("kab,ukb,u->ka", stretch, directions, step)
    assert np.allclose(found, points - warped, atol=2e-2 * np.abs(warped).max())
    assert np.abs(warped).max() > 0.1
