"""Boxes that somebody else found: from a file, or from the truth.

Boxes are looked up by the picture's path as it was given, then by its file name, then by that without
suffix. An array has no name, so it needs boxes that are the same for every picture.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from meanshape.core.box import Box, BoxesLike, as_boxes
from meanshape.core.errors import BoxError, FormatError, MeanshapeError, MeanshapeWarning, in_words
from meanshape.core.face import Face, face_from_dict
from meanshape.core.face_box import face_box
from meanshape.core.image import ImageLike, Pixels
from meanshape.core.sample import Sample
from meanshape.datasets.folder import BY_HAND
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
        self._by_form: tuple[dict[str, tuple[Box, ...]], ...] = ({}, {}, {})
        if not isinstance(boxes, Mapping):
            self._always = tuple(as_boxes(boxes))
            return
        for name, some in boxes.items():
            found = tuple(as_boxes(some))
            for known, form in zip(self._by_form, _forms(name), strict=True):
                if known.setdefault(form, found) != found:
                    known[form] = ()  # two pictures of that short name: neither is meant

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
        source), left, top, right, bottom and perhaps score, or is what `meanshape detect -o` writes. The box
        of a face whose points have the 68 among them is the tight box of these, for the one that is written
        beside them is its detector's.
        """
        path = Path(path)
        boxes: dict[str, list[Box]] = {}
        rows = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(read_text(path), path)
        unsure = 0
        for name, faces in rows:
            boxes.setdefault(name, []).extend(map(_canonical, faces))
            unsure += sum(face.shape is not None and face_box(face.shape) is None for face in faces)
        if unsure:
            warnings.warn(
                f"{path}: {unsure} boxes are taken to be tight around eyebrows and chin, as the points "
                "beside them do not show it; those that meanshape detect writes reach up to the forehead",
                MeanshapeWarning,
                stacklevel=2,
            )
        return cls(boxes)

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return the boxes given for this picture, or for the one called `source`; none were: no faces."""
        asked = self._known(options)
        if self._always is not None:
            return best_first(Face(box) for box in self._always)
        image = asked.get("source") or image
        if not isinstance(image, (str, os.PathLike)):
            raise BoxError("boxes given by picture name need the picture's path, not its pixels")
        for known, form in zip(self._by_form, _forms(os.fspath(image)), strict=True):
            if form in known:
                return best_first(Face(box) for box in known[form])
        return ()

    def _detect(self, image: Pixels, *, source: str | None = None) -> list[Face]:
        return list(self.detect(image, source=source))


def _forms(name: str) -> tuple[str, str, str]:
    """Return a picture's name as given, without folders, and without suffix."""
    plain = name.replace("\\", "/")
    return plain, Path(plain).name, Path(plain).stem


def _canonical(face: Face) -> Box:
    """Return the canonical box of a face, as its points show it; else the one that is given."""
    tight = None if face.shape is None else face_box(face.shape)
    return face.box if tight is None else replace(tight, score=face.box.score)


def _csv(path: Path) -> Iterable[tuple[str, Sequence[Face]]]:
    """Yield each picture and its faces; nothing is left out."""
    faults = Faults()
    found = csv.read(path, faults=faults)
    faults.refuse()
    return [(str(photo.source), photo.faces) for photo in found]


def _jsonl(text: str, path: Path) -> Iterable[tuple[str, Sequence[Face]]]:
    """Yield the picture and the faces of each prediction."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = parse_json(line, path, number)
            faces = [face_from_dict(face) for face in data["faces"]]
            if data.get("model") == BY_HAND:  # their boxes are canonical, whatever the points
                faces = [Face(face.box) for face in faces]
            yield str(data["source"]), faces
        except FormatError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            said = in_words(error)
            told = said if isinstance(error, MeanshapeError) else f"wanted a prediction ({said})"
            raise FormatError(told, path, number) from error


DETECTOR = Given
