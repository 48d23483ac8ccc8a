"""The equations of the consensus of exemplars, computed a second time from their formulas."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from meanshape.core.geometry import apply, similarity
from meanshape.methods.exemplars.config import Config
from meanshape.methods.exemplars.consensus import Draws, Evidence, best, decide, lay, possible, vote
from meanshape.methods.exemplars.local import STEP, Histograms
from meanshape.methods.exemplars.model import Exemplars, Level

POINTS = 7


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def shapes_of(rng: np.random.Generator, count: int = 40) -> np.ndarray:
    """Return shapes (E, K) that differ, some tens of pixels large."""
    mean = rng.normal(0, 20, (1, POINTS)) + 1j * rng.normal(0, 20, (1, POINTS))
    return 40 + 40j + mean + rng.normal(0, 2, (count, POINTS)) + 1j * rng.normal(0, 2, (count, POINTS))


def evidence_of(odds: np.ndarray, centres: np.ndarray, floor: float, blur: float = 0.0) -> Evidence:
    return Evidence.of(odds, centres, STEP, blur, floor)


# Local detectors


@pytest.mark.parametrize("one", [True, False], ids=["one lattice for all", "one for each"])
def test_a_response_is_the_filter_over_cells_of_both_sizes(rng: np.random.Generator, one: bool) -> None:
    """w . g at each place, g the 4 x 4 cells `apart` steps from each other, of one size after the other."""
    reader = Histograms(5, (1, 3))
    y, x = np.mgrid[:60, :60]
    picture = np.stack([0.1 * n * x + 0.03 * (n + 1) * y for n in range(8)], -1).astype(np.float32)  # linear
    points = np.array([[30.2, 29.7]]) if one else rng.uniform(25, 35, (POINTS, 2))
    filters = rng.normal(size=(POINTS, reader.size)).astype(np.float32)
    found = reader.filtered(reader.read(picture, points), filters)
    assert found.shape == (POINTS, 25)
    for k in range(POINTS):
        middle = points[0 if one else k]
        for s in range(25):
            place = middle + STEP * (np.array([s % 5, s // 5]) - 2)
            cells = [
                place + STEP * apart * (np.array([j, i]) - 1.5)
                for apart in (1, 3)
                for i in range(4)
                for j in range(4)
            ]
            g = [0.1 * n * cx + 0.03 * (n + 1) * cy for cx, cy in cells for n in range(8)]
            assert found[k, s] == pytest.approx(float(filters[k] @ g), rel=1e-3, abs=0.3)
            assert np.allclose(reader.offsets[s], place - middle)


def test_the_first_detectors_look_where_exemplars_lie() -> None:
    """log N(x; mean, (width sd)^2) for x and y, up to a constant."""
    mean, deviation = np.array([[20.0, 30], [40, 25]]), np.array([[2.0, 3], [4, 1]])
    level = Level(48.0, 60, Histograms(9, (1,)), mean, deviation)
    found = level.within(1.5)
    for k in range(2):
        for s, offset in enumerate(level.reader.offsets):
            x, y = 29.5 + offset
            wanted = ((x - mean[k, 0]) / (1.5 * deviation[k, 0])) ** 2
            wanted += ((y - mean[k, 1]) / (1.5 * deviation[k, 1])) ** 2
            assert found[k, s] == pytest.approx(-wanted / 2)


# Hypotheses


@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_a_score_is_the_sum_of_log_probabilities_where_points_come_to_lie(
    rng: np.random.Generator, blur: float
) -> None:
    """sum_k log(p_k(a z_k + b) + floor / S), p_k(x) = exp(o_k(x)) / sum exp(o_k), 0 beyond the lattice."""
    odds, floor, side = rng.normal(0, 3, (POINTS, 81)), 0.4, 9
    centres = rng.uniform(20, 60, POINTS) + 1j * rng.uniform(20, 60, POINTS)
    shapes = (centres + rng.normal(0, 5, (30, POINTS)) + 1j * rng.normal(0, 5, (30, POINTS))).astype(
        np.complex64
    )
    scale, shift = np.full(30, 1.02 + 0.01j), rng.normal(0, 1, 30) + 1j * rng.normal(0, 1, 30)
    found = evidence_of(odds, centres, floor, blur).score(shapes, scale, shift)
    p = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    beyond = 0
    for h in range(30):
        total = 0.0
        for k in range(POINTS):
            off = (scale[h] * shapes[h, k] + shift[h] - centres[k]) / STEP + (4 + 4j)
            column, row = round(off.real), round(off.imag)
            wide = np.pad(p[k].reshape(side, side), 1)
            if blur:
                wide = cv2.GaussianBlur(wide, (0, 0), blur / STEP, borderType=cv2.BORDER_CONSTANT)
            inside = 0 <= column < side and 0 <= row < side
            beyond += not inside
            value = wide[row + 1, column + 1] if inside else 0.0
            if blur and not inside:
                value = wide[min(max(row + 1, 0), 10), min(max(column + 1, 0), 10)]
            total += np.log(value + floor / 81)
        assert found[h] == pytest.approx(total, rel=1e-3)
    assert 3 < beyond < 30 * POINTS / 2


def test_modes_are_the_likeliest_places(rng: np.random.Generator) -> None:
    odds = rng.normal(0, 3, (POINTS, 25))
    centres = rng.uniform(20, 60, POINTS) + 1j * rng.uniform(20, 60, POINTS)
    found = evidence_of(odds, centres, 0.1).modes()
    for k in range(POINTS):
        row, column = divmod(int(odds[k].argmax()), 5)
        assert found[k] == pytest.approx(centres[k] + STEP * ((column - 2) + 1j * (row - 2)))


def test_a_hypothesis_lays_two_points_of_an_exemplar_on_their_modes(rng: np.random.Generator) -> None:
    shapes, modes = shapes_of(rng), shapes_of(rng, 1)[0]
    draws = Draws.make(shapes, 500)
    scale, shift = draws.place(shapes, modes)
    laid = scale[:, None] * shapes[draws.exemplar] + shift[:, None]
    rows = np.arange(500)
    assert np.allclose(laid[rows, draws.first], modes[draws.first])
    assert np.allclose(laid[rows, draws.second], modes[draws.second])
    mean = shapes.mean(0)
    far = np.abs(mean[:, None] - mean)
    assert (far[draws.first, draws.second] >= np.median(far)).all()
    assert len({*draws.exemplar.tolist()}) == len(shapes)
    assert np.array_equal(draws.exemplar, Draws.make(shapes, 500).exemplar)


def test_no_hypothesis_turns_or_stretches_a_face_too_far() -> None:
    degree = np.exp(1j * np.deg2rad([0, 44, -44, 46, -46, 180]))
    assert possible(degree).tolist() == [True, True, True, False, False, False]
    assert possible(np.array([0.59 + 0j, 0.61, 1.59, 1.61])).tolist() == [False, True, True, False]


def test_exemplars_are_laid_on_a_shape_by_least_squares(rng: np.random.Generator) -> None:
    shapes, target = shapes_of(rng), shapes_of(rng, 1)[0] * np.exp(0.3j)
    centred = shapes - shapes.mean(1, keepdims=True)
    scale, shift = lay(centred.astype(np.complex64), (np.abs(centred) ** 2).sum(1), target)
    wanted = np.stack([target.real, target.imag], -1)
    for e in range(len(shapes)):
        own = np.stack([centred[e].real, centred[e].imag], -1)
        laid = apply(similarity(own, wanted), own)
        assert np.allclose(scale[e] * centred[e] + shift[e], laid @ (1, 1j), atol=1e-4)


# Consensus


def test_votes_count_by_their_scores(rng: np.random.Generator) -> None:
    """w_h = exp(s_h / T) / sum; mean = sum w z; variance = sum w |z - mean|^2 / 2."""
    places, scores = shapes_of(rng, 9), rng.normal(0, 8, 9)
    mean, variance = vote(places, scores, 4.0)
    weights = np.exp(scores / 4) / np.exp(scores / 4).sum()
    assert np.allclose(mean, sum(w * z for w, z in zip(weights, places, strict=True)))
    for k in range(POINTS):
        x, y = places[:, k].real, places[:, k].imag
        spread = weights @ (x - weights @ x) ** 2 + weights @ (y - weights @ y) ** 2
        assert variance[k] == pytest.approx(spread / 2)
    assert np.allclose(vote(places, scores, np.inf)[0], places.mean(0))
    assert best(scores, 3).tolist() == sorted(range(9), key=lambda n: -scores[n])[:3]


@pytest.mark.parametrize("match", ["mean", "best"])
def test_a_point_lies_where_votes_and_its_detector_agree(rng: np.random.Generator, match: str) -> None:
    """p(x) ~ exp(o(x)) exp(-|x - mean|^2 / 2 variance)."""
    places = 30 + STEP * np.mgrid[:5, :5].reshape(2, -1).T @ (1j, 1) + rng.normal(0, 9, (POINTS, 1))
    odds, variance = rng.normal(0, 2, (POINTS, 25)), rng.uniform(1, 9, POINTS)
    mean = places.mean(1) + rng.normal(0, 1, POINTS)
    found, spread = decide(odds, places, mean, variance, match)
    for k in range(POINTS):
        p = np.exp(odds[k]) * np.exp(-(np.abs(places[k] - mean[k]) ** 2) / 2 / variance[k])
        p = p / p.sum()
        middle = (p * places[k]).sum()
        assert found[k] == pytest.approx(middle if match == "mean" else places[k, p.argmax()])
        assert spread[k] == pytest.approx(np.sqrt((p * np.abs(places[k] - middle) ** 2).sum() / 2))


def test_all_of_it_finds_the_exemplar_that_the_detectors_saw(rng: np.random.Generator) -> None:
    """A known exemplar, turned and moved, with two detectors misled far away: the votes overrule both."""
    shapes = shapes_of(rng, 60)
    shapes = 40 + 40j + (shapes - 40 - 40j) / 2.5
    true = (shapes[17] - 40 - 40j) * 1.1 * np.exp(0.2j) + 41 + 38j
    offsets = (STEP * (np.mgrid[:51, :51].reshape(2, -1).T - 25)) @ (1j, 1)
    seen = true.copy()
    seen[[1, 4]] += (18 - 9j, -15 + 12j)
    odds = -(np.abs(40 + 40j + offsets - seen[:, None]) ** 2) / 4
    odds[[1, 4]] *= 0.5
    level = SimpleNamespace(
        centres=lambda points: np.full((1, 2), 40.0),
        odds=lambda image, matrix, centres: odds,
        reader=SimpleNamespace(offsets=np.stack([offsets.real, offsets.imag], -1)),
    )
    model = Exemplars(Config(kept=5, temperature=1.0, deviation=0.5, blur=1.0))
    model._first = shapes
    model._draws = Draws.make(shapes, 6000)
    model._guesses = shapes[model._draws.exemplar].astype(np.complex64)
    centred = shapes - shapes.mean(1, keepdims=True)
    model._centred, model._squares = centred.astype(np.complex64), (np.abs(centred) ** 2).sum(1)
    model._prior = np.zeros_like(odds)
    found, spread = model._level(level, None, None, None, True)  # type: ignore[arg-type]
    assert np.abs(found - true).max() < 5  # where the detector alone is off by 20
    assert np.abs(found - true).mean() < 2
    assert (spread > 0).all() and spread.max() < 5
