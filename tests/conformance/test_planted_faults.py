"""Plug-ins that are broken on purpose: each conformance check catches the fault that it is for.

A check that nothing can fail is no check. Every class here is the sound `MeanShape`, or
another sound plug-in, with one fault.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import checks
import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import BoxError, ConfigError, MeanshapeError
from meanshape.core.face import Face
from meanshape.core.markup import Conversion, markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic import face
from meanshape.detectors.base import FaceDetector
from meanshape.methods.mean_shape import MeanShape

FAULT = (AssertionError, MeanshapeError)


def fitted(kind, train):
    return kind.tiny().fit(train, seed=1)


# Methods


class Moody(MeanShape):
    """Draws from an entropy of its own instead of the seed."""

    def _fit(self, train, valid, *, seed, progress):
        super()._fit(train, valid, seed=seed, progress=progress)
        self.mean = self.mean + np.random.default_rng().normal(0, 1e-3, self.mean.shape)


class Meddler(MeanShape):
    """Draws from numpy's global generator."""

    def _fit(self, train, valid, *, seed, progress):
        np.random.seed(seed)
        super()._fit(train, valid, seed=seed, progress=progress)


class OffByOne(MeanShape):
    """Counts pixels from 1."""

    def _predict_batch(self, images, boxes, starts, **options):
        return super()._predict_batch(images, boxes, starts) + 1


class OneSided(MeanShape):
    """Turns faces lit from one side into the mirror and back, but forgets to name their points anew."""

    def _predict_batch(self, images, boxes, starts, **options):
        points = super()._predict_batch(images, boxes, starts)
        for n, image in enumerate(images):
            half = image.shape[1] // 2
            if image[:, :half].mean() > image[:, -half:].mean():
                points[n] = points[n][list(self.markup.mirror)]
        return points


class Smearer(MeanShape):
    """Works in the caller's picture."""

    def _predict_batch(self, images, boxes, starts, **options):
        images[0][:] //= 2
        return super()._predict_batch(images, boxes, starts)


class Homebody(MeanShape):
    """Places the box's points where the picture's middle is."""

    def _predict_batch(self, images, boxes, starts, **options):
        middles = [((i.shape[1] - 1) / 2, (i.shape[0] - 1) / 2) for i in images]
        moved = [
            b.shifted(m[0] - b.center[0], m[1] - b.center[1]) for b, m in zip(boxes, middles, strict=True)
        ]
        return super()._predict_batch(images, moved, starts)


class Forgetful(MeanShape):
    """Saves half the digits."""

    def _save(self, folder):
        np.savez(folder / "mean.npz", mean=self.mean.astype(np.float16))


class Timid(MeanShape):
    """Answers nothing where the box leaves the picture."""

    def _predict_batch(self, images, boxes, starts, **options):
        points = super()._predict_batch(images, boxes, starts)
        for n, (image, box) in enumerate(zip(images, boxes, strict=True)):
            if not box.iou(Box.whole(image.shape[1], image.shape[0])) or box.left < -0.5:
                points[n] = np.nan
        return points


class Hasty(MeanShape):
    """Takes the first box for all."""

    def _predict_batch(self, images, boxes, starts, **options):
        return super()._predict_batch(images, [boxes[0]] * len(boxes), starts)


class Choosy(MeanShape):
    """Takes arrays of three channels only."""

    def predict(self, image, box=None, **options):
        height, width, _ = image.shape
        return Shape((box or Box.whole(width, height)).absolute(self.mean))


class Blind(MeanShape):
    """Learns nothing worth knowing."""

    def _fit(self, train, valid, *, seed, progress):
        self.mean = np.random.default_rng(seed).random((68, 2))


class Eager(MeanShape):
    """Predicts and is saved before it was fitted."""

    def _fitted(self):
        self.mean = np.full((68, 2), 0.5)
        return markup("ibug68")


@dataclass
class Loose:
    """Settings that anyone may change."""

    rate: float = 0.1


@dataclass(frozen=True)
class Lossy:
    """Settings that TOML turns into others."""

    sizes: list = field(default_factory=lambda: (1, 2))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (OffByOne, lambda model, some: checks.follows_scale(model, some)),
        (OneSided, lambda model, some: checks.follows_mirror(model, some)),
        (Smearer, lambda model, some: checks.leaves_its_input_alone(model, some[0])),
        (Homebody, lambda model, some: checks.follows_shift(model, some[0])),
        (Timid, lambda model, some: checks.takes_any_box(model, some[0])),
        (Hasty, lambda model, some: checks.agrees_at_any_batch(model, model, some)),
        (Choosy, lambda model, some: checks.takes_any_picture(model, some[0])),
    ],
)
def test_a_faulty_method_is_caught(kind, check, train, others):
    check(fitted(MeanShape, train), others)  # the sound one passes
    with pytest.raises((*FAULT, ValueError)):
        check(fitted(kind, train), others)


class Diarist(MeanShape):
    """Writes the time into its weights."""

    def _save(self, folder):
        super()._save(folder)
        (folder / "diary.txt").write_text(str(time.perf_counter_ns()))


@pytest.mark.parametrize("kind", [Moody, Meddler, Diarist])
def test_a_method_that_ignores_its_seed(kind, train, others, tmp_path):
    checks.same_seed_same_result(MeanShape.tiny, train, others, None, tmp_path / "sound")
    with pytest.raises(FAULT):
        checks.same_seed_same_result(kind.tiny, train, others, None, tmp_path / "faulty")


def test_a_method_that_learns_nothing(train, others):
    with pytest.raises(FAULT):
        checks.is_the_mean(fitted(Blind, train), train, others)
    with pytest.raises(FAULT):
        checks.beats_the_mean(fitted(Blind, train), train, others)
    with pytest.raises(FAULT):
        checks.beats_the_mean(fitted(MeanShape, train), train, others)


