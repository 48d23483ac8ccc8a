"""Weights that are broken on purpose, so that it is known what each check in `weight_checks.py` catches."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import weight_checks as checks
from test_planted_faults import PICTURE, fitted

from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import WeightsError
from meanshape.methods.mean_shape import MeanShape


class Prying(MeanShape):
    """Reads beside its card."""

    def _load(self, folder):
        super()._load(folder.path)


class Trusting(MeanShape):
    """Takes whatever settings it finds, and what it cannot read for nothing."""

    def _load(self, folder):
        path = folder.path / "mean.npz"
        if path.stat().st_size > 100:
            return super()._load(folder.path)
        self.mean = np.zeros((len(self._fitted()), 2))
        return None


@pytest.mark.parametrize("kind", [Prying, Trusting])
def test_a_method_that_reads_what_its_card_does_not_name(kind, train, others, tmp_path):
    folder = fitted(kind, train).save(tmp_path / "model")
    with pytest.raises((AssertionError, WeightsError)):
        checks.reads_only_its_card(kind, folder, others[:2], tmp_path / "scratch")
    checks.reads_only_its_card(MeanShape, folder, others[:2], tmp_path / "sound")


@pytest.fixture
def shelf(train, tmp_path):
    """A folder of weights with nothing to blame, and a function that writes its card anew."""
    folder = fitted(MeanShape, train).save(tmp_path / "mine")
    more = {
        "data": ["synthetic:48@96"],
        "learnt_from": ["synthetic:train"],
        "command": "meanshape train",
        "seed": 1,
        "commit": "0" * 40,
    }
    card = replace(weights.read_card(folder), licence="free", more=more | {"metrics": {"nme": 9.9}})

    def write(**changes):
        return weights.write_card(folder, replace(card, **changes), card.files)

    write()
    checks.weights_card(folder)
    return SimpleNamespace(folder=folder, card=card, write=write)


def test_a_card_with_a_wrong_hash(shelf):
    path = shelf.folder / "card.toml"
    digest = shelf.card.files["mean.npz"]
    path.write_text(path.read_text("utf-8").replace(digest, digest[::-1]), "utf-8")
    with pytest.raises(WeightsError, match="SHA-256"):
        checks.weights_card(shelf.folder)


@pytest.mark.parametrize("gone", ["data", "learnt_from", "command", "seed", "commit", "metrics"])
def test_a_card_with_a_gap(shelf, gone):
    shelf.write(more={key: value for key, value in shelf.card.more.items() if key != gone})
    with pytest.raises(AssertionError, match=gone):
        checks.weights_card(shelf.folder)


def test_a_card_without_terms_or_with_too_good_ones(shelf):
    shelf.write(licence="not stated")
    with pytest.raises(AssertionError, match="licence"):
        checks.weights_card(shelf.folder)
    shelf.write(commercial_use=True)
    checks.weights_card(shelf.folder)
    for more in (
        {"data": ["300-W train", "synthetic"]},
        {"learnt_from": ["synthetic:train", "ibug300w:train"]},
        {"confidence": {"data": "synthetic:validation", "tuned_on": "ibug300w:validation"}},
    ):
        shelf.write(commercial_use=True, more=dict(shelf.card.more) | more)
        with pytest.raises(AssertionError, match="free for any use"):
            checks.weights_card(shelf.folder)


def test_a_file_that_no_card_knows(shelf):
    (shelf.folder / "notes.txt").write_text("?")
    with pytest.raises(AssertionError):
        checks.weights_card(shelf.folder)


def test_weights_that_say_something_else(train):
    model, box = fitted(MeanShape, train), Box(1, 2, 30, 40)
    points = model.predict(PICTURE, box).points
    checks.gives_reference_points(model, PICTURE, box, points.round(3).tolist())
    with pytest.raises(AssertionError, match="stored points"):
        checks.gives_reference_points(model, PICTURE, box, points + np.array([0.2, 0]))
