"""Configs of all that learns: short, built as the shipped weights are, and able to read older folders."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meanshape.core import config, registry, toml, weights
from meanshape.core.errors import ConfigError

LEARNERS = {
    kind.Config.__module__.split(".")[-2]: kind.Config
    for name in (*registry.names("methods"), "glance")
    if dataclasses.is_dataclass((kind := registry.learner(name)).Config)
}
MANY = {"cpr": 48, "dan": 24, "emotional_dan": 66, "mtcnn": 24}
MANY |= {"tcdcn": 21}
"""How many settings there may be where 20 are too few, as yet or by nature."""


SHIPPED = [name for name in LEARNERS if name in (*weights.names(), *weights.detector_names())]


def tables(kind: type, path: str = "") -> Iterator[tuple[str, type]]:
    """Yield a config class and those of its tables, each with its path."""
    yield path, kind
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(inner := getattr(kind(), item.name)):
            yield from tables(type(inner), f"{path}{item.name}.")


def flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings in tables of tables."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def written(kind: type, dotted: str, value: Any) -> dict[str, Any]:
    """Return what a folder holds that was written when there was one setting more."""
    values = config.to_dict(kind())
    put(values, dotted, value)
    return values


def put(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one value in tables of tables."""
    *above, key = dotted.split(".")
    for name in above:
        values = values.setdefault(name, {})
    values[key] = value


BUILT_IN = [
    (name, f"{path}{key}", value)
    for name, kind in LEARNERS.items()
    for path, inner in tables(kind)
    for key, value in flat(getattr(inner, "built_in", {}))
]


@pytest.mark.parametrize("name", LEARNERS)
def test_a_config_is_short(name):
    assert len([*flat(config.to_dict(LEARNERS[name]()))]) <= MANY.get(name, 20)


@pytest.mark.parametrize(("name", "key", "value"), BUILT_IN)
def test_what_is_built_in_loads_and_anything_else_is_refused(name, key, value):
    kind = LEARNERS[name]
    plain = toml.parse(config.dump({"value": value}))["value"]
    assert config.from_dict(kind, written(kind, key, plain)) == kind()
    with pytest.raises(ConfigError, match=f"{key} is 'other', but .* is built in by now; the last"):
        config.from_dict(kind, written(kind, key, "other"))


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_built_in_is_no_setting(name):
    for path, kind in tables(LEARNERS[name]):
        known = {item.name for item in dataclasses.fields(kind)}
        for gone in (getattr(kind, "built_in", {}), getattr(kind, "built_in_recipe", {})):
            assert not known & gone.keys()
            for key, _ in flat(gone):
                with pytest.raises(ConfigError, match=r"(is built in|chooses it) by now; the last to"):
                    config.override(LEARNERS[name](), {f"{path}{key}": "1"})


def structure(made: Any) -> dict[str, Any]:
    """Return the values of the settings that say what is built, tables by theirs."""
    found = {}
    for name in type(made).structure:
        value = getattr(made, name)
        inner = structure(value) if hasattr(value, "structure") else {}
        found |= {f"{name}.{key}": item for key, item in inner.items()} or {name: value}
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_defaults_are_the_structure_of_the_shipped_weights(name):
    shipped = config.load(LEARNERS[name], weights.folder(name) / "config.toml")
    assert structure(LEARNERS[name]()) == structure(shipped)


@pytest.mark.parametrize("name", SHIPPED)
def test_structure_comes_first(name):
    names = [item.name for item in dataclasses.fields(LEARNERS[name])]
    assert LEARNERS[name].structure
    assert tuple(names[: len(LEARNERS[name].structure)]) == LEARNERS[name].structure


@pytest.mark.parametrize("name", [n for n in SHIPPED if any(known == n for known, _, _ in BUILT_IN)])
def test_a_folder_of_before_loads_or_is_refused(name, tmp_path):
    """Shipped weights of when there was one setting more: with what is built in, and with another value."""
    folder, (path, kind) = (
        tmp_path / name,
        max(tables(LEARNERS[name]), key=lambda table: len(getattr(table[1], "built_in", {}))),
    )
    key, value = next(iter(flat(kind.built_in)))
    shutil.copytree(weights.folder(name), folder)
    for said in (value, "other"):
        values = toml.read(weights.folder(name) / "config.toml")
        put(values, f"{path}{key}", said)
        (folder / "config.toml").write_text(config.dump(values), "utf-8")
        card = weights.read_card(folder)
        weights.write_card(folder, card, card.files)
        if said == value:
            read(name, folder)
    with pytest.raises(
        ConfigError, match=rf"config\.toml: {path}{key} is 'other', but .* is built in by now"
    ):
        read(name, folder)


def read(name: str, folder: Path) -> Any:
    """Return the method or detector with the weights in a folder."""
    if name in registry.names("methods"):
        return registry.method(name).load(folder)
    return registry.detector(name)(weights=folder)


def test_train_says_what_is_built_in():
    from meanshape.apps.cli.train import prepare

    with pytest.raises(ConfigError, match=r"setting 'held_out': 0\.08 is built in by now; the last to have"):
        prepare("tcnn", None, ["held_out=0.2"], 1)


def test_presets_stand_beside_the_config():
    assert all(isinstance(made, kind) for kind in LEARNERS.values() for made in presets(kind))


def presets(kind: type) -> list[Any]:
    """Return the presets of a config class."""
    return [*getattr(sys.modules[kind.__module__], "PRESETS", {}).values()]
