"""Which part of the photos an output holds: a note beside it (`points.jsonl.shard`), for who joins them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meanshape.core.errors import ConfigError, FormatError, in_words
from meanshape.core.regular import read_text
from meanshape.formats.text import write_text

NOTE = ".shard"


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th (from 1) of `count` parts of so many photos."""

    number: int
    count: int
    photos: int

    @classmethod
    def of(cls, text: str, photos: int) -> Shard:
        """Return what "I/N" means, which `sources.part` has checked."""
        number, count = map(int, text.split("/"))
        return cls(number, count, photos)

    def write(self, output: str | Path) -> None:
        """Write the note beside an output."""
        write_text(_note(output), json.dumps(asdict(self)) + "\n")


def missing(outputs: Sequence[Path]) -> tuple[list[str], bool]:
    """Return the shards ("2/8") that none of the outputs is, and whether all outputs have notes.

    Raises
    ------
    ConfigError : the notes are not of one division of the same number of photos
    """
    found = {path: shard for path in outputs if (shard := _read(path)) is not None}
    if not found:
        return [], False
    divisions = {(shard.count, shard.photos): path for path, shard in found.items()}
    if len(divisions) > 1:
        told = (f"{path} is of {count} of {photos} photos" for (count, photos), path in divisions.items())
        raise ConfigError(f"these are shards of different runs: {'; '.join(told)}")
    count = next(iter(divisions))[0]
    there = {shard.number for shard in found.values()}
    gaps = [f"{number}/{count}" for number in range(1, count + 1) if number not in there]
    return gaps, len(found) == len(set(outputs))


def _note(output: str | Path) -> Path:
    return Path(f"{output}{NOTE}")


def _read(output: Path) -> Shard | None:
    """Return the shard that a note names; None where there is no note."""
    path = _note(output)
    try:
        values = json.loads(read_text(path))
        shard = Shard(*(int(values[name]) for name in ("number", "count", "photos")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError(f"not the note of a shard ({in_words(error)}); remove it", path=path) from error
    if not 1 <= shard.number <= shard.count <= 10**6:
        raise FormatError(f"{shard.number} of {shard.count} is no shard; remove the note", path=path)
    return shard
