"""Settings: frozen dataclasses to TOML and back, and `--set key=value` on top.

Types are checked by pydantic over the plain dataclasses. Nested dataclasses are tables; a dotted key
reaches into one (`optimiser.rate=0.01`). TOML has no None: it is written as "none".
What was a setting once is passed over where it is what is built in (`core/built_in.py`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from meanshape.core import built_in, toml
from meanshape.core.errors import ConfigError, suggestion, writing
from meanshape.core.files import replacing
from meanshape.core.regular import read_text

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain values, nested ones as dicts."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def from_dict(kind: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Return a config of `kind` with these values over its defaults; unknown keys are an error."""
    from pydantic import ValidationError

    ready = _prepare(kind, values, "", where)
    hashable: Any = kind  # a class is; a type checker does not know it of a class in general
    try:
        return typing.cast(T, _adapter(hashable).validate_python(ready))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise ConfigError(
            f"{_at(where)}{key}: {_sentence(first['msg'])}, not {first['input']!r:.200}"
        ) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{_at(where)}{kind.__name__}: {error}") from error


def override(config: T, settings: Mapping[str, Any]) -> T:
    """Return the config with some settings changed; text is read as the setting's type wants it."""
    values = to_dict(config)
    kind = type(config)
    for dotted, value in settings.items():
        *tables, key = dotted.split(".")
        owner: Any = kind
        inner = values
        for depth, table in enumerate(tables):
            if built_in.is_built_in(owner, table):
                built_in.refuse(owner, dotted, [*tables[depth:], key])
            owner = _field_types(owner).get(_known(owner, table, dotted), Any)
            if not dataclasses.is_dataclass(owner):
                raise ConfigError(f"setting {dotted!r}: {table!r} has no settings of its own")
            inner = inner[table]
        if built_in.is_built_in(owner, key):
            built_in.refuse(owner, dotted, [key])
        hint = _field_types(owner)[_known(owner, key, dotted)]
        inner[key] = _read(value, hint) if isinstance(value, str) else value
    return from_dict(kind, values)


def to_toml(config: Any) -> str:
    """Return a config as TOML text."""
    return dump(to_dict(config))


def from_toml(kind: type[T], text: str, *, where: str = "", written: bool = False) -> T:
    """Return a config from TOML text; `written` says that a fit wrote it, maybe before some settings were."""
    try:
        values = toml.parse(text)
    except ValueError as error:
        raise ConfigError(f"{_at(where)}not TOML ({error})") from error
    return from_dict(kind, {**built_in.before(kind), **values} if written else values, where=where)


def save(config: Any, path: str | Path) -> None:
    """Write a config to a TOML file."""
    with writing(path), replacing(Path(path)) as file:
        file.write(to_toml(config).encode())


def load(kind: type[T], path: str | Path) -> T:
    """Return a config from a TOML file."""
    try:
        text = read_text(path, toml.LARGEST)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return from_toml(kind, text, where=str(path), written=True)


def dump(values: Mapping[str, Any]) -> str:
    """Return nested plain values as TOML text: first the values, then a table for each mapping."""
    return "\n".join(_lines(values, ())) + "\n"


def _lines(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(k)} = {_value(v)}" for k, v in values.items() if not isinstance(v, Mapping)]
    for key, table in values.items():
        if isinstance(table, Mapping):
            inner = (*path, key)
            lines += ["", f"[{'.'.join(map(_key, inner))}]", *_lines(table, inner)]
    return lines


def _key(key: str) -> str:
    """Return a TOML key, quoted where it must be."""
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _value(key)


def _value(value: Any) -> str:
    """Return a TOML value."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, (str, Path)):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    raise ConfigError(f"TOML cannot hold a {type(value).__name__}: {value!r}")


@cache
def _adapter(kind: Any) -> Any:
    """Return pydantic's checker for a dataclass; imported late, for it is slow to import and to make."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@cache
def _field_types(kind: Any) -> dict[str, Any]:
    """Return the settings of a config class and their types."""
    hints = typing.get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind) if item.init}


def _known(kind: type, key: str, dotted: str, where: str = "") -> str:
    """Return the key, if the config has it."""
    known = _field_types(kind)
    if key not in known:
        raise ConfigError(f"{_at(where)}{kind.__name__} has no setting {dotted!r}{suggestion(key, known)}")
    return key


def _prepare(kind: type, values: Mapping[str, Any], path: str, where: str) -> dict[str, Any]:
    """Check the keys, and read "none" where a setting may be None."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{_at(where)}{path or kind.__name__}: wanted a table, not {values!r}")
    ready = {}
    for key, value in values.items():
        if built_in.is_built_in(kind, key):
            built_in.passed_over(kind, key, value, path, where)
            continue
        hint = _field_types(kind)[_known(kind, key, path + key, where)]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and not isinstance(value, hint):
            value = _prepare(hint, value, f"{path}{key}.", where)
        elif value == "none" and type(None) in _options(hint):
            value = None
        ready[key] = value
    return ready


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _read(text: str, hint: Any) -> Any:
    """Return the value that a text from the command line means for a setting of this type."""
    options = _options(hint)
    if text.lower() == "none" and type(None) in options:
        return None
    containers = (list, tuple, dict, set, frozenset)
    if any((typing.get_origin(option) or option) in containers for option in options):
        if text.startswith("(") and text.endswith(")"):  # as Python writes a tuple
            text = text[1:-1].strip().removesuffix(",")
        for candidate in (
            text,
            f"[{text}]",
            f"[{', '.join(json.dumps(t.strip()) for t in text.split(','))}]",
        ):
            try:
                value = toml.parse(f"value = {candidate}")["value"]
            except ValueError:
                continue
            return value if isinstance(value, (list, dict)) else [value]
    return text


def _sentence(message: str) -> str:
    """Return pydantic's message as a part of a sentence."""
    return message.removeprefix("Value error, ").replace("Input should be", "should be", 1)


def _at(where: str) -> str:
    return f"{where}: " if where else ""
