"""Settings that a config had once and that are built in now: what was written with them still loads.

A config class names them in two tables, each from the setting to the value that is built in (a table of
settings to theirs). Of `built_in`, a folder must hold the same value, or it was made with what this
version does not do. `built_in_recipe` has those that only training reads and that folders are known to hold
in other values: such a folder predicts as it did, and is read.

    built_in: ClassVar[Mapping[str, Any]] = {"crop_scale": 1.6}
    built_in_recipe: ClassVar[Mapping[str, Any]] = {"jitter": {"shift": 0.05}, "augmentation": By("augment")}

A third, `before`, says what a file means that was written before a setting was, where its default is another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from meanshape.core.errors import ConfigError

LAST = "version 0.1.0 at commit 084ddb0"
"""The last version that had all of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class By:
    """Stands for the values of settings that another one chooses now."""

    setting: str


def is_built_in(kind: type, key: str) -> bool:
    """Tell whether a config class had this setting once."""
    return key in _all(kind)


def passed_over(kind: type, key: str, value: Any, path: str, where: str) -> None:
    """Refuse what was written for a setting of `built_in`, where it is not what is built in.

    Parameters
    ----------
    kind : the config class
    key, value : the setting and what was written for it
    path : the tables that it is in, each with a dot after it
    where : the file, or nothing

    Raises
    ------
    ConfigError : it is another value
    """
    if key in _table(kind, "built_in"):
        _same(_all(kind)[key], value, path + key, where)


def before(kind: type) -> Mapping[str, Any]:
    """Return what files mean that were written before there were these settings of a config class."""
    return _table(kind, "before")


def refuse(kind: type, dotted: str, rest: Sequence[str]) -> None:
    """Say that a setting is built in; `rest` is its name from this class on, table by table."""
    value = _all(kind)[rest[0]]
    for key in rest[1:]:
        value = value.get(key, value) if isinstance(value, Mapping) else value
    now = f"{value.setting} chooses it" if isinstance(value, By) else f"{_told(value)} is built in"
    raise ConfigError(f"setting {dotted!r}: {now} by now; the last to have the setting was {LAST}")


def _same(built: Any, value: Any, path: str, where: str) -> None:
    if isinstance(built, Mapping) and isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in built:
                raise ConfigError(f"{_at(where)}there is no setting {path}.{key}, and there never was")
            _same(built[key], inner, f"{path}.{key}", where)
    elif _plain(value) != _plain(built):
        raise ConfigError(
            f"{_at(where)}{path} is {_told(value):.200}, but {_told(built)} is built in by "
            f"now; the last to read the setting was {LAST}"
        )


def _plain(value: Any) -> Any:
    """Return a value as TOML holds it."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return "none" if value is None else value


def _told(value: Any) -> str:
    return repr(_plain(value))


def _all(kind: type) -> Mapping[str, Any]:
    return {**_table(kind, "built_in"), **_table(kind, "built_in_recipe")}


def _table(kind: type, name: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = getattr(kind, name, {})
    return table


def _at(where: str) -> str:
    return f"{where}: " if where else ""
