"""Every registered detector, on rendered scenes and on pictures without a face."""

from __future__ import annotations

import inspect

import checks
import numpy as np
import pytest

from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.datasets.synthetic import face, scene
from meanshape.detectors.base import accepts
from meanshape.detectors.given import Given

NAMES = registry.names("detectors")
SHARE = {"whole_image": 0.0}
"""Of the faces in scenes, what a detector must find; 0.7 where nothing is said, 0.9 in plain ones."""


@pytest.fixture(scope="module")
def scenes():
    """Three pictures, wider than high, with two or three faces each, and their true boxes."""
    plain = {"occlusion": 0, "degrade": False}
    made = [scene(seed, size=(320, 240), faces=2, **plain) for seed in (1, 2, 3)]
    return [(picture, [shape.box() for shape in shapes]) for picture, shapes in made]


@pytest.fixture(scope="module")
def hard_scenes():
    """Twelve pictures as they come: faces partly covered, blurred, dark or noisy."""
    made = [scene(seed, size=(320, 240), faces=2) for seed in range(1, 13)]
    return [(picture, [shape.box() for shape in shapes]) for picture, shapes in made]


@pytest.fixture(params=NAMES)
def detector(request):
    """A detector as it is made without a word; `given` needs boxes."""
    if request.param == "given":
        return Given([Box(20, 30, 60, 80, 0.5), Box(1, 2, 40, 50, 0.9)])
    kind = registry.detector(request.param)
    if request.param in weights.names() or not inspect.signature(kind).parameters.get("weights"):
        return kind()
    pytest.skip(f"the package has no weights of {request.param}")


@pytest.mark.parametrize("name", NAMES)
def test_its_card(name):
    card = registry.card("detectors", name)
    assert card["title"] and card["summary"] and len(card["canonical"]) == 4
    assert registry.detector(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_its_options(name):
    """What it does not know is an error; what runs networks runs them on any device."""
    kind = registry.detector(name)
    made = inspect.signature(kind).parameters
    assert not accepts(kind._detect, "no_such_option")
    assert ("threads" in made) == ("providers" in made)
    assert ("min_face" in made) == accepts(kind._detect, "min_face")


def test_it_finds_the_faces_of_a_scene(detector, scenes):
    found = 0.0
    for picture, boxes in scenes:
        made = Given(boxes) if detector.name == "given" else detector
        share = SHARE.get(detector.name, 0.0)
        checks.detector_finds(made, picture, boxes, share)
        hits = [made.canonical(one.box) for one in made.detect(picture)]
        found += np.mean([any(hit.iou(box) >= 0.4 for hit in hits) for box in boxes]) / len(scenes)
    assert found >= SHARE.get(detector.name, 0.9)


def test_it_finds_most_faces_of_hard_scenes(detector, hard_scenes):
    hits = []
    for picture, boxes in hard_scenes:
        made = Given(boxes) if detector.name == "given" else detector
        seen = [made.canonical(one.box) for one in made.detect(picture)]
        hits += [any(one.iou(box) >= 0.4 for one in seen) for box in boxes]
    assert np.mean(hits) >= SHARE.get(detector.name, 0.7)


def test_a_face_that_fills_the_picture(detector):
    sample = face(3, 160, fill=0.8, yaw=0, occlusion=0)
    made = Given([sample.box]) if detector.name == "given" else detector
    checks.detector_finds(made, sample.pixels(), [sample.box], 1.0)


def test_any_picture(detector, scenes):
    picture = np.repeat(scenes[0][0][..., :1], 3, axis=2)
    wanted = detector.detect(picture)
    checks.same_everywhere(lambda image: detector.detect(image) == wanted, np.ascontiguousarray(picture))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (11, 13), (2000, 30)])
def test_tiny_and_narrow_pictures(detector, size):
    if detector.name == "given":
        pytest.skip("its boxes are not of this picture")
    checks.detector_answers(detector, np.full((*size, 3), 120, np.uint8))


def test_nothing_is_found_in_noise(detector):
    if detector.name in ("given", "whole_image"):
        pytest.skip(f"{detector.name} does not look")
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert len(checks.detector_answers(detector, noise)) == 0


def test_boxes_follow_a_shift(detector, scenes):
    if detector.name in ("given", "whole_image"):
        pytest.skip(f"{detector.name} does not look")
    picture, boxes = scenes[0]
    moved = np.pad(picture, ((37, 0), (53, 0), (0, 0)), "symmetric")
    checks.detector_finds(detector, moved, [box.shifted(53, 37) for box in boxes], 0.5)
