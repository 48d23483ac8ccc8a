"""Training photos: faces as heads with an in-plane rotation, and unlabelled regions to ignore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.face_box import full
from meanshape.core.image import Pixels, read_image
from meanshape.core.sample import Sample
from meanshape.datasets.parts.boxes import canonical_box_from_five
from meanshape.datasets.parts.files import pictures_below
from meanshape.detectors.base import FaceDetector

Floats = NDArray[np.float64]

HEAD = (0.0085, -0.32, 0.9915, 1.025)
"""Where a head, forehead to chin, lies in the canonical face box: rounded medians over upright
faces of WIDER FACE, see `benchmarks/fit_heads.py`."""
LARGEST, LONGEST = 130, 420
"""Pixels that a photo's only face and its longer side are reduced to, so that thousands fit into memory."""
BELONGS = 0.45
"""Of a head's sides: a box whose centre is nearer to the head's is the head."""
ROW = 15


@dataclass(frozen=True)
class Photo:
    """A picture and what is in it.

    `heads` is (N, 15): centre, width and height before it was turned, degrees, five points or NaN;
    `ignored` (M, 4) are boxes of which nobody says what they hold.
    """

    pixels: Pixels
    heads: Floats
    ignored: Floats


def gather(samples: Sequence[Sample]) -> list[Photo]:
    """Return the photos of samples, each once, with all its faces.

    Where faces have points, others may be there that nobody labelled: what `mtcnn` sees is ignored.
    """
    by_photo: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_photo[str(sample.image) if isinstance(sample.image, (str, Path)) else sample.id].append(sample)
    finder: FaceDetector = registry.detector("mtcnn")(min_face=20, thresholds=(0.03, 0.12, 0.35))
    return [_photo(group, finder) for group in by_photo.values()]


def people_free(folder: Path) -> list[Photo]:
    """Return the photos of a folder, none of which shows a face."""
    read = (_reduced(read_image(path), 1.0) for path in pictures_below(folder))
    return [Photo(pixels, np.empty((0, ROW)), np.empty((0, 4))) for pixels in read]


def _photo(group: Sequence[Sample], finder: FaceDetector) -> Photo:
    pixels = group[0].pixels()
    heads = [row for row in map(_head, group) if row is not None]
    ignored = [s.own_box.as_list() for s in group if s.own_box is not None and s.attributes.get("invalid")]
    if any(sample.shape is not None for sample in group):
        seen = (finder.canonical(face.box).part(HEAD) for face in finder.detect(pixels))
        ignored += [box.as_list() for box in seen if not _known(box, heads)]
    rows, boxes = np.array(heads).reshape(-1, ROW), np.array(ignored, float).reshape(-1, 4)
    largest = rows[:, 2:4].max(initial=0) if len(rows) == 1 else 0
    return _scaled(pixels, rows, boxes, min(1.0, LARGEST / max(largest, 1)))


def _head(sample: Sample) -> Floats | None:
    """Return the row of a sample's face; None: it is marked as no face to learn."""
    if sample.shape is None:
        if sample.attributes.get("invalid") or (sample.own_box is None and sample.box is None):
            return None
        box = sample.own_box or (sample.box.part(HEAD) if sample.box else None)
        assert box is not None
        return np.array([*box.center, box.width, box.height, 0.0, *[np.nan] * 10])
    five = sample.shape.to("mtfl5").points
    along = (five[1] - five[0]) + (five[4] - five[3])
    degrees = float(np.degrees(np.arctan2(along[1], along[0])))
    middle = five.mean(0)
    whole = full(sample.shape)
    upright = turned(five if whole is None else whole.points, middle, -degrees)
    box = (canonical_box_from_five(upright) if whole is None else Box.around(upright)).part(HEAD)
    center = turned(np.array([box.center]), middle, degrees)[0]
    return np.array([*center, box.width, box.height, degrees, *five.ravel()])


def turned(points: Floats, middle: Floats, degrees: float) -> Floats:
    """Return points (N, 2) turned clockwise about a point."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.asarray((points - middle) @ turn + middle)


def _known(box: Box, heads: Iterable[Floats]) -> bool:
    return any((np.abs(box.center - head[:2]) <= BELONGS * head[2:4]).all() for head in heads)


def _reduced(pixels: Pixels, scale: float) -> Pixels:
    scale = min(scale, LONGEST / max(pixels.shape[:2]))
    if scale >= 1:
        return pixels
    size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(pixels: Pixels, heads: Floats, ignored: Floats, scale: float) -> Photo:
    small = _reduced(pixels, scale)
    by = small.shape[1] / pixels.shape[1]
    moved = heads.copy()
    places = [0, 1, *range(5, ROW)]
    moved[:, places] = (heads[:, places] + 0.5) * by - 0.5
    moved[:, 2:4] *= by
    return Photo(small, moved, (ignored + 0.5) * by - 0.5)
