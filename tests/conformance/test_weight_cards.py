"""Every folder of weights that comes with the package: its card, and that its files say what they said."""

from __future__ import annotations

import json
from pathlib import Path

import checks
import pytest

import meanshape as ms
from meanshape.core import registry, weights

HERE = Path(__file__).parent
REFERENCES = json.loads((HERE / "references.json").read_text("utf-8"))


@pytest.mark.parametrize("name", weights.names())
def test_its_card_says_everything(name):
    folder = weights.folder(name)
    checks.weights_card(folder)
    card = weights.read_card(folder)
    assert card.name == name and card.method in registry.names("methods")
    assert card.bytes(folder) <= 20e6


@pytest.mark.parametrize("name", weights.names())
def test_it_reproduces_the_stored_points(name):
    assert name in REFERENCES["points"], f"run {HERE.name}/make_references.py: {name} has no stored points"
    image, box = HERE / REFERENCES["image"], ms.Box(*REFERENCES["box"])
    checks.gives_reference_points(ms.load(name), image, box, REFERENCES["points"][name])


@pytest.mark.parametrize("name", weights.names())
def test_the_stored_points_are_near_the_true_ones(name):
    kind = ms.markup(weights.read_card(weights.folder(name)).markup)
    true = ms.Shape(REFERENCES["truth"]).to(kind).points
    checks.gives_reference_points(
        ms.load(name), HERE / REFERENCES["image"], ms.Box(*REFERENCES["box"]), true, 15
    )


def test_nothing_is_stored_of_weights_that_are_gone():
    assert set(REFERENCES["points"]) == set(weights.names())
