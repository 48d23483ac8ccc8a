"""The net under the rope: what is shipped measures on real faces what it measured when it was stored.

After a change that is meant to move a figure, `python tests/net/make_figures.py` shows and stores the new
ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from figures import STAGED, Figures, differences, looking, of_detector, of_model, of_pipeline

from meanshape.core import weights

pytestmark = pytest.mark.data
STORED = json.loads(Path(__file__).with_name("figures.json").read_text("utf-8"))


def holds(found: Figures, name: str) -> None:
    """Fail with every figure that moved."""
    moved = differences(name, found, STORED[name])
    assert not moved, f"{name}: {'; '.join(moved)}"


@pytest.mark.parametrize("name", weights.names())
def test_a_model_measures_what_it_measured(name):
    holds(of_model(name), f"model {name}")


@pytest.mark.parametrize("name", STAGED)
def test_a_model_cut_short_measures_what_it_measured(name):
    holds(of_model(name, stages=1), f"model {name}, stages=1")


@pytest.mark.parametrize("name", looking())
def test_a_detector_measures_what_it_measured(name):
    holds(of_detector(name), f"detector {name}")


def test_the_pipeline_measures_what_it_measured():
    holds(of_pipeline(), "pipeline")


def test_nothing_shipped_goes_unmeasured():
    names = {f"model {name}" for name in weights.names()} | {f"model {name}, stages=1" for name in STAGED}
    assert set(STORED) == names | {f"detector {name}" for name in looking()} | {"pipeline"}
