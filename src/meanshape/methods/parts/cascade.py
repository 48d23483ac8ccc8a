"""MTCNN's cascade at work, in numpy and OpenCV: pyramid, proposals, suppression, crops.

The networks come as functions, so that training mines its hard windows with the code that users run.
Boxes are rows (left, top, right, bottom) in pixels of the photo, pixel centres at integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[Any]  # uint8
Floats = NDArray[np.float64]
# pixels (N, 3, H, W) float32 in 0..255 -> face probability, box offsets, points (x1..x5 y1..y5)
Answer = NDArray[np.float32]
Net = Callable[[NDArray[np.float32]], tuple[Answer, Answer, Answer]]

CELL, STRIDE = 12, 2  # P-Net's window and step
MARGIN = 3  # grey pixels around each level: windows may hang over the photo's border
SMALLEST = 9  # a level's short side: the largest face overlaps the photo's short side by a third
GREY = 127
MOST = 3000  # proposals that go on to R-Net, and windows per batch
BATCH = 256
MIRROR = [1, 0, 2, 4, 3, 6, 5, 7, 9, 8]  # x1..x5 y1..y5 of the mirrored face
BLOCK = 64  # boxes compared at once


@dataclass(frozen=True)
class Windows:
    """Scored boxes (N, 4) with, from O-Net on, five points each (N, 5, 2)."""

    boxes: Floats
    scores: Floats
    points: Floats | None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.boxes)

    def take(self, index: NDArray[np.intp]) -> Windows:
        """Return the windows of `index`."""
        return Windows(
            self.boxes[index], self.scores[index], None if self.points is None else self.points[index]
        )


@dataclass(frozen=True)
class Level:
    """One scale of the pyramid: its size, and where it lies (top-left, margin included) on the canvas."""

    width: int
    height: int
    x: int
    y: int

    @property
    def outer(self) -> tuple[int, int]:
        """Width and height with margins, even, so that the next level starts on P-Net's grid."""
        return (self.width + 2 * MARGIN + 1) // 2 * 2, (self.height + 2 * MARGIN + 1) // 2 * 2


@lru_cache(maxsize=64)
def layout(
    width: int, height: int, min_face: float, factor: float
) -> tuple[tuple[Level, ...], tuple[int, int]]:
    """Place all pyramid levels of a photo on one canvas: one P-Net call serves them all.

    Returns the levels and the canvas's width and height; of some canvas widths, the one that wastes least.
    """
    scale, sizes = CELL / min_face, []
    while min(width, height) * scale >= SMALLEST:
        sizes.append((max(1, round(width * scale)), max(1, round(height * scale))))
        scale *= factor
    if not sizes:
        return (), (0, 0)
    outer = [Level(w, h, 0, 0).outer[0] for w, h in sizes]
    tried = [_pack(sizes, outer[0] + more) for more in (0, *outer[1:])]
    return min(tried, key=lambda packed: packed[1][0] * packed[1][1])


def _pack(sizes: list[tuple[int, int]], across: int) -> tuple[tuple[Level, ...], tuple[int, int]]:
    """Place levels on a canvas `across` pixels wide.

    Free space is kept as rectangles: each level goes into the first it fits in, and leaves what is right
    of it and what is under it.
    """
    free = [(0, 0, across, 1 << 30)]
    levels = []
    for w, h in sizes:
        ow, oh = Level(w, h, 0, 0).outer
        slot = next(i for i, (_, _, fw, fh) in enumerate(free) if fw >= ow and fh >= oh)
        x, y, fw, fh = free.pop(slot)
        levels.append(Level(w, h, x, y))
        free[slot:slot] = [(x + ow, y, fw - ow, oh), (x, y + oh, fw, fh - oh)]
    return tuple(levels), (across, max(v.y + v.outer[1] for v in levels))


