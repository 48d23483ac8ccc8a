"""Weights: one folder per model, with a `card.toml` that says what it is and the SHA-256 of each file.

name = "dan"
method = "dan"                  # the file in methods/ that can load it
markup = "ibug68"
licence = "research only (300-W)"
commercial_use = false
data = ["300-W train"]
command = "meanshape train dan …"
seed = 0
commit = "…"
[files]
"model.onnx" = "<sha-256>"
[metrics]                       # whatever was measured
"""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meanshape.core.config import dump
from meanshape.core.errors import UnknownName, WeightsError, writing

FOLDER = Path(__file__).parent.parent / "weights"
CARD = "card.toml"
UNPACKED = 2**30
"""Bytes that one .npz may unpack to."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a weights folder says about itself; `more` is everything else on the card."""

    name: str
    method: str
    files: Mapping[str, str] = field(default_factory=dict)
    markup: str | None = None
    licence: str = "unknown"
    commercial_use: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as it is written."""
        plain: dict[str, Any] = {"name": self.name, "method": self.method}
        if self.markup is not None:
            plain["markup"] = self.markup
        plain |= {"licence": self.licence, "commercial_use": self.commercial_use}
        return plain | dict(self.more) | {"files": dict(self.files)}

    def bytes(self, where: str | Path) -> int:
        """Return the size of all its files, in `where`."""
        return sum((Path(where) / name).stat().st_size for name in self.files)


def names() -> tuple[str, ...]:
    """Return the names of all weights that came with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def folder(name: str) -> Path:
    """Return the folder of weights that came with the package."""
    if name not in names():
        raise UnknownName.of("shipped model", name, names())
    return FOLDER / name


def read_card(where: str | Path) -> Card:
    """Return the card in a folder."""
    path = Path(where) / CARD
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        known = {"name", "method", "files", "markup", "licence", "commercial_use"}
        return Card(
            name=str(values.get("name", Path(where).name)),
            method=str(values["method"]),
            files={str(name): str(digest) for name, digest in values.get("files", {}).items()},
            markup=None if values.get("markup") is None else str(values["markup"]),
            licence=str(values.get("licence", "unknown")),
            commercial_use=bool(values.get("commercial_use", False)),
            more={key: value for key, value in values.items() if key not in known},
        )
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no card, so this is no folder of weights") from None
    except KeyError as error:
        raise WeightsError(f"{path}: the card does not say its {error}") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: the card cannot be read ({error})") from error


def write_card(where: str | Path, card: Card, files: Iterable[str]) -> Card:
    """Write a card with the SHA-256 of these files of the folder, and return it."""
    where = Path(where)
    values = card.to_dict() | {"files": {name: sha256(where / name) for name in sorted(files)}}
    temporary = where / f"{CARD}.part"
    with writing(where / CARD):
        temporary.write_text(dump(values), "utf-8")
        temporary.replace(where / CARD)
    return read_card(where)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    if Path(path).exists() and not Path(path).is_file():
        raise WeightsError(f"{path}: no file")  # a device would never end
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def verify(where: str | Path, only: Iterable[str] | None = None) -> Card:
    """Check that a folder holds the files its card names, unchanged, and return the card."""
    where = Path(where)
    card = read_card(where)
    for name, wanted in card.files.items():
        if only is not None and name not in only:
            continue
        if Path(name).anchor or ".." in Path(name).parts or "\0" in name:
            raise WeightsError(f"{where}: the card names {name!r}, which is no file of this folder")
        found = sha256(where / name)
        if found != wanted.lower():
            raise WeightsError(
                f"{where / name}: SHA-256 {found[:12]}… is not {wanted[:12]}… of the card; "
                "the file is broken or was changed: get it again"
            )
        if name.endswith(".npz"):
            _check_unpacked(where / name)
    return card


def _check_unpacked(path: Path) -> None:
    """Refuse an archive of arrays that unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except Exception:  # whatever it is: its reader says what is wrong
        return
    if size > UNPACKED:
        raise WeightsError(f"{path}: it unpacks to {size:,} bytes, over the limit of {UNPACKED:,}")
