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

from meanshape.core.errors import WeightsError
from meanshape.methods.mtcnn.pyramid import GREY
from meanshape.methods.mtcnn.pyramid import Crops as Crops

Bytes = NDArray[Any]  # uint8
Floats = NDArray[np.float64]
# pixels (N, 3, H, W) float32 in 0..255 -> face probability, box offsets, points (x1..x5 y1..y5)
Answer = NDArray[np.float32]
Net = Callable[[NDArray[np.float32]], tuple[Answer, Answer, Answer]]

CELL = 12  # P-Net's window
MARGIN = 3  # grey pixels around each level: windows may hang over the photo's border
SMALLEST = 7  # a level's short side: the largest face is 1.7 times the photo's
SMALL = 18  # levels below this cost next to nothing, and few windows fit: they are a third of a step apart
MOST = 3000  # proposals that go on to R-Net, and windows per batch
BATCH = 256
MIRROR = [1, 0, 2, 4, 3, 6, 5, 7, 9, 8]  # x1..x5 y1..y5 of the mirrored face
BLOCK, PAIRS = 128, 2**21  # windows merged at once, and pairs of windows compared at once
SEEN = 2**15  # windows of P-Net that are looked at, the best: crowds on 10-megapixel photos have as many
TILE = 2**21  # pixels of the canvas that P-Net sees at once
NEAR = 0.4  # P-Net's windows that overlap more stand for one place


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
class Scan:
    """How P-Net's window goes over a photo: its side on the finest level, and what scales and moves it."""

    min_face: float  # pixels of the photo
    factor: float  # from level to level
    stride: int = 2  # pixels of a level


