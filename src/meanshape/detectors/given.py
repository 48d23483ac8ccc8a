"""Boxes that somebody else found: from a file, or from the truth.

Boxes are looked up by the picture's path as it was given, then by its file name, then by that without
suffix. An array has no name, so it needs boxes that are the same for every picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from meanshape.core.boxes import BoxesLike, as_boxes
from meanshape.core.errors import BoxError, FormatError, MeanshapeError
from meanshape.core.image import ImageLike, Pixels
from meanshape.core.types import Box, Face, Sample
from meanshape.detectors.base import FaceDetector, best_first
from meanshape.formats import csv
from meanshape.formats.faults import Faults
from meanshape.formats.text import parse_json, read_text


class Given(FaceDetector):
    """Answers the boxes it was given; no search, no pixels.

    Parameters
    ----------
    boxes : boxes by picture name, or boxes for every picture: Boxes, four numbers or an array (N, 4). They
        count as canonical.
    """

    name: ClassVar[str] = "given"

    def __init__(self, boxes: Mapping[str, BoxesLike] | BoxesLike = ()) -> None:
        """Keep the boxes, each also under the shorter forms of its picture's name."""
        self._always: tuple[Box, ...] | None = None
        self._by_name: dict[str, tuple[Box, ...]] = {}
        if not isinstance(boxes, Mapping):
            self._always = tuple(as_boxes(boxes))
            return
        for forms in zip(*(_forms(name) for name in boxes), strict=True):
            for form, some in zip(forms, boxes.values(), strict=True):
                found = tuple(as_boxes(some))
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

        A `.jsonl` file holds predictions (`source`, `faces[].box`); a `.csv` file has the columns image (or
        source), left, top, right, bottom and perhaps score, or is what `meanshape detect -o` writes.
        """
        path = Path(path)
        boxes: dict[str, list[Box]] = {}
        rows = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(read_text(path), path)
        for name, some in rows:
            boxes.setdefault(name, []).extend(some)
        return cls(boxes)

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return the boxes given for this picture, or for the one called `source`; none were: no faces."""
        known = self._known(options)
        if self._always is not None:
            return best_first(Face(box) for box in self._always)
        image = known.get("source") or image
        if not isinstance(image, (str, os.PathLike)):
            raise BoxError("boxes given by picture name need the picture's path, not its pixels")
        for form in _forms(os.fspath(image)):
            if form in self._by_name:
                return best_first(Face(box) for box in self._by_name[form])
        return ()

    def _detect(self, image: Pixels, *, source: str | None = None) -> list[Face]:
        return list(self.detect(image, source=source))


def _forms(name: str) -> tuple[str, str, str]:
    """Return a picture's name as given, without folders, and without suffix."""
    plain = name.replace("\\", "/")
    return plain, Path(plain).name, Path(plain).stem


def _csv(path: Path) -> Iterable[tuple[str, list[Box]]]:
    """Yield each picture and its boxes; nothing is left out."""
    faults = Faults()
    found = csv.read(path, faults=faults)
    faults.refuse()
    return [(str(photo.source), [face.box for face in photo.faces]) for photo in found]


def _jsonl(text: str, path: Path) -> Iterable[tuple[str, list[Box]]]:
    """Yield the picture and the boxes of each prediction."""
    for number, line in enumerate(text.split("\n"), 1):
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
