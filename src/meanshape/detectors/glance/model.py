"""The search: one look at the whole picture, and a closer one at each answer that is not sure.

Pictures that may hold faces larger than one look covers are also looked at reduced. The closer look sees the
mirror image of a crop; logits, boxes and points of both looks are averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core import config as configs
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.face import Face
from meanshape.core.geometry import apply, invert
from meanshape.core.image import Pixels, crop
from meanshape.core.origin import Origin
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector, check_min_face
from meanshape.detectors.glance.config import Config
from meanshape.detectors.glance.grid import LARGEST, MULTIPLE, Floats, grid
from meanshape.methods.mtcnn.cascade import suppress
from meanshape.methods.onnx.session import OnnxSession

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

GREY = 127
STEP = 4  # from one look to the next, coarser one
COVERED = 1.3  # longer sides than so many largest faces want a coarser look, too
MOST = 300  # answers that are looked at again
CLOSE, ROOM = 64, 1.6  # pixels of the crop of a closer look, and its side in faces
SAME = 0.4  # intersection over union from which a closer look means the same face
NOTHING = -8.0  # the logit of a closer look that sees no face there
INSIDE = 0.8  # of two answers, the share of one in the other from which they mean one face
MIRROR = (1, 0, 2, 4, 3)
SMALLEST = 10
SMALLEST_SEEN = 16.0  # pixels that the smallest face has in the picture that the network sees
TILE, SHARED = 1536, 384  # pixels of the sides of a tile, and of what neighbours share


class Glance(FaceDetector):
    """Finds faces of at least `min_face` pixels, forehead to chin, with score and five points.

    Parameters
    ----------
    min_face : the smallest face to look for, pixels; time grows with its inverse square
    threshold : the score from which an answer is a face; None: the card's, tuned on validation photos
    threads, providers : threads and execution providers of ONNX Runtime; None: the CPU
    weights : a folder of weights; None: those that came with the package
    """

    name: ClassVar[str] = "glance"
    sure: float = 0.99  # of 300 upright photos 98 % have more; in the same upside down, 0.93 in the middle

    def __init__(
        self,
        min_face: float = 40,
        threshold: float | None = None,
        threads: int = 1,
        weights: str | Path | None = None,
        providers: Sequence[Provider] | None = None,
    ) -> None:
        """Load the network after checking its SHA-256."""
        check_min_face(min_face, SMALLEST)
        if threshold is not None and not 0 < threshold < 1:
            raise ConfigError(f"threshold must lie between 0 and 1, not {threshold}")
        folder = _shipped(self.name) if weights is None else Path(weights)
        self.min_face = min_face
        files = _checked(folder)
        self._origin = files.card.origin
        self.config = configs.load(Config, files / "config.toml")
        if threshold is not None:
            self.config = replace(self.config, threshold=threshold)
        self._session = OnnxSession(files / "model.onnx", threads, providers)

    @property
    def origin(self) -> Origin:
        """The terms of its weights."""
        return self._origin

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self._session.runs_on

    def _detect(self, image: Pixels, *, min_face: float | None = None) -> Iterable[Face]:
        """Return the faces; `min_face` counts for this picture alone."""
        smallest = self.min_face if min_face is None else check_min_face(min_face, SMALLEST)
        height, width = image.shape[:2]
        looks = [self._look(image, scale) for scale in self._scales(height, width, smallest)]
        found = Answers.of(looks)
        found = found.take(suppress(found.boxes, score(found.logits), self.config.overlap))
        unsure = np.flatnonzero(found.logits < self._logit(self.config.sure))[:MOST]
        if len(unsure):
            again = self._closer(image, found.boxes[unsure], mirror=True)
            for one, two in zip(found, again, strict=True):
                one[unsure] = (one[unsure] + two) / 2
        found = found.take(np.flatnonzero(found.logits >= self._logit(self.config.threshold)))
        scores = self._scores(found.logits)
        keep = suppress(found.boxes, scores, self.config.overlap, inside=INSIDE)
        best = zip(found.boxes[keep].tolist(), scores[keep].tolist(), found.points[keep], strict=True)
        return [
            Face(Box(left, top, right, bottom, score), Shape(five, "mtfl5"))
            for (left, top, right, bottom), score, five in best
        ]

    def looked_at(self, width: int, height: int, min_face: float | None = None) -> int:
        """Return how many pixels the network sees, over all looks and with the padding."""
        seen = 0
        for scale in self._scales(height, width, self.min_face if min_face is None else min_face):
            high, wide = (
                sum(-(-(cut.stop - cut.start) // MULTIPLE) for cut in _cuts(max(1, round(side * scale))))
                for side in (height, width)
            )
            seen += high * wide * MULTIPLE * MULTIPLE
        return seen

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return for each canonical box the score of a closer look at its face."""
        if not boxes:
            return []
        heads = np.array([self.head(box).as_list() for box in boxes])
        return [float(one) for one in self._scores(self._closer(image, heads).logits)]

    def _closer(self, image: Pixels, boxes: Floats, mirror: bool = False) -> Answers:
        """Look at each box (N, 4) in a crop of its own, or at the crop's mirror image."""
        squares = [Box(*square) for square in _squares(boxes).tolist()]
        crops, maps = zip(*(crop(image, square, CLOSE) for square in squares), strict=True)
        pixels = np.stack(crops)
        answers = self._session({"pixels": pixels[:, :, ::-1] if mirror else pixels})[0]
        cells, found = grid(CLOSE, CLOSE), []
        middle = np.flatnonzero(np.abs(cells.centers - (CLOSE - 1) / 2).max(1) < CLOSE / 4)
        for answer, matrix, box in zip(answers, maps, boxes, strict=True):
            said, points = cells.boxes(answer, middle), cells.points(answer, middle)
            if mirror:
                said[:, [0, 2]] = CLOSE - 1 - said[:, [2, 0]]
                points[..., 0] = CLOSE - 1 - points[..., 0]
                points = points[:, MIRROR]
            back = invert(matrix)
            said = apply(back, said.reshape(-1, 2, 2)).reshape(-1, 4)
            fits = np.where(_overlap(said, box) >= SAME, answer[0, middle], NOTHING)
            best = int(fits.argmax())
            seen = fits[best] > NOTHING
            found.append((fits[best], said[best] if seen else box, apply(back, points[best])))
        logits, said, points = (np.array(some, float) for some in zip(*found, strict=True))
        return Answers(said, logits, points)

    def _scales(self, height: int, width: int, min_face: float) -> list[float]:
        """Return by what the picture is resized for each look."""
        scales = [SMALLEST_SEEN / min_face]
        while max(height, width) * scales[-1] > COVERED * LARGEST:
            scales.append(scales[-1] / STEP)
        return scales

    def _look(self, image: Pixels, scale: float) -> Answers:
        """Look at the whole picture, resized: in tiles where it is large, so that memory is bounded."""
        height, width = image.shape[:2]
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        small = shrink(image, wide, high)
        rows, columns = _cuts(high), _cuts(wide)
        found = Answers.of([self._tile(small, row, column) for row in rows for column in columns])
        by = np.array([width / wide, height / high])
        boxes = (found.boxes.reshape(-1, 2, 2) + 0.5) * by - 0.5
        return Answers(boxes.reshape(-1, 4), found.logits, (found.points + 0.5) * by - 0.5)

    def _tile(self, image: Pixels, row: Cut, column: Cut) -> Answers:
        """Return the answers whose boxes have their centres in the part of a tile that is its own."""
        part = image[row.start : row.stop, column.start : column.stop]
        sides = [-(-side // MULTIPLE) * MULTIPLE for side in part.shape[:2]]
        padded = np.full((*sides, 3), GREY, np.uint8)
        padded[: part.shape[0], : part.shape[1]] = part
        answer = self._session({"pixels": padded[None]})[0][0]
        cells = np.flatnonzero(answer[0] > self._logit(self.config.proposed))
        cover, corner = grid(sides[1], sides[0]), np.array([column.start, row.start])
        boxes = cover.boxes(answer, cells) + np.tile(corner, 2)
        points = cover.points(answer, cells) + corner
        found = Answers(boxes, answer[0, cells].astype(np.float64), points)
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        own = (x >= column.low) & (x < column.high) & (y >= row.low) & (y < row.high)
        return found.take(np.flatnonzero(own))

    def _scores(self, logits: Floats) -> Floats:
        slope, shift = self.config.calibration
        return score(slope * logits + shift)

    def _logit(self, score: float) -> float:
        slope, shift = self.config.calibration
        return float((np.log(score / (1 - score)) - shift) / slope)


class Cut(NamedTuple):
    """Where a tile begins and ends along one side, and from where to where its answers count."""

    start: int
    stop: int
    low: float
    high: float


def _cuts(side: int) -> list[Cut]:
    """Cut a side into tiles that share enough for the largest face."""
    starts = list(range(0, max(1, side - SHARED), TILE - SHARED))
    inner = [start + SHARED / 2 for start in starts[1:]]
    low, high = [-np.inf, *inner], [*inner, np.inf]
    return [
        Cut(start, min(start + TILE, side), *ends) for start, *ends in zip(starts, low, high, strict=True)
    ]


class Answers(NamedTuple):
    """Boxes (N, 4), logits (N,) and five points (N, 5, 2) in pixels of the picture."""

    boxes: Floats
    logits: Floats
    points: Floats

    @classmethod
    def of(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers of several looks."""
        return cls(*(np.concatenate(some) for some in zip(*parts, strict=True)))

    def take(self, index: NDArray[np.intp]) -> Answers:
        """Return the answers of `index`."""
        return Answers(self.boxes[index], self.logits[index], self.points[index])


def score(logits: Floats) -> Floats:
    """Return the logistic function."""
    return np.asarray(1 / (1 + np.exp(-logits)))


def shrink(image: Pixels, width: int, height: int) -> Pixels:
    """Return the picture resized; halved first where it shrinks by more than half, against aliasing."""
    while image.shape[1] >= 2 * width and image.shape[0] >= 2 * height and min(image.shape[:2]) > 1:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _squares(boxes: Floats) -> Floats:
    """Return the squares (N, 4) about boxes that a closer look shows."""
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = ROOM * np.sqrt(sides.prod(1, keepdims=True)) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def _overlap(boxes: Floats, other: Floats) -> Floats:
    """Return the intersection over union of boxes (N, 4) with one (4,)."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    shared = np.maximum(high - low, 0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (other[2:] - other[:2]).prod()
    return np.asarray(shared / (areas - shared))


def _shipped(name: str) -> Path:
    return weights.folder(name)


def _checked(folder: Path) -> weights.Checked:
    files = weights.Checked(folder)
    if files.card.method != Glance.name:
        raise WeightsError(f"{folder}: these are weights of {files.card.method}, not of {Glance.name}")
    return files
