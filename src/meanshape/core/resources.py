"""The package's own files beside its code: cards, mark-ups, weights, pages.

In a folder, and in an app frozen by PyInstaller, they lie there. In a zip they do not: cards and other small
files are unpacked when this module is imported, weights when they are first asked for, all into a temporary
folder that goes when the process ends.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from tempfile import TemporaryDirectory

CODE = Path(__file__).parents[1]
"""Where the modules are; in a zip, no folder."""
HEAVY = "weights"
LIGHT = ".toml"
NO_DATA = (".py", ".pyc", ".pyi")

_lock = Lock()
_temporary: TemporaryDirectory[str] | None = None


def beside(module_file: str, name: str) -> Path:
    """Return a file or folder that lies beside a module: `beside(__file__, "card.toml")`."""
    folder = Path(module_file).parent
    return (ROOT / folder.relative_to(CODE) if folder.is_relative_to(CODE) else folder) / name


def whole(folder: Path) -> Path:
    """Return a folder of weights with all its files."""
    if ROOT != CODE and folder.is_relative_to(ROOT):
        with _lock:
            _unpack(_packed().joinpath(*folder.relative_to(ROOT).parts), folder)
    return folder


def _root() -> Path:
    """Return the folder that holds the files."""
    if CODE.is_dir():
        return CODE
    from tempfile import TemporaryDirectory

    global _temporary
    _temporary = TemporaryDirectory(prefix="meanshape-", ignore_cleanup_errors=True)
    root = Path(_temporary.name)
    _unpack(_packed(), root, light=True)
    return root


def _packed() -> Traversable:
    """Return the package as it lies in its zip."""
    from importlib.resources import files

    return files("meanshape")


def _unpack(source: Traversable, target: Path, light: bool = False) -> None:
    """Copy what is no code and not there; if `light`, of weights the cards and settings alone."""
    for one in source.iterdir():
        place = target / one.name
        if one.is_dir():
            _unpack(one, place, light)
        elif one.name.endswith(NO_DATA) or place.exists():
            continue
        elif not light or one.name.endswith(LIGHT) or target.parent.name != HEAVY:
            target.mkdir(parents=True, exist_ok=True)
            place.write_bytes(one.read_bytes())


ROOT = _root()
"""The folder of these files: the package's own, or where they were unpacked to."""
