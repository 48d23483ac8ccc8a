"""Every data set on its miniature, rendered faces among them.

`tests/datasets/test_every_data_set.py` has what only files on disk can go wrong with: missing and truncated
photos, lists, broken lines. Here is what each module promises to those who only loop over them.
"""

from __future__ import annotations

import inspect
from collections import defaultdict

import checks
import pytest

from meanshape.core import registry
from meanshape.datasets import load_data, splits_of

NAMES = registry.names("datasets")
NOSE = defaultdict(lambda: 29)
NOSE |= {
    "ibug68": 30,
    "imm73": 30,
    "mtfl5": 2,
    "afw6": 2,
    "aflw21": 14,
    "bioid20": 14,
    "lfpw29": 20,
    "muct76": 67,
    "xm2vts68": 67,
    "lfpw35": 20,
}
"""Where the one dark pixel of a drawn face is."""


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory):
    module = registry.dataset(request.param)
    root = module.miniature(tmp_path_factory.mktemp(request.param) / "人 faces: é".replace(":", ""))
    return request.param, module, root


def test_it_has_what_every_data_set_has(made):
    name, module, _ = made
    assert module.__doc__ and module.card.name == name
    assert tuple(module.card.splits) == splits_of(name)
    assert "allow_missing" in inspect.signature(module.samples).parameters
    for part in ("samples", "verify", "miniature"):
        assert getattr(module, part).__doc__, part


def test_its_samples_are_whole(made):
    _, module, root = made
    checks.samples_are_whole(module.samples(root), module.card.markup)


def test_its_points_lie_where_they_were_drawn(made):
    name, module, root = made
    if name == "synthetic":
        pytest.skip("rendered faces have no dark pixel; see test_conventions.py")
    checks.points_lie_where_drawn(module.samples(root), NOSE)


def test_its_splits_can_be_named(made):
    name, module, root = made
    everything = {sample.id for sample in module.samples(root)}
    for split in splits_of(name):
        found = load_data(f"{name}:{root}:{split}", allow_missing=True)
        assert {sample.id for sample in found} <= everything


def test_verify_finds_nothing_but_what_a_miniature_lacks(made):
    _, module, root = made
    assert {problem.kind for problem in module.verify(root)} <= {"count"}
