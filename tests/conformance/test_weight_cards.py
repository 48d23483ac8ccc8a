"""Every folder of weights that comes with the package: its card, and that its files say what they said."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import weight_checks
from make_references import SCENE, STAGES, looking

import meanshape as ms
from meanshape.core import registry, weights

HERE = Path(__file__).parent
REFERENCES = json.loads((HERE / "references.json").read_text("utf-8"))
FACES = REFERENCES["faces"]


def box(picture):
    """Return the box of the face in a stored picture."""
    return ms.Box(*FACES[picture]["box"])


@pytest.mark.parametrize("name", weights.names())
def test_its_card_says_everything(name):
    folder = weights.folder(name)
    weight_checks.weights_card(folder)
    card = weights.read_card(folder)
    assert card.name == name and card.method in registry.names("methods")
    assert card.bytes(folder) <= 20e6


@pytest.mark.parametrize("picture", FACES)
@pytest.mark.parametrize("name", sorted({*weights.names(), *STAGES}))
def test_it_reproduces_the_stored_points(name, picture):
    stored = FACES[picture]["points"]
    assert name in stored, f"run {HERE.name}/make_references.py: {name} has no stored points"
    model, stages = STAGES.get(name, (name, None))
    options = {} if stages is None else {"stages": stages}
    weight_checks.gives_reference_points(
        ms.load(model), HERE / picture, box(picture), stored[name], **options
    )


@pytest.mark.parametrize("picture", FACES)
@pytest.mark.parametrize("name", weights.names())
def test_the_stored_points_are_near_the_true_ones(name, picture):
    kind = ms.markup(weights.read_card(weights.folder(name)).markup)
    truth = ms.Shape(FACES[picture]["truth"])
    placed = ms.Shape(FACES[picture]["points"][name], kind)
    if truth.markup.name in kind.conversions:
        kind = truth.markup
    off = placed.to(kind).points - truth.to(kind).points
    assert np.linalg.norm(off, axis=1).max() < 0.2 * box(picture).size


@pytest.mark.parametrize("name", REFERENCES["labels"])
def test_it_says_of_the_face_what_it_said(name):
    said = ms.load(name).attributes(HERE / "face.png", box("face.png"))
    for what, chances in REFERENCES["labels"][name].items():
        assert said[what] == pytest.approx(chances, abs=2e-3)


@pytest.mark.parametrize("name", REFERENCES["detectors"])
def test_a_detector_finds_the_stored_faces(name):
    faces = registry.detector(name)().detect(HERE / SCENE)
    stored = REFERENCES["detectors"][name]
    assert len(faces) == len(stored)
    for found, about in zip(faces, stored, strict=True):
        assert found.box.as_list() == pytest.approx(about["box"], abs=0.1)
        assert found.score == pytest.approx(about["score"], abs=2e-3)
        points = [] if found.shape is None else found.shape.points
        assert np.asarray(points) == pytest.approx(np.array(about["points"]), abs=0.1)


def test_all_that_is_shipped_is_stored_and_nothing_that_is_gone():
    for about in FACES.values():
        assert set(about["points"]) == {*weights.names(), *STAGES}
    assert set(REFERENCES["labels"]) == {n for n in weights.names() if hasattr(ms.load(n), "attributes")}
    assert set(REFERENCES["detectors"]) == set(looking())


def test_a_crop_half_a_pixel_off_is_noticed(monkeypatch):
    right = cv2.warpAffine

    def off(image, matrix, *rest, **options):
        matrix = np.array(matrix, float)
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5)
        return right(image, matrix, *rest, **options)

    monkeypatch.setattr(cv2, "warpAffine", off)
    with pytest.raises(AssertionError, match="from the stored points"):
        test_it_reproduces_the_stored_points("dan", "face.png")
