"""What was hidden in each photo, or in each frame of a video: a JSON file to edit and to apply again.

    {"schema": 1, "kind": "meanshape blur", "gaps": [], "pictures": [
    {"source": "a.jpg", "size": [640, 480], "regions": [{"points": [[10, 20], …], …}], "error": null}
    ]}

A line for each picture. To hide more, add a region, `{"box": [left, top, right, bottom]}` will do; to show
something again, take its region out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meanshape.core import checks
from meanshape.core.errors import FormatError, ImageError, MeanshapeError
from meanshape.core.image import Pixels
from meanshape.formats.text import dump_json, parse_json, read_text, write_text
from meanshape.inference.regions import Region

SCHEMA, KIND = 1, "meanshape blur"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is hidden in one picture; `size` is (width, height), `error` what kept it from being read."""

    source: str
    size: tuple[int, int]
    regions: tuple[Region, ...] = ()
    error: str | None = None

    def fit(self, pixels: Pixels) -> tuple[Region, ...]:
        """Return the regions for pixels (H, W, 3), or refuse a picture of another size."""
        size = pixels.shape[1], pixels.shape[0]
        if size != self.size:
            raise ImageError(
                f"{self.source}: the record was made of {self.size[0]} x {self.size[1]} pixels, "
                f"and this has {size[0]} x {size[1]}; make the record again"
            )
        return self.regions

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        parts = [part.to_dict() for part in self.regions]
        return {"source": self.source, "size": list(self.size), "regions": parts, "error": self.error}

    @classmethod
    def from_dict(cls, data: Any) -> Entry:
        """Return what `to_dict` wrote; what does not fit is a `FormatError`."""
        try:
            width, height = (checks.count(side, "a side", FormatError, 0) for side in data["size"])
            regions = tuple(Region.from_dict(part) for part in data["regions"])
            source, error = data["source"], data.get("error")
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            said = fault if isinstance(fault, MeanshapeError) else 'it wants "source", "size" and "regions"'
            raise FormatError(f"a picture that cannot be read: {said}") from fault
        if not isinstance(source, str) or not (error is None or isinstance(error, str)):
            raise FormatError("a picture's source is a text, and so is its error")
        return cls(source, (width, height), regions, error)


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames in which a face was not found, between two in which it was; times in seconds."""

    track: int
    begin: float
    end: float
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        begin, end = round(self.begin, 4), round(self.end, 4)
        return {"track": self.track, "begin": begin, "end": end, "frames": self.frames}


def write(path: Path, entries: Iterable[Entry], gaps: Sequence[Gap] = ()) -> None:
    """Write a record; it appears whole or not at all."""
    head = dump_json({"schema": SCHEMA, "kind": KIND, "gaps": [gap.to_dict() for gap in gaps]})
    lines = ",\n".join(dump_json(entry.to_dict()) for entry in entries)
    write_text(path, f'{head[:-1]}, "pictures": [\n{lines}\n]}}\n')


def read(path: Path) -> list[Entry]:
    """Read a record that `write` wrote, maybe edited.

    Raises
    ------
    FormatError : it is none, or one of its pictures makes no sense
    """
    data = parse_json(read_text(path), path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("kind") != KIND:
        raise FormatError(f"not a record of {KIND}, schema {SCHEMA}", path)
    pictures = data.get("pictures")
    if not isinstance(pictures, list):
        raise FormatError('a record has a list of "pictures"', path)
    entries = []
    for number, one in enumerate(pictures, 1):
        try:
            entries.append(Entry.from_dict(one))
        except FormatError as error:
            raise FormatError(f"picture {number}: {error}", path) from error
    return entries
