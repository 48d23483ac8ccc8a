"""Boxes that somebody else found: from a file, or from the truth.

Boxes are looked up by the picture's path as it was given, then by its file name, then by that without
suffix. An array has no name, so it needs boxes that are the same for every picture.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from meanshape.core.errors import BoxError, FormatError, MeanshapeError
from meanshape.core.image import ImageLike, Pixels
from meanshape.core.types import Box, Face, Sample
from meanshape.detectors.base import FaceDetector, best_first
from meanshape.formats.text import parse_json


class Given(FaceDetector):
    """Answers the boxes it was given; no search, no pixels.

    Parameters
    ----------
    boxes : boxes by picture name, or a sequence of boxes for every picture. They count as canonical.
    """

    name: ClassVar[str] = "given"

    def __init__(self, boxes: Mapping[str, Box | Sequence[Box]] | Sequence[Box] = ()) -> None:
        """Keep the boxes, each also under the shorter forms of its picture's name."""
        self._always: tuple[Box, ...] | None = None
        self._by_name: dict[str, tuple[Box, ...]] = {}
        if not isinstance(boxes, Mapping):
            self._always = tuple(boxes)
            return
        for forms in zip(*(_forms(name) for name in boxes), strict=True):
            for form, some in zip(forms, boxes.values(), strict=True):
                found = (some,) if isinstance(some, Box) else tuple(some)
                if self._by_name.setdefault(form, found) != found:
                    self._by_name[form] = ()  # two pictures of that short name: neither is meant

    @classmethod
    def from_samples(cls, samples: Iterable[Sample]) -> Given:
        """Return a detector that answers the true boxes of samples, by id and by path."""
        boxes: dict[str, list[Box]] = {}
        for sample in samples:
            box = sample.box or (sample.shape.box() if sample.shape else None)
            names = [sample.id, *([str(sample.image)] if isinstance(sample.image, (str, Path)) else [])]
            for name in names if box else ():
                assert box is not None
                boxes.setdefault(name, []).append(box)
        return cls(boxes)

    @classmethod
    def from_file(cls, path: str | Path) -> Given:
        """Return a detector with the boxes in a file.

        A `.jsonl` file holds predictions (`source`, `faces[].box`); a `.csv` file has the columns image,
        left, top, right, bottom and perhaps score.
        """
        path = Path(path)
        boxes: dict[str, list[Box]] = {}
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"cannot be read ({error})", path) from error
        rows = _csv(text, path) if path.suffix.lower() == ".csv" else _jsonl(text, path)
        for name, some in rows:
            boxes.setdefault(name, []).extend(some)
        return cls(boxes)

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return the boxes given for this picture, or for the one called `source`; none were: no faces."""
        if self._always is not None:
            return best_first(Face(box) for box in self._always)
        image = options.get("source") or image
        if not isinstance(image, (str, os.PathLike)):
            raise BoxError("boxes given by picture name need the picture's path, not its pixels")
        for form in _forms(os.fspath(image)):
            if form in self._by_name:
                return best_first(Face(box) for box in self._by_name[form])
        return ()

    def _detect(self, image: Pixels, **options: Any) -> list[Face]:
        return list(self.detect(image))


def _forms(name: str) -> tuple[str, str, str]:
    """Return a picture's name as given, without folders, and without suffix."""
    plain = name.replace("\\", "/")
    return plain, Path(plain).name, Path(plain).stem


def _csv(text: str, path: Path) -> Iterable[tuple[str, list[Box]]]:
    """Yield the picture and the box of each row."""
    reader = csv.DictReader(text.splitlines())
    for row in _unless_broken(reader, path):
        try:
            left, top, right, bottom = (float(row[edge]) for edge in ("left", "top", "right", "bottom"))
            score = row.get("score")
            yield row["image"], [Box(left, top, right, bottom, float(score) if score else None)]
        except (KeyError, TypeError, ValueError) as error:
            said = (
                error
                if isinstance(error, MeanshapeError)
                else f"wanted image, left, top, right, bottom ({error!r})"
            )
            raise FormatError(str(said), path, reader.line_num) from error


def _unless_broken(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table."""
    try:
        yield from reader
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}", path, reader.line_num) from error


def _jsonl(text: str, path: Path) -> Iterable[tuple[str, list[Box]]]:
    """Yield the picture and the boxes of each prediction."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = parse_json(line, path, number)
            yield str(data["source"]), [_box(face) for face in data["faces"]]
        except FormatError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            said = error if isinstance(error, MeanshapeError) else f"wanted a prediction ({error!r})"
            raise FormatError(str(said), path, number) from error


def _box(face: Mapping[str, Any]) -> Box:
    """Return the box of one face of a prediction."""
    left, top, right, bottom = face["box"]
    return Box(left, top, right, bottom, face.get("score"))


DETECTOR = Given
