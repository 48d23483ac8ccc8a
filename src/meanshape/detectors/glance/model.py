"""Inference: one pass over the whole image, and a second one on a crop of each uncertain detection.

Images that may hold faces larger than one pass covers are also processed at lower resolutions. The second
pass sees the crop's mirror image; logits, boxes and points of both passes are averaged.
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
STEP = 4  # scale factor from one pass to the next, coarser one
COVERED = 1.3  # sides longer than so many largest faces need a coarser pass, too
MAX_SECOND_PASSES = 300  # detections that get a second pass
CROP_SIDE = 64  # pixels of the second pass's crop
CROP_SCALE = 1.6  # side of the second pass's crop, faces
SAME_FACE_IOU = 0.4  # intersection over union from which the second pass found the same face
NO_FACE_LOGIT = -8.0  # logit of a second pass that does not find the face
INSIDE = 0.8  # share of one detection's box inside another's from which both are one face
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
        passes = [self._detect_at_scale(image, scale) for scale in self._scales(height, width, smallest)]
        found = Detections.of(passes)
        found = found.take(suppress(found.boxes, score(found.logits), self.config.overlap))
        unsure = np.flatnonzero(found.logits < self._logit(self.config.sure))[:MAX_SECOND_PASSES]
        if len(unsure):
            again = self._second_pass(image, found.boxes[unsure], mirror=True)
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
        """Return how many pixels the network processes, over all passes and with the padding."""
        seen = 0
        for scale in self._scales(height, width, self.min_face if min_face is None else min_face):
            high, wide = (
                sum(-(-(cut.stop - cut.start) // MULTIPLE) for cut in _cuts(max(1, round(side * scale))))
                for side in (height, width)
            )
            seen += high * wide * MULTIPLE * MULTIPLE
        return seen

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return for each canonical box the score of a second pass on its crop."""
        if not boxes:
            return []
        heads = np.array([self.head(box).as_list() for box in boxes])
        return [float(one) for one in self._scores(self._second_pass(image, heads).logits)]

    def _second_pass(self, image: Pixels, boxes: Floats, mirror: bool = False) -> Detections:
        """Return detections of the second pass on a crop of each box (N, 4), mirrored if asked for."""
        squares = [Box(*square) for square in _squares(boxes).tolist()]
        crops, maps = zip(*(crop(image, square, CROP_SIDE) for square in squares), strict=True)
        pixels = np.stack(crops)
        answers = self._session({"pixels": pixels[:, :, ::-1] if mirror else pixels})[0]
        cells, found = grid(CROP_SIDE, CROP_SIDE), []
        middle = np.flatnonzero(np.abs(cells.centers - (CROP_SIDE - 1) / 2).max(1) < CROP_SIDE / 4)
        for answer, matrix, box in zip(answers, maps, boxes, strict=True):
            said, points = cells.boxes(answer, middle), cells.points(answer, middle)
            if mirror:
                said[:, [0, 2]] = CROP_SIDE - 1 - said[:, [2, 0]]
                points[..., 0] = CROP_SIDE - 1 - points[..., 0]
                points = points[:, MIRROR]
            back = invert(matrix)
            said = apply(back, said.reshape(-1, 2, 2)).reshape(-1, 4)
            fits = np.where(_overlap(said, box) >= SAME_FACE_IOU, answer[0, middle], NO_FACE_LOGIT)
            best = int(fits.argmax())
            seen = fits[best] > NO_FACE_LOGIT
            found.append((fits[best], said[best] if seen else box, apply(back, points[best])))
        logits, said, points = (np.array(some, float) for some in zip(*found, strict=True))
        return Detections(said, logits, points)

    def _scales(self, height: int, width: int, min_face: float) -> list[float]:
        """Return the scale factor of the image in each pass."""
        scales = [SMALLEST_SEEN / min_face]
        while max(height, width) * scales[-1] > COVERED * LARGEST:
            scales.append(scales[-1] / STEP)
        return scales

    def _detect_at_scale(self, image: Pixels, scale: float) -> Detections:
        """Return detections in the resized image; large images are tiled to bound memory."""
        height, width = image.shape[:2]
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        small = shrink(image, wide, high)
        rows, columns = _cuts(high), _cuts(wide)
        found = Detections.of([self._tile(small, row, column) for row in rows for column in columns])
        by = np.array([width / wide, height / high])
        boxes = (found.boxes.reshape(-1, 2, 2) + 0.5) * by - 0.5
        return Detections(boxes.reshape(-1, 4), found.logits, (found.points + 0.5) * by - 0.5)

    def _tile(self, image: Pixels, row: Cut, column: Cut) -> Detections:
        """Return the detections whose centres lie in the tile's own part, without the overlap."""
        part = image[row.start : row.stop, column.start : column.stop]
        sides = [-(-side // MULTIPLE) * MULTIPLE for side in part.shape[:2]]
        padded = np.full((*sides, 3), GREY, np.uint8)
        padded[: part.shape[0], : part.shape[1]] = part
        answer = self._session({"pixels": padded[None]})[0][0]
        cells = np.flatnonzero(answer[0] > self._logit(self.config.proposed))
        cover, corner = grid(sides[1], sides[0]), np.array([column.start, row.start])
        boxes = cover.boxes(answer, cells) + np.tile(corner, 2)
        points = cover.points(answer, cells) + corner
        found = Detections(boxes, answer[0, cells].astype(np.float64), points)
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
    """Extent of a tile along one side, and the interval in which its detections count."""

    start: int
    stop: int
    low: float
    high: float


def _cuts(side: int) -> list[Cut]:
    """Cut a side into tiles that overlap by more than the largest face."""
    starts = list(range(0, max(1, side - SHARED), TILE - SHARED))
    inner = [start + SHARED / 2 for start in starts[1:]]
    low, high = [-np.inf, *inner], [*inner, np.inf]
    return [
        Cut(start, min(start + TILE, side), *ends) for start, *ends in zip(starts, low, high, strict=True)
    ]


class Detections(NamedTuple):
    """Boxes (N, 4), logits (N,) and five points (N, 5, 2) in pixels of the picture."""

    boxes: Floats
    logits: Floats
    points: Floats

    @classmethod
    def of(cls, parts: Sequence[Detections]) -> Detections:
        """Return the detections of several passes."""
        return cls(*(np.concatenate(some) for some in zip(*parts, strict=True)))

    def take(self, index: NDArray[np.intp]) -> Detections:
        """Return the detections of `index`."""
        return Detections(self.boxes[index], self.logits[index], self.points[index])


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
    """Return the square crops (N, 4) of the second pass around boxes."""
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = CROP_SCALE * np.sqrt(sides.prod(1, keepdims=True)) / 2
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
