"""What there is, by name: the registry is the folder.

A method, detector or data set is listed because its file is there. Listing imports nothing; asking for
one imports that one. Files and packages whose name begins with `_`, and `base`, are not plug-ins, nor
are the packages `onnx`, `parts` and `shared`. Other packages join through the entry points
`meanshape.methods`, `meanshape.detectors` and `meanshape.datasets`, which name a module, or the object
itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from meanshape.core import resources, toml
from meanshape.core.errors import ConfigError, UnknownName
from meanshape.core.markup import FOLDER, MarkUp, markup, markup_names

Kind = Literal["methods", "detectors", "datasets", "markups"]

NOT_PLUGINS = {"base", "onnx", "parts", "shared"}
ONE = {"methods": "method", "detectors": "detector", "datasets": "data set", "markups": "mark-up"}


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all methods, detectors, datasets or markups, sorted."""
    if kind not in ONE:
        raise UnknownName.of("kind of plug-in", kind, ONE)
    if kind == "markups":
        return markup_names()
    return tuple(sorted({*_files(kind), *_entry_points(kind)}))


def method(name: str) -> Any:
    """Return the class of a method: its module's `MODEL`."""
    return _plugin("methods", name, "MODEL")


def detector(name: str) -> Any:
    """Return the class of a detector: its module's `DETECTOR`."""
    return _plugin("detectors", name, "DETECTOR")


def learner(name: str) -> Any:
    """Return what learns under a name: the class of a method, or a detector's module's `LEARNER`."""
    if name in names("methods") or name not in names("detectors"):
        return method(name)
    return _plugin("detectors", name, "LEARNER")


def dataset(name: str) -> Any:
    """Return the module of a data set, with `samples`, `verify` and `miniature`."""
    return _plugin("datasets", name, None)


def card(kind: Kind, name: str) -> dict[str, Any]:
    """Return a plug-in's TOML card, without importing it; empty where it has none.

    The card of `datasets/afw.py` is `datasets/afw.toml`; that of a folder `methods/dan/`, its `card.toml`.
    A plug-in of another package may have an attribute `card` (a mapping) instead.
    """
    if name not in names(kind):
        raise UnknownName.of(ONE[kind], name, names(kind))
    if kind == "markups":
        path = FOLDER / f"{name}.toml"
    elif name in _files(kind):
        beside = _folder(kind) / f"{name}.toml"
        path = beside if beside.exists() else _folder(kind) / name / "card.toml"
    else:
        return dict(getattr(_entry_points(kind)[name].load(), "card", {}))
    if not path.exists():
        return {}
    try:
        return toml.parse(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error


def _folder(kind: str) -> Path:
    """Return the folder that has the cards of a kind."""
    return resources.ROOT / kind


def _files(kind: str) -> set[str]:
    """Return the names of the modules and packages of a kind, from a folder, a zip or a frozen app."""
    found = pkgutil.iter_modules([str(resources.CODE / kind)])
    return {one.name for one in found if not one.name.startswith("_")} - NOT_PLUGINS


@cache
def _entry_points(kind: str) -> dict[str, EntryPoint]:
    """Return what other packages bring, by name. Looked up once: it reads every package's metadata."""
    return {point.name: point for point in entry_points(group=f"meanshape.{kind}")}


def _plugin(kind: Kind, name: str, attribute: str | None) -> Any:
    """Return the module of a plug-in, or its `attribute`; ours go before those of other packages."""
    if name in _files(kind):
        found: Any = importlib.import_module(f"meanshape.{kind}.{name}")
    elif name in _entry_points(kind):
        found = _entry_points(kind)[name].load()
    else:
        raise UnknownName.of(ONE[kind], name, names(kind))
    if attribute == "LEARNER" and not hasattr(found, attribute):
        raise ConfigError(f"the detector {name} learns nothing")
    return getattr(found, attribute) if attribute and isinstance(found, ModuleType) else found


__all__ = ["Kind", "MarkUp", "card", "dataset", "detector", "learner", "markup", "method", "names"]
