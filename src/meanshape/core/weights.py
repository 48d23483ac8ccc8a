"""Weights: one folder per model, with a `card.toml` that says what it is and the SHA-256 of each file.

name = "dan"
method = "dan"                  # the folder in methods/ that can load it; of a detector: detector = "glance"
markup = "ibug68"
licence = "research only (300-W)"
commercial_use = false          # true only where somebody has said so
terms = ["300-W: …"]            # of each source in its own words
learnt_from = ["ibug300w:train"]
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
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from meanshape.core import resources, toml
from meanshape.core.config import dump
from meanshape.core.errors import UnknownName, WeightsError, writing
from meanshape.core.files import replacing
from meanshape.core.origin import NOT_STATED, UNKNOWN, Origin
from meanshape.core.regular import open_regular

FOLDER = resources.ROOT / "weights"
CARD = "card.toml"
_ARGUMENT = re.compile(r"([a-z]\w+):.+:([a-z]\w+)")
"""NAME:ROOT:SPLIT"""
DETECTOR = re.compile(r"^detector *=", re.MULTILINE)
UNPACKED = 2**30
"""Bytes that one .npz may unpack to."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a weights folder says about itself; `more` is everything else on the card.

    `method` is the method that can load it or, of the kind "detectors", the detector.
    """

    name: str
    method: str
    files: Mapping[str, str] = field(default_factory=dict)
    markup: str | None = None
    licence: str = NOT_STATED
    commercial_use: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["methods", "detectors"] = "methods"

    @property
    def origin(self) -> Origin:
        """What the card says of terms and data; cards of before that say at least which data were named."""
        said = dict(self.more) | {"licence": self.licence, "commercial_use": self.commercial_use}
        if "learnt_from" not in said and isinstance(data := said.get("data"), list):
            found = (_ARGUMENT.fullmatch(str(text)) for text in data)
            said["learnt_from"] = [*(match.expand(r"\1:\2") for match in found if match), UNKNOWN]
        return Origin.read(said)

    def told(self, origin: Origin) -> Card:
        """Return the card with these terms and data."""
        said = origin.to_dict()
        licence, free = said.pop("licence"), said.pop("commercial_use")
        return replace(self, licence=licence, commercial_use=free, more=dict(self.more) | said)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as it is written."""
        plain: dict[str, Any] = {"name": self.name, self.kind.removesuffix("s"): self.method}
        if self.markup is not None:
            plain["markup"] = self.markup
        plain |= {"licence": self.licence, "commercial_use": self.commercial_use}
        return plain | dict(self.more) | {"files": dict(self.files)}

    def bytes(self, where: str | Path) -> int:
        """Return the size of all its files, in `where`."""
        return sum((Path(where) / name).stat().st_size for name in self.files)


def names() -> tuple[str, ...]:
    """Return the names of all weights of methods that came with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}") if not _is_detector(path)))


def detector_names() -> tuple[str, ...]:
    """Return the names of all weights that only find faces and came with the package."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}") if _is_detector(path)))


def folder(name: str) -> Path:
    """Return the folder of weights that came with the package."""
    return resources.whole(_place(name))


def shipped_card(name: str) -> Card:
    """Return the card of weights that came with the package."""
    return read_card(_place(name))


def _place(name: str) -> Path:
    """Return where weights lie that came with the package; in a zip, with nothing but their card."""
    if name not in (there := (*names(), *detector_names())):
        raise UnknownName.of("shipped model", name, there)
    return FOLDER / name


def _is_detector(card: Path) -> bool:
    return DETECTOR.search(card.read_text("utf-8", errors="replace")) is not None


def read_card(where: str | Path) -> Card:
    """Return the card in a folder."""
    path = Path(where) / CARD
    try:
        values = toml.read(path)
        known = {"name", "method", "detector", "files", "markup", "licence", "commercial_use"}
        return Card(
            name=str(values.get("name", Path(where).name)),
            method=str(values["detector" if "detector" in values else "method"]),
            files={str(name): str(digest) for name, digest in values.get("files", {}).items()},
            markup=None if values.get("markup") is None else str(values["markup"]),
            licence=str(values.get("licence", NOT_STATED)),
            commercial_use=values.get("commercial_use") is True,
            more={key: value for key, value in values.items() if key not in known},
            kind="detectors" if "detector" in values else "methods",
        )
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no card, so this is no folder of weights") from None
    except KeyError as error:
        raise WeightsError(f"{path}: the card does not say its {error}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: the card cannot be read ({error})") from error


def write_card(where: str | Path, card: Card, files: Iterable[str]) -> Card:
    """Write a card with the SHA-256 of these files of the folder, and return it."""
    where = Path(where)
    values = card.to_dict() | {"files": {name: sha256(where / name) for name in sorted(files)}}
    with writing(where / CARD), replacing(where / CARD) as file:
        file.write(dump(values).encode())
    return read_card(where)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


class Files(Protocol):
    """A folder of which files are asked for by name: any folder, or only those that a card names."""

    def __truediv__(self, name: str, /) -> Path:
        """Return the path of a file."""


class Checked:
    """A folder of weights whose files are those of its card: it hands out these and no others.

    What lies in the folder beside them (checkpoints, curves, notes) was not checked and is never read.

    Parameters
    ----------
    where : the folder
    only : the files that are wanted; None: all of the card

    Raises
    ------
    WeightsError : a file is not there, was changed, or is asked for and not on the card
    """

    def __init__(self, where: str | Path, only: Iterable[str] | None = None) -> None:
        """Check the SHA-256 of the files."""
        self.path, self.card = Path(where), verify(where, only)
        self.names = frozenset(self.card.files if only is None else only) & frozenset(self.card.files)

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file that the card names."""
        if name not in self.names:
            raise WeightsError(
                f"{self.path}: the card does not name {name} with its SHA-256, so it is not read; "
                "get the weights again, or save the model anew"
            )
        return self.path / name

    def __contains__(self, name: str) -> bool:
        """Tell whether the card names a file."""
        return name in self.names


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