@dataclass(frozen=True)
class Level:
    """One scale of the pyramid: its size, and where it lies (top-left, margin included) on the canvas."""

    width: int
    height: int
    x: int
    y: int

    def outer(self, stride: int) -> tuple[int, int]:
        """Return width and height with margins, rounded up so that the next level starts on P-Net's grid."""
        wide, high = (-(-(side + 2 * MARGIN) // stride) * stride for side in (self.width, self.height))
        return wide, high


@lru_cache(maxsize=64)
def layout(width: int, height: int, scan: Scan) -> tuple[tuple[Level, ...], tuple[int, int]]:
    """Place all pyramid levels of a photo on one canvas: one P-Net call serves them all.

    Returns the levels and the canvas's width and height; of some canvas widths, the one that wastes least.
    """
    scale, sizes = CELL / scan.min_face, []
    while (short := min(width, height) * scale) >= SMALLEST:
        sizes.append((max(1, round(width * scale)), max(1, round(height * scale))))
        scale *= scan.factor if short > SMALL else scan.factor ** (1 / 3)
    if not sizes:
        return (), (0, 0)
    outer = [Level(w, h, 0, 0).outer(scan.stride)[0] for w, h in sizes]
    tried = [_pack(sizes, outer[0] + more, scan.stride) for more in (0, *outer[1:])]
    return min(tried, key=lambda packed: packed[1][0] * packed[1][1])


def _pack(
    sizes: list[tuple[int, int]], across: int, stride: int
) -> tuple[tuple[Level, ...], tuple[int, int]]:
    """Place levels on a canvas `across` pixels wide.

    Free space is kept as rectangles: each level goes into the first it fits in, and leaves what is right
    of it and what is under it.
    """
    free = [(0, 0, across, 1 << 30)]
    levels = []
    for w, h in sizes:
        ow, oh = Level(w, h, 0, 0).outer(stride)
        slot = next(i for i, (_, _, fw, fh) in enumerate(free) if fw >= ow and fh >= oh)
        x, y, fw, fh = free.pop(slot)
        levels.append(Level(w, h, x, y))
        free[slot:slot] = [(x + ow, y, fw - ow, oh), (x, y + oh, fw, fh - oh)]
    return tuple(levels), (across, max(v.y + v.outer(stride)[1] for v in levels))


def propose(crops: Crops, pnet: Net, scan: Scan, threshold: float, support: float = 0.0) -> Windows:
    """Return P-Net's windows above `threshold`, moved by its offsets, those of one place made one.

    The window that stays is the mean of those it stands for, weighed by their scores: a better place than
    that of the best alone. Their scores together must reach `support`: around a face P-Net sees one again
    and again, at neighbouring places and scales; a window that stands alone is mostly a mistake.
    """
    seen = _slide(crops, pnet, scan, threshold)
    side = seen.windows[:, 2:] - seen.windows[:, :2]
    boxes, scores = seen.windows + np.concatenate([side, side], axis=1) * seen.offsets, seen.scores
    keep = suppress(boxes, scores, NEAR)
    merged, total = np.empty((len(keep), 4)), np.zeros(len(keep))
    block = max(1, min(BLOCK, PAIRS // max(1, len(boxes))))
    for start in range(0, len(keep), block):
        part = slice(start, start + block)
        shared, union = _overlap(boxes[keep[part]], boxes)
        weight = (shared >= NEAR * union) * scores
        total[part] = weight.sum(1)
        merged[part] = weight @ boxes / total[part, None]
        if start >= MOST and (total >= support).sum() >= MOST:
            break
    backed = np.flatnonzero(total >= support)[:MOST]
    return Windows(merged[backed], scores[keep[backed]])


def cells(image: Bytes, pnet: Net, scan: Scan, threshold: float) -> tuple[Floats, Bytes]:
    """Return the windows (N, 4) that P-Net takes for faces, as it slid over them, and their pixels."""
    seen = _slide(Crops(image), pnet, scan, threshold)
    pixels = [seen.canvas[y : y + CELL, x : x + CELL] for x, y in seen.corners.tolist()]
    return seen.windows, np.array(pixels, np.uint8).reshape(-1, CELL, CELL, 3)


@dataclass(frozen=True)
class _Seen:
    """Windows above a threshold: in the photo, on the canvas (top-left), their scores and offsets."""

    canvas: Bytes
    windows: Floats
    corners: NDArray[np.int64]
    scores: Floats
    offsets: Floats


def _slide(crops: Crops, pnet: Net, scan: Scan, threshold: float) -> _Seen:
    """Run P-Net over all levels at once and gather what it sees above `threshold`."""
    height, width = crops.levels[0].shape[:2]
    plan = _plan(width, height, scan)
    if not plan.levels:
        none = np.empty((0, 4))
        return _Seen(np.empty((0, 0, 3), np.uint8), none, np.empty((0, 2), int), np.empty(0), none)
    canvas = _draw(crops, plan.levels, *plan.size)
    face, moves = _answers(pnet, canvas, scan.stride)
    cell = np.flatnonzero((face.ravel() > threshold) & (plan.owner >= 0))
    if len(cell) > SEEN:
        cell = np.sort(cell[np.argpartition(-face.ravel()[cell], SEEN)[:SEEN]])
    owner = plan.owner[cell]
    corner = np.stack([cell % face.shape[1], cell // face.shape[1]], 1) * scan.stride
    zoom = plan.zoom[owner]
    first = (corner - plan.place[owner]) * zoom - 0.5
    return _Seen(
        canvas,
        np.concatenate([first, first + CELL * zoom], axis=1),
        corner,
        face.ravel()[cell].astype(np.float64),
        moves.reshape(4, -1)[:, cell].T.astype(np.float64),
    )


def _answers(pnet: Net, canvas: Bytes, stride: int) -> tuple[Answer, Answer]:
    """Return what P-Net says of each cell: scores (rows, columns), offsets (4, rows, columns).

    A large canvas is seen in tiles, so that memory does not grow with it.
    """
    rows, columns = ((side - CELL) // stride + 1 for side in canvas.shape[:2])
    face, moves = np.empty((rows, columns), np.float32), np.empty((4, rows, columns), np.float32)
    wide = min(columns, TILE // (CELL * stride))
    high = max(1, TILE // (stride * stride * wide))
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            bottom, right = min(top + high, rows), min(left + wide, columns)
            tile = canvas[
                top * stride : (bottom - 1) * stride + CELL, left * stride : (right - 1) * stride + CELL
            ]
            scores, offsets, _ = pnet(planes(tile[None]))
            there = (bottom - top, right - left)
            if scores.shape != (1, *there) or offsets.shape != (1, 4, *there):
                raise WeightsError(
                    f"P-Net answers {scores.shape[1:]} cells, and {there} belong to its stride"
                )
            face[top:bottom, left:right], moves[:, top:bottom, left:right] = scores[0], offsets[0]
    return face, moves


@dataclass(frozen=True)
class _Plan:
    """What depends on a photo's size alone: the canvas, each cell's level (-1: none), each level's map."""

    levels: tuple[Level, ...]
    size: tuple[int, int]
    owner: NDArray[np.int16]  # (rows * columns,)
    place: NDArray[np.int64]  # (levels, 2): where the photo's corner lies on the canvas
    zoom: Floats  # (levels, 2): photo pixels per canvas pixel


@lru_cache(maxsize=16)
def _plan(width: int, height: int, scan: Scan) -> _Plan:
    (levels, (across, down)), stride = layout(width, height, scan), scan.stride
    owner = np.full([max(0, (n - CELL) // stride + 1) for n in (down, across)], -1, np.int16)
    for number, level in enumerate(levels):
        ow, oh = level.outer(stride)
        y, x = level.y // stride, level.x // stride
        owner[y : y + (oh - CELL) // stride + 1, x : x + (ow - CELL) // stride + 1] = number
    place = np.array([[level.x + MARGIN, level.y + MARGIN] for level in levels]).reshape(-1, 2)
    zoom = np.array([[width / level.width, height / level.height] for level in levels]).reshape(-1, 2)
    return _Plan(levels, (across, down), owner.ravel(), place, zoom)


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


def suppress(boxes: Floats, scores: Floats, limit: float, *, inside: float = 1.0) -> NDArray[np.intp]:
    """Return indices of the boxes that stay, best first: none overlaps a better one by more than `limit`.

    Overlap is intersection over union; with `inside` below 1, also none may lie in a better one (or hold it)
    with more than that share of the smaller. Scores are above 0.
    """
    if len(scores) < 2:
        return np.arange(len(scores))
    if inside >= 1:
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        return np.array(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, limit), np.intp)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    keep, left = [], np.argsort(-scores, kind="stable")
    while len(left):
        best, left = left[0], left[1:]
        keep.append(best)
        shared, union = _overlap(boxes[best : best + 1], boxes[left])
        clash = (shared > limit * union) | (shared > inside * np.minimum(areas[best], areas[left]))
        left = left[~clash[0]]
    return np.array(keep)


def _overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the areas (N, M) that boxes (N, 4) and (M, 4) share, and those they cover together."""
    a, b = np.ascontiguousarray(a.T)[:, :, None], np.ascontiguousarray(b.T)
    wide = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    high = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    return shared, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared


def square(boxes: Floats) -> Floats:
    """Return the squares (N, 4) of the boxes' longer sides about their centres."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def planes(pixels: Bytes) -> NDArray[np.float32]:
    """Return pixels (N, H, W, 3) as the networks take them: (N, 3, H, W) float32."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)


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

    With `mirror` the net sees each crop's mirror image, and its answer is turned back.
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
    """Return what a network says of crops (N, S, S, 3), or of their mirror images, turned back."""
    if not mirror:
        return net(planes(pixels))
    face, offsets, flat = net(planes(pixels[:, :, ::-1]))
    offsets = offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
    flat = flat[:, MIRROR] * np.repeat(np.array([-1, 1], np.float32), 5)
    flat[:, :5] += 1
    return face, offsets, flat


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

    With two looks each face is cut out again by its own box, and looked at (with `mirror`: at its mirror
    image) where training showed it most often; what the looks say is averaged, the score that counts, too.
    """
    found = Windows(found.boxes, found.scores, np.zeros((len(found), 5, 2)))
    for turn in range(looks):
        if not len(found):
            break
        assert found.points is not None
        seen = look(crops, onet, square(found.boxes), 48, mirror and turn == looks - 1)
        before = found.scores, found.boxes, found.points
        scores, boxes, points = ((turn * b + s) / (turn + 1) for b, s in zip(before, seen, strict=True))
        hope = ((turn + 1) * scores + looks - turn - 1) / looks  # their mean, if the looks to come are sure
        good = np.flatnonzero((hope > threshold) & (boxes[:, 2:] > boxes[:, :2]).all(1))
        found = Windows(boxes[good], scores[good], points[good])
        found = found.take(suppress(found.boxes, found.scores, 0.4, inside=0.7))
    return found