def propose(crops: Crops, pnet: Net, min_face: float, factor: float, threshold: float) -> Windows:
    """Return P-Net's windows above `threshold`, moved by its offsets; suppressed in and across levels."""
    seen = _slide(crops, pnet, min_face, factor, threshold)
    side = seen.windows[:, 2:] - seen.windows[:, :2]
    found = Windows(seen.windows + np.tile(side, 2) * seen.offsets, seen.scores)
    keep = suppress(found.boxes, found.scores, 0.5, groups=seen.levels, across=0.6)
    return found.take(keep[:MOST])


def cells(image: Bytes, pnet: Net, min_face: float, factor: float, threshold: float) -> tuple[Floats, Bytes]:
    """Return the windows (N, 4) that P-Net takes for faces, as it slid over them, and their pixels."""
    seen = _slide(Crops(image), pnet, min_face, factor, threshold)
    pixels = [seen.canvas[y : y + CELL, x : x + CELL] for x, y in seen.corners.tolist()]
    return seen.windows, np.array(pixels, np.uint8).reshape(-1, CELL, CELL, 3)


@dataclass(frozen=True)
class _Seen:
    """Windows above a threshold: in the photo, on the canvas (top-left), their level, score and offsets."""

    canvas: Bytes
    windows: Floats
    corners: NDArray[np.int64]
    levels: NDArray[np.int64]
    scores: Floats
    offsets: Floats


def _slide(crops: Crops, pnet: Net, min_face: float, factor: float, threshold: float) -> _Seen:
    """Run P-Net over all levels at once and gather what it sees above `threshold`."""
    height, width = crops.levels[0].shape[:2]
    levels, (across, down) = layout(width, height, float(min_face), factor)
    if not levels:
        none = np.empty((0, 4))
        return _Seen(
            np.empty((0, 0, 3), np.uint8), none, np.empty((0, 2), int), np.empty(0, int), np.empty(0), none
        )
    canvas = _draw(crops, levels, across, down)
    face, moves, _ = pnet(planes(canvas[None]))
    i, j = np.nonzero(face[0] > threshold)
    owner = _owners(levels, *face.shape[1:])[i, j]
    i, j, owner = i[owner >= 0], j[owner >= 0], owner[owner >= 0]
    corner = np.stack([j, i], 1) * STRIDE
    place = np.array([[level.x, level.y] for level in levels])[owner]
    zoom = np.array([[width / level.width, height / level.height] for level in levels])[owner]
    first = (corner - place - MARGIN) * zoom - 0.5
    return _Seen(
        canvas,
        np.concatenate([first, first + CELL * zoom], axis=1),
        corner,
        owner,
        face[0, i, j].astype(np.float64),
        moves[0][:, i, j].T.astype(np.float64),
    )


