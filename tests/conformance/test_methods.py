"""Every registered method: fitted by its `tiny()` on rendered faces, then asked whatever people ask."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

import checks
import numpy as np
import pytest
import weight_checks

from meanshape.core import config, registry
from meanshape.core.sample import Sample

NAMES = registry.names("methods")
BASELINE = "mean_shape"
"""It cannot beat itself; it must be what a recomputation says."""
BRIEF = {
    "dan": {"steps": "8, 6"},
    "dcnn": {"steps": "8, 4, 2"},
    "emotional_dan": {"cascade.steps": "8, 6", "steps": "4"},
    "facepp": {"steps": "4, 8, 3, 2"},
    "integral": {"steps": "12"},
    "mtcnn": {"recipe.steps": "12, 12, 12", "recipe.random_windows": "100, 50, 50"},
    "tcdcn": {"steps": "20"},
    "tcnn": {"steps": "20", "tweak_steps": "6"},
}
"""Settings with which two trainings take less time than one that learns; they run the same code."""

pytestmark = [
    pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in NAMES])
]


@pytest.fixture
def kind(name):
    return registry.method(name)


def test_its_card_and_its_file(name, kind):
    module = import_module(f"meanshape.methods.{name}")
    checks.method_card(registry.card("methods", name))
    assert kind.name == name and module.MODEL is kind
    assert module.__doc__ and kind.__doc__


def test_settings_come_back_from_toml(name, kind):
    presets = getattr(sys.modules[kind.Config.__module__], "PRESETS", {})
    checks.config_round_trips(kind, presets.values())


def test_unfitted_it_refuses(name, kind, tmp_path):
    if not kind.needs_weights:
        pytest.skip(f"{name} is fitted by nature")
    checks.refuses_unfitted(kind, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_it_learns(name, ready, train, others):
    """Nine of the 48 faces lack two points: they must not spoil the rest."""
    model = ready(name).fitted
    for sample in others:
        checks.complete(model.predict(sample.image, sample.box), model.markup)
    if name == BASELINE:
        checks.is_the_mean(model, train, others)
    else:
        checks.beats_the_mean(model, train, others)


def test_same_seed_same_result(name, kind, ready, train, others, tmp_path):
    first = ready(name).fitted  # libraries may draw from global generators when they are imported
    if name not in BRIEF:
        checks.same_seed_same_result(kind.tiny, train, others, first, tmp_path)
        return
    brief = config.override(kind.tiny().config, BRIEF[name])
    checks.same_seed_same_result(lambda: kind(brief), train[:12], others[:6], None, tmp_path)


def test_read_back_it_predicts_the_same(name, ready, others):
    made = ready(name)
    checks.survives_saving(made.fitted, made.folder, others, registry.card("methods", name)["deep"])


def test_what_its_card_does_not_name_is_not_read(name, ready, others, tmp_path):
    weight_checks.reads_only_its_card(type(ready(name).loaded), ready(name).folder, others[:2], tmp_path)


def test_onnx_and_torch_agree_at_any_batch(name, ready, others):
    """For a method without torch: a batch says what each picture alone does."""
    checks.agrees_at_any_batch(ready(name).fitted, ready(name).loaded, others)


def test_any_picture(name, ready, others):
    checks.takes_any_picture(ready(name).loaded, others[0])


def test_any_box(name, ready, others):
    checks.takes_any_box(ready(name).loaded, others[0])


def test_pictures_stay_as_they_were(name, ready, others):
    checks.leaves_its_input_alone(ready(name).loaded, others[0])


def test_points_follow_a_shift_in_a_huge_picture(name, ready, others):
    checks.follows_shift(ready(name).loaded, others[0])


def test_points_follow_a_scale(name, ready, others):
    checks.follows_scale(ready(name).loaded, others)


def test_points_follow_a_mirror(name, ready, others):
    checks.follows_mirror(ready(name).loaded, others)


def test_an_earlier_shape_or_five_points_may_start_it(name, ready, others):
    model, sample = ready(name).loaded, others[0]
    starts = [sample.shape.to(model.markup), sample.shape.to("mtfl5")]
    for start in starts:
        checks.complete(model.predict(sample.image, sample.box, start=start), model.markup)


def test_what_it_cannot_learn_from_is_said(name, kind):
    empty = Sample("none", np.zeros((9, 9, 3), np.uint8))
    for samples in ([], [empty], [replace(empty, shape=None)]):
        with pytest.raises(ValueError, match="points"):
            kind.tiny().fit(samples)