def test_a_method_that_saves_half(train, others, tmp_path):
    sound = fitted(MeanShape, train)
    checks.survives_saving(sound, sound.save(tmp_path / "sound"), others, deep=False)
    model = fitted(Forgetful, train)
    with pytest.raises(FAULT):
        checks.survives_saving(model, model.save(tmp_path / "model"), others, deep=False)


def test_a_method_that_answers_unfitted(tmp_path):
    with pytest.raises(AssertionError):
        checks.refuses_unfitted(Eager, tmp_path / "model")


@pytest.mark.parametrize("kind", [Loose, Lossy])
def test_settings_that_do_not_hold(kind):
    with pytest.raises((AssertionError, ConfigError)):
        checks.config_round_trips(type("Odd", (MeanShape,), {"Config": kind}))


@pytest.mark.parametrize("gone", ["title", "family", "year", "summary", "deep", "markups"])
def test_a_method_card_with_a_gap(gone):
    card = registry.card("methods", "mean_shape")
    checks.method_card(card)
    with pytest.raises((AssertionError, KeyError)):
        checks.method_card({key: value for key, value in card.items() if key != gone})
    with pytest.raises(AssertionError):
        checks.method_card(card | {"family": "magic"})


# Detectors

PICTURE = np.zeros((60, 90, 3), np.uint8)
TRUTH = Box(50, 10, 80, 45)


class Planted(FaceDetector):
    """Answers the faces that `answer` makes."""

    name = "whole_image"

    def __init__(self, answer):
        self.answer = answer

    def detect(self, image, **options):
        return self.answer(image)

    def _detect(self, image, **options):
        return self.answer(image)


def smear(image):
    image[:] = 1
    return (Face(TRUTH),)


@pytest.mark.parametrize(
    "answer",
    [
        lambda image: (Face(Box(TRUTH.right, TRUTH.top, TRUTH.left, TRUTH.bottom)),),
        lambda image: (Face(Box(TRUTH.top, TRUTH.left, TRUTH.bottom, TRUTH.right)),),
        lambda image: (Face(TRUTH, score=0.1), Face(TRUTH, score=0.9)),
        lambda image: (Face(TRUTH.shifted(500, 0)),),
        lambda image: [Face(TRUTH)],
        lambda image: (Face(TRUTH.shifted(0, np.random.default_rng().random())),),
        lambda image: (),
        smear,
    ],
    ids=["inverted box", "axes swapped", "worst first", "outside", "a list", "moody", "blind", "smears"],
)
def test_a_faulty_detector_is_caught(answer):
    checks.detector_finds(Planted(lambda image: (Face(TRUTH),)), PICTURE.copy(), [TRUTH], 1.0)
    with pytest.raises((*FAULT, BoxError)):
        checks.detector_finds(Planted(answer), PICTURE.copy(), [TRUTH], 1.0)


# Data sets


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    module = registry.dataset("folder")
    return module.samples(module.miniature(tmp_path_factory.mktemp("folder")))


def moved(sample: Sample, by: float) -> Sample:
    return replace(sample, shape=sample.shape.with_points(sample.shape.points + by))


@pytest.mark.parametrize("by", [1.0, -1.0])
def test_a_reader_that_counts_from_one(drawn, by):
    checks.points_lie_where_drawn(drawn, {"ibug68": 30})
    with pytest.raises(AssertionError, match="the nose is not at"):
        checks.points_lie_where_drawn([moved(sample, by) for sample in drawn], {"ibug68": 30})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda samples: [replace(sample, id="same") for sample in samples],
        lambda samples: [moved(sample, 1000) for sample in samples],
        lambda samples: [replace(samples[0], box=Box(0, 0, 1, 1))],
        lambda samples: [replace(samples[0], shape=samples[0].shape.to("ibug51"))],
        lambda samples: [],
    ],
    ids=["ids", "points outside", "box elsewhere", "another mark-up", "empty"],
)
def test_a_faulty_reader_is_caught(drawn, spoil):
    checks.samples_are_whole(drawn, "ibug68")
    with pytest.raises(AssertionError):
        checks.samples_are_whole(spoil(drawn), "ibug68")


# Mark-ups


def test_a_mark_up_with_a_wrong_mirror():
    sound = markup("mtfl5")
    for mirror in ((0, 1, 2, 3, 4), (1, 0, 2, 3, 4), (3, 4, 2, 0, 1)):
        with pytest.raises(AssertionError):
            checks.markup_is_symmetric(replace(sound, mirror=mirror))
    with pytest.raises(MeanshapeError):
        replace(sound, mirror=(1, 2, 0, 3, 4))


def test_a_mark_up_whose_conversion_mixes_up_the_eyes():
    sound = markup("ibug68")
    points = np.random.default_rng(0).normal(size=(68, 2))
    checks.markup_converts(sound, points)
    right, left, *rest = sound.conversion("mtfl5").sources
    wrong = Conversion("mtfl5", (left[:3], right, *rest), "all but five")
    with pytest.raises(AssertionError, match="mixed up"):
        checks.markup_converts(replace(sound, conversions={"mtfl5": wrong}), points)


def test_a_mark_up_that_calls_left_what_is_right():
    points = face(2, 64, pitch=0, yaw=0, roll=0).shape.to("mtfl5").points
    sound = markup("mtfl5")
    checks.markup_fits_a_face(sound, points)
    names = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")
    with pytest.raises(AssertionError, match="lies left of"):
        checks.markup_fits_a_face(replace(sound, points=names, left_eye=(0,), right_eye=(1,)), points)