@lru_cache(maxsize=64)
def _owners(levels: tuple[Level, ...], rows: int, columns: int) -> NDArray[np.int64]:
    """Return which level each cell's window lies in, -1 where it lies across two."""
    owner = np.full((rows, columns), -1)
    for number, level in enumerate(levels):
        ow, oh = level.outer
        y, x = level.y // STRIDE, level.x // STRIDE
        owner[y : y + (oh - CELL) // STRIDE + 1, x : x + (ow - CELL) // STRIDE + 1] = number
    return owner


def _draw(crops: Crops, levels: tuple[Level, ...], across: int, down: int) -> Bytes:
    """Return the canvas with all levels: each reduced from the one before it, the first from a halving."""
    canvas = np.full((down, across, 3), GREY, np.uint8)
    source = crops.at_least(levels[0].width, levels[0].height)
    for level in levels:
        top, left = level.y + MARGIN, level.x + MARGIN
        # a step of less than a halving does not alias: bilinear will do, and is faster than averaging
        way = cv2.INTER_AREA if 2 * level.width < source.shape[1] else cv2.INTER_LINEAR
        source = cv2.resize(source, (level.width, level.height), interpolation=way)
        canvas[top : top + level.height, left : left + level.width] = source
    return canvas


def suppress(
    boxes: Floats,
    scores: Floats,
    limit: float,
    *,
    smaller: bool = False,
    groups: NDArray[np.int64] | None = None,
    across: float = 1.0,
) -> NDArray[np.intp]:
    """Return indices of the boxes that stay, best first: none overlaps a better one by more than `limit`.

    Overlap is intersection over union or, with `smaller`, over the smaller box; between boxes of different
    `groups` (pyramid levels) the limit is `across`. Boxes are compared in blocks, not one by one.
    """
    if len(scores) < 2:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    boxes, groups = boxes[order], None if groups is None else groups[order]

    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    area = (right - left) * (bottom - top)

    def clash(a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.bool_]:
        column = a[:, None]
        shared = np.minimum(right[column], right[b]) - np.maximum(left[column], left[b])
        high = np.minimum(bottom[column], bottom[b]) - np.maximum(top[column], top[b])
        shared = np.maximum(shared, 0) * np.maximum(high, 0)
        whole = np.minimum(area[column], area[b]) if smaller else area[column] + area[b] - shared
        most = limit if groups is None else np.where(groups[column] == groups[b], limit, across)
        return np.asarray(shared > most * whole)

    alive = np.ones(len(order), dtype=bool)
    keep: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
    for start in range(0, len(order), BLOCK):
        block = start + np.flatnonzero(alive[start : start + BLOCK])
        stays = [True] * len(block)
        better, worse = (side.tolist() for side in clash(block, block).nonzero())
        for a, b in zip(better, worse, strict=True):
            if a < b and stays[a]:
                stays[b] = False
        keep.append(block[stays])
        rest = start + BLOCK + np.flatnonzero(alive[start + BLOCK :])
        if len(rest):
            alive[rest[clash(keep[-1], rest).any(0)]] = False
    return order[np.concatenate(keep)]


def square(boxes: Floats) -> Floats:
    """Return the squares (N, 4) of the boxes' longer sides about their centres."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def planes(pixels: Bytes) -> NDArray[np.float32]:
    """Return pixels (N, H, W, 3) as the networks take them: (N, 3, H, W) float32."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)


class Crops:
    """Square crops of one photo, each taken from the halving that is nearest to its scale."""

    def __init__(self, image: Bytes) -> None:
        self.levels = [image]

    def __call__(self, squares: Floats, size: int) -> Bytes:
        """Return the crops (N, size, size, 3) of squares (N, 4); grey lies outside the photo."""
        out = np.empty((len(squares), size, size, 3), np.uint8)
        side = np.maximum(squares[:, 2] - squares[:, 0], 1e-3)
        wanted = np.maximum(np.floor(np.log2(side / size) + 0.5), 0).astype(int)
        back = np.zeros((len(squares), 2, 3))  # crop to halving, as OpenCV wants it
        levels: dict[int, Bytes] = {}
        for number in np.unique(wanted).tolist():
            level, fx, fy = self._level(number)
            levels[number] = level
            rows = wanted == number
            step = side[rows] / size
            back[rows, 0, 0], back[rows, 1, 1] = step / fx, step / fy
            back[rows, 0, 2] = (squares[rows, 0] + 0.5 * step + 0.5) / fx - 0.5
            back[rows, 1, 2] = (squares[rows, 1] + 0.5 * step + 0.5) / fy - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for n, number in enumerate(wanted.tolist()):
            cv2.warpAffine(
                levels[number], back[n], (size, size), out[n], flags, cv2.BORDER_CONSTANT, (GREY, GREY, GREY)
            )
        return out

    def at_least(self, width: int, height: int) -> Bytes:
        """Return the smallest halving of the photo that is not smaller than this."""
        number = 0
        while True:
            smaller = self._level(number + 1)[0]
            if len(self.levels) <= number + 1 or smaller.shape[1] < width or smaller.shape[0] < height:
                return self.levels[number]
            number += 1

    def _level(self, wanted: int) -> tuple[Bytes, float, float]:
        while len(self.levels) <= wanted and min(self.levels[-1].shape[:2]) > 1:
            height, width = self.levels[-1].shape[:2]
            half = (max(1, width // 2), max(1, height // 2))
            self.levels.append(cv2.resize(self.levels[-1], half, interpolation=cv2.INTER_AREA))
        image = self.levels[min(wanted, len(self.levels) - 1)]
        return image, self.levels[0].shape[1] / image.shape[1], self.levels[0].shape[0] / image.shape[0]


def decode(squares: Floats, offsets: NDArray[np.float32], flat: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return boxes (N, 4) and points (N, 5, 2) in the photo, from what a network says of squares (N, 4)."""
    side = (squares[:, 2] - squares[:, 0])[:, None]
    points = flat.reshape(-1, 2, 5).transpose(0, 2, 1) * side[:, None] + squares[:, None, :2]
    return squares + offsets * side, points


def from_part(boxes: Floats, part: Sequence[float]) -> Floats:
    """Return the boxes (N, 4) of which `boxes` are the parts with these fractions (see `Box.part`)."""
    low, high = np.asarray(part[:2]), np.asarray(part[2:])
    size = (boxes[:, 2:] - boxes[:, :2]) / (high - low)
    corner = boxes[:, :2] - size * low
    return np.concatenate([corner, corner + size], axis=1)


def look(
    crops: Crops, net: Net, squares: Floats, size: int, mirror: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Run R- or O-Net on squares (N, 4): scores (N,), boxes (N, 4) and points (N, 5, 2) in the photo.

    With `mirror` each crop is seen mirrored, too, and the two answers are averaged.
    """
    scores = np.empty(len(squares))
    boxes, points = np.empty((len(squares), 4)), np.empty((len(squares), 5, 2))
    for start in range(0, len(squares), BATCH):
        part = slice(start, start + BATCH)
        face, offsets, flat = answer(net, crops(squares[part], size), mirror)
        scores[part] = face
        boxes[part], points[part] = decode(squares[part], offsets, flat)
    return scores, boxes, points


def answer(net: Net, pixels: Bytes, mirror: bool) -> tuple[Answer, Answer, Answer]:
    """Return what a network says of crops (N, S, S, 3), with `mirror` on average over both ways round."""
    if not mirror:
        return net(planes(pixels))
    count = len(pixels)
    face, offsets, flat = net(planes(np.concatenate([pixels, pixels[:, :, ::-1]])))
    turned = offsets[count:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
    back = flat[count:, MIRROR] * np.repeat(np.array([-1, 1], np.float32), 5)
    back[:, :5] += 1
    means = ((a[:count] + b) / 2 for a, b in ((face, face[count:]), (offsets, turned), (flat, back)))
    one, two, three = (mean.astype(np.float32) for mean in means)
    return one, two, three


def refine(crops: Crops, rnet: Net, found: Windows, threshold: float) -> Windows:
    """Return what R-Net keeps of P-Net's windows, moved by its offsets."""
    if not len(found):
        return found
    scores, boxes, _ = look(crops, rnet, square(found.boxes), 24)
    good = np.flatnonzero((scores > threshold) & (boxes[:, 2:] > boxes[:, :2]).all(1))
    kept = Windows(boxes[good], scores[good])
    return kept.take(suppress(kept.boxes, kept.scores, 0.7))


def conclude(
    crops: Crops, onet: Net, found: Windows, threshold: float, looks: int = 2, mirror: bool = False
) -> Windows:
    """Return the faces that O-Net sees in R-Net's windows, with five points, best first.

    With two looks each face is cut out again by its own box: the first look starts from R-Net's rough
    window, the second (with `mirror`: both ways round) sees the face where training showed it most often.
    """
    found = Windows(found.boxes, found.scores, np.empty((len(found), 5, 2)))
    for turn in range(looks):
        if not len(found):
            break
        scores, boxes, points = look(crops, onet, square(found.boxes), 48, mirror and turn == looks - 1)
        if turn:  # both looks must agree
            scores = (scores + found.scores) / 2
        good = np.flatnonzero((scores > threshold) & (boxes[:, 2:] > boxes[:, :2]).all(1))
        found = Windows(boxes[good], scores[good], points[good])
        found = found.take(suppress(found.boxes, found.scores, 0.7, smaller=True))
        found = found.take(suppress(found.boxes, found.scores, 0.4))
    return found
