from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanshape.core import config
from meanshape.core.errors import ConfigError


@dataclass(frozen=True)
class Optimiser:
    rate: float = 0.01
    kind: Literal["adam", "sgd"] = "adam"


@dataclass(frozen=True)
class Net:
    stages: int = 2
    widths: tuple[int, ...] = (16, 32)
    names: tuple[str, ...] = ("a", "b")
    dropout: float | None = 0.5
    label: str = "x"
    flip: bool = True
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self):
        if self.stages < 1:
            raise ValueError("stages must be at least 1")


def test_round_trip():
    net = Net(stages=3, dropout=None, label='a "quoted"\n\\ ü \x7f', optimiser=Optimiser(1e-5, "sgd"))
    assert config.from_toml(Net, config.to_toml(net)) == net
    assert config.from_toml(Net, "") == Net()


def test_round_trip_through_a_file(tmp_path):
    config.save(Net(stages=7), tmp_path / "config.toml")
    assert config.load(Net, tmp_path / "config.toml") == Net(stages=7)
    (tmp_path / "config.toml").write_text("stages = [")
    with pytest.raises(ConfigError, match=r"config\.toml: not TOML"):
        config.load(Net, tmp_path / "config.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(Net, tmp_path / "other.toml")


leaves = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text()
tables = st.dictionaries(st.text(), leaves | st.lists(st.integers()) | st.dictionaries(st.text(), leaves))


@given(tables)
def test_dump_writes_what_tomllib_reads(values):
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return "none" if value is None else value

    assert tomllib.loads(config.dump(values)) == plain(values)


def test_dump_nests_lists_of_tables():
    values = {"a": [{"b": 1, "c": "x"}, {"b": 2}], "d": {"e": {"f": [1.5, 2.5]}}}
    assert tomllib.loads(config.dump(values)) == values
    with pytest.raises(ConfigError, match="cannot hold"):
        config.dump({"a": object()})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("stages", "3", 3),
        ("widths", "[8, 16, 24]", (8, 16, 24)),
        ("widths", "8,16", (8, 16)),
        ("widths", "8", (8,)),
        ("names", "left_eye,nose", ("left_eye", "nose")),
        ("names", "left_eye", ("left_eye",)),
        ("dropout", "none", None),
        ("dropout", "0.25", 0.25),
        ("label", "2", "2"),
        ("flip", "false", False),
        ("flip", "no", False),
        ("stages", 5, 5),
    ],
)
def test_override_reads_text_as_the_setting_wants(key, text, value):
    assert getattr(config.override(Net(), {key: text}), key) == value


def test_override_reaches_into_tables_and_leaves_the_rest():
    net = config.override(Net(stages=5), {"optimiser.rate": "0.5", "optimiser.kind": "sgd"})
    assert net == Net(stages=5, optimiser=Optimiser(0.5, "sgd"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stage": "2"}, "Net has no setting 'stage'; did you mean 'stages'?"),
        ({"optimiser.rat": "2"}, "Optimiser has no setting 'optimiser.rat'; did you mean 'rate'?"),
        ({"optimizer.rate": "2"}, "did you mean 'optimiser'?"),
        ({"stages.rate": "2"}, "'stages' has no settings of its own"),
        ({"stages": "two"}, "stages: should be a valid integer.*not 'two'"),
        ({"optimiser.kind": "adamw"}, "optimiser.kind: should be 'adam' or 'sgd', not 'adamw'"),
        ({"stages": "0"}, "stages must be at least 1"),
        ({"optimiser": "3"}, "wanted a table"),
        ({"widths": "a,b"}, "widths"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        config.override(Net(), settings)
    assert "\n" not in str(caught.value)


def test_a_wrong_key_in_a_file_names_the_file():
    with pytest.raises(ConfigError, match=r"run\.toml: Optimiser has no setting 'optimiser.lr'"):
        config.from_toml(Net, "[optimiser]\nlr = 1", where="run.toml")


@pytest.mark.parametrize(
    ("text", "value"), [("()", ()), ("(64,)", (64,)), ("1,2", (1, 2)), ("[3]", (3,)), ("5", (5,))]
)
def test_a_tuple_may_be_written_in_every_usual_way(text: str, value: tuple[int, ...]) -> None:
    assert config.override(Net(), {"widths": text}).widths == value
