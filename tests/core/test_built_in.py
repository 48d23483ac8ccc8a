"""Settings that are built in: what was written with them loads where it says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from meanshape.core import config
from meanshape.core.built_in import By
from meanshape.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Crop:
    side: int = 64

    built_in: ClassVar[Mapping[str, Any]] = {"scale": 1.6, "kernels": (5, 3), "limit": None}


@dataclass(frozen=True, slots=True)
class Net:
    steps: int = 100
    crop: Crop = field(default_factory=Crop)

    before: ClassVar[Mapping[str, Any]] = {"steps": 10}
    built_in: ClassVar[Mapping[str, Any]] = {"jitter": {"shift": 0.05, "inner": {"turn": 8.0}}}
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"warm_up": 300, "augmentation": By("augment")}


@pytest.mark.parametrize(
    "text",
    [
        "[crop]\nscale = 1.6",
        "[crop]\nkernels = [5, 3]",
        '[crop]\nlimit = "none"',
        "[jitter]\nshift = 0.05\n[jitter.inner]\nturn = 8",
        "warm_up = 300",
        "warm_up = 5",
        "[augmentation]\nblur = 0.7",
    ],
)
def test_what_says_what_is_built_in_or_was_for_training_only_loads(text):
    assert config.from_toml(Net, text) == Net()


@pytest.mark.parametrize(
    ("text", "key", "value", "built"),
    [
        ("[crop]\nscale = 1.7", "crop.scale", "1.7", "1.6"),
        ("[crop]\nkernels = [5, 5]", "crop.kernels", "[5, 5]", "[5, 3]"),
        ("[crop]\nlimit = 2", "crop.limit", "2", "'none'"),
        ("[jitter.inner]\nturn = 9.0", "jitter.inner.turn", "9.0", "8.0"),
    ],
)
def test_another_value_is_refused_in_one_sentence(text, key, value, built):
    with pytest.raises(ConfigError) as caught:
        config.from_toml(Net, text, where="run/config.toml")
    assert str(caught.value) == (
        f"run/config.toml: {key} is {value}, but {built} is built in by now; "
        "the last to read the setting was version 0.1.0 at commit 084ddb0"
    )


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("crop.scale", "1.6 is built in"),
        ("warm_up", "300 is built in"),
        ("jitter.inner.turn", "8.0 is built in"),
        ("augmentation.blur", "augment chooses it"),
    ],
)
def test_setting_one_says_what_holds_now(key, now):
    with pytest.raises(ConfigError) as caught:
        config.override(Net(), {key: "1"})
    assert str(caught.value) == (
        f"setting '{key}': {now} by now; the last to have the setting was version 0.1.0 at commit 084ddb0"
    )


def test_a_file_means_what_was_the_default_when_it_was_written(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("[crop]\nside = 32")
    assert config.load(Net, file) == Net(steps=10, crop=Crop(32))
    file.write_text("steps = 20")
    assert config.load(Net, file) == Net(steps=20)
    assert config.from_toml(Net, "") == Net()


def test_a_setting_that_never_was_is_still_an_error():
    with pytest.raises(ConfigError, match="Net has no setting 'warmup'"):
        config.from_toml(Net, "warmup = 300")
    with pytest.raises(ConfigError, match=r"no setting jitter\.turn, and there never was"):
        config.from_toml(Net, "[jitter]\nturn = 1")
