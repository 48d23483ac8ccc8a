"""Measures and maps by hand: intervals of 95 %, recall at an IoU of 0.4, maps in turn, the mean shape."""

from __future__ import annotations

import numpy as np
import pytest

from meanshape import Box, Sample, Shape
from meanshape.core import metrics
from meanshape.core.geometry import apply, compose
from meanshape.core.markup import markup
from meanshape.evaluation import Evaluation
from meanshape.evaluation.compare import compare
from meanshape.evaluation.detection import Detection, match
from meanshape.methods.mean_shape import MeanShape

COUNT = 600
NORMAL_95 = 1.959964


def evaluation(errors: np.ndarray) -> Evaluation:
    count = len(errors)
    return Evaluation(
        ids=tuple(map(str, range(count))),
        errors=np.repeat(errors[:, None], 5, 1),
        normalisers=dict.fromkeys(metrics.NORMALISERS, np.full(count, 100.0)),
        markup=markup("mtfl5"),
        norm="inter_pupil",
        missed=np.zeros(count, bool),
        seconds=np.full(count, 0.001),
    )


def test_intervals_are_of_95_percent() -> None:
    """Of many normal values: the mean plus and minus 1.96 standard errors. 90 % would be a sixth narrower."""
    values = np.random.default_rng(3).normal(5, 1, COUNT)
    half = NORMAL_95 * values.std() / np.sqrt(COUNT)
    other = values + np.random.default_rng(4).normal(0, 1, COUNT)
    apart = NORMAL_95 * (values - other).std() / np.sqrt(COUNT)
    found = (
        (metrics.bootstrap_interval(values), values.mean(), half),
        (evaluation(values).interval() or (0, 0), values.mean(), half),
        (compare(evaluation(values), evaluation(other)).interval, (values - other).mean(), apart),
    )
    for (low, high), mean, wanted in found:
        assert (low + high) / 2 == pytest.approx(mean, abs=0.15 * wanted)
        assert (high - low) / 2 == pytest.approx(wanted, rel=0.08)


def test_a_recall_s_interval_is_of_95_percent_too() -> None:
    """One face a photo: a binomial share."""
    hits = np.random.default_rng(5).random(COUNT) < 0.7
    found = Detection("any", hits, np.arange(COUNT), np.zeros(COUNT, int))
    low, high = found.interval()
    half = 100 * NORMAL_95 * np.sqrt(hits.mean() * (1 - hits.mean()) / COUNT)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)


@pytest.mark.parametrize(("overlap", "hit"), [(0.39, False), (0.41, True), (0.48, True)])
def test_a_face_is_found_from_an_overlap_of_four_tenths(overlap: float, hit: bool) -> None:
    by = 100 * (1 - overlap) / (1 + overlap)
    face = Box(0, 0, 100, 100)
    found, wrong = match([face.shifted(by, 0)], [face], [])
    assert found == [hit] and wrong == int(not hit)


def test_maps_are_done_one_after_the_other() -> None:
    """One by one and many at once: maps that stretch do not commute, as turns do."""
    first, second = np.random.default_rng(6).normal(size=(2, 3, 2, 3))
    points = np.random.default_rng(7).normal(size=(4, 2))
    many = apply(compose(first, second), points)
    for n in range(3):
        after = [second[n, :, :2] @ (first[n, :, :2] @ p + first[n, :, 2]) + second[n, :, 2] for p in points]
        assert np.allclose(many[n], after)
        assert np.allclose(apply(compose(first[n], second[n]), points), after)


def test_the_mean_shape_lies_where_faces_lie_in_their_boxes() -> None:
    """Boxes that are off to one side: so is the answer, at the size that faces have in them."""
    rng = np.random.default_rng(8)
    own = np.array([[0.2, 0.1], [0.5, 0.12], [0.3, 0.3], [0.22, 0.5], [0.48, 0.52]])  # not in the middle
    samples = []
    for n in range(12):
        side, (x, y) = rng.uniform(40, 120), rng.uniform(0, 50, 2)
        box = Box(x, y, x + side, y + 1.2 * side)
        points = own * (side, 1.2 * side) + (x, y)
        samples.append(Sample(str(n), np.zeros((9, 9, 3), np.uint8), Shape(points, "mtfl5"), box))
    model = MeanShape().fit(samples)
    found = model.predict(np.zeros((200, 200, 3), np.uint8), Box(10, 20, 110, 140)).points
    assert np.allclose(found, own * (100, 120) + (10, 20), atol=1e-6)
