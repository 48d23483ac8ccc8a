"""Square windows around faces and in photos without faces, cut as training samples of one stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.methods.mtcnn.config import Rules
from meanshape.methods.mtcnn.training.faces import GREY, Bytes, Faces, Floats, View

NEGATIVE, POSITIVE, PART, LANDMARK = range(4)
NEGATIVE_BELOW, PART_ABOVE, POSITIVE_ABOVE = 0.3, 0.4, 0.65
"""Of the intersection over union of a square window with the labelled box; between 0.3 and 0.4 of no use."""
WINDOW_SIZE, WINDOW_SHIFT = (0.8, 1.25), 0.2
"""Of positive windows: in the face's short and long side, in its width and height."""


@dataclass
class Samples:
    """Samples of one kind: pixels (N, S, S, 3), box offsets (N, 4), points (N, 10) as x1..x5 y1..y5."""

    pixels: Bytes
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.pixels)

    @classmethod
    def negatives(cls, pixels: Bytes) -> Samples:
        """Return samples that hold no face."""
        n = len(pixels)
        return cls(pixels, np.zeros((n, 4), np.float32), np.zeros((n, 10), np.float32))

    @classmethod
    def join(cls, parts: Sequence[Samples]) -> Samples:
        """Return the samples of all parts in one."""
        return cls(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("pixels", "boxes", "points")))

    def take(self, index: NDArray[np.int64]) -> Samples:
        """Return the samples of `index`."""
        return Samples(self.pixels[index], self.boxes[index], self.points[index])


def iou(a: Floats, b: Floats) -> Floats:
    """Return the row-wise overlap (N,) of boxes a and b, both (N, 4)."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared: Floats = np.clip(high - low, 0, None).prod(1)
    both: Floats = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return shared / (both - shared)


def targets(
    windows: Floats, boxes: Floats, points: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return box offsets (N, 4) and points (N, 10) in units of the windows' sides."""
    side = windows[:, 2:3] - windows[:, :1]
    inside = (points - windows[:, None, :2]) / side[:, None]
    flat = np.concatenate([inside[..., 0], inside[..., 1]], axis=1)
    return ((boxes - windows) / side).astype(np.float32), flat.astype(np.float32)


def _around(boxes: Floats, size: tuple[float, float], shift: float, rng: np.random.Generator) -> Floats:
    extent = boxes[:, 2:] - boxes[:, :2]
    low, high = size[0] * extent.min(1), size[1] * extent.max(1)
    side = low * (high / low) ** rng.random(len(boxes))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + extent * rng.uniform(-shift, shift, (len(boxes), 2))
    return np.concatenate([centre - side[:, None] / 2, centre + side[:, None] / 2], axis=1)


def cut_view(
    pyramids: list[list[Bytes]],
    view: View,
    rows: NDArray[np.int64],
    windows: Floats,
    size: int,
    rng: np.random.Generator,
) -> Bytes:
    """Cut `windows` (N, 4), given in the turned frame of `view.index[rows]`, as (N, size, size, 3)."""
    out = np.empty((len(rows), size, size, 3), np.uint8)
    for n, row in enumerate(rows):
        left, top, right, _ = windows[n]
        zoom = size / (right - left)
        matrix = _window_matrix(view.turn[row], left, top, zoom)
        out[n] = warp_level(pyramids[view.index[row]], matrix, zoom, size, rng)
    return out


def _window_matrix(turn: Floats, left: float, top: float, zoom: float) -> Floats:
    """Return turn followed by the window's map: its edges go to -0.5 and size - 0.5."""
    matrix = turn * zoom
    matrix[:, 2] += -0.5 - np.array([left, top]) * zoom
    return matrix


def pyramid(image: Bytes, smallest: int = 12) -> list[Bytes]:
    """Return the image and its halves, quarters ... by area averaging."""
    out = [image]
    while min(out[-1].shape[:2]) >= 2 * smallest and len(out) < 7:
        height, width = out[-1].shape[:2]
        out.append(cv2.resize(out[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return out


def warp_level(
    levels: list[Bytes], matrix: Floats, zoom: float, size: int, rng: np.random.Generator
) -> Bytes:
    """Warp from the level whose scale suits `zoom`; the choice varies, as sharpness does between cameras."""
    level = int(np.clip(np.floor(-np.log2(zoom) + rng.uniform(0.2, 1.0)), 0, len(levels) - 1))
    image = levels[level]
    fx, fy = levels[0].shape[1] / image.shape[1], levels[0].shape[0] / image.shape[0]
    back = np.array([[fx, 0, 0.5 * fx - 0.5], [0, fy, 0.5 * fy - 0.5], [0, 0, 1.0]])
    out: Bytes = cv2.warpAffine(
        image,
        matrix @ back,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=GREY,
    )
    return out


def from_faces(
    faces: Faces, size: int, rules: Rules, rng: np.random.Generator, views: int
) -> dict[int, Samples]:
    """Cut positives, parts, landmark windows and overlapping negatives from every face, `views` times each.

    Negatives are windows centred on the labelled face whose overlap with it is small: an eye, a chin, or the
    face lost in a large window. Windows beside it may hold faces that nobody labelled, and are not used.
    """
    kinds: dict[int, list[Samples]] = {k: [] for k in range(4)}
    spread = {
        NEGATIVE: ((0.15, 2.4), 0.5),
        POSITIVE: (WINDOW_SIZE, WINDOW_SHIFT),
        PART: ((0.6, 1.6), 0.45),
        LANDMARK: (rules.landmark_size, rules.landmark_shift),
    }
    n, pyramids = len(faces), [pyramid(p) for p in faces.patches]
    for _ in range(views):
        index = np.arange(n)
        angles = rng.normal(0, rules.angle, n) * (rng.random(n) < 0.7)
        view = faces.turned(index, np.clip(angles, -45, 45), rng.random(n) < 0.5)
        for kind in range(4):
            windows = _around(view.boxes, *spread[kind], rng)
            overlap = iou(windows, view.boxes)
            good = (
                overlap < NEGATIVE_BELOW
                if kind == NEGATIVE
                else (overlap >= PART_ABOVE) & (overlap < POSITIVE_ABOVE)
                if kind == PART
                else overlap >= POSITIVE_ABOVE
            )
            rows = np.flatnonzero(good)
            boxes, points = targets(windows[rows], view.boxes[rows], view.points[rows])
            kinds[kind].append(
                Samples(cut_view(pyramids, view, rows, windows[rows], size, rng), boxes, points)
            )
    return {k: Samples.join(v) for k, v in kinds.items()}


def hang_over(pixels: Bytes, share: float, rng: np.random.Generator) -> None:
    """Let a share of the windows (N, S, S, 3) hang over a photo's border: grey fills up to 0.35 of a side."""
    size = pixels.shape[1]
    for row in np.flatnonzero(rng.random(len(pixels)) < share):
        depth = max(1, round(rng.uniform(0, 0.35) * size))
        np.rot90(pixels[row], int(rng.integers(4)))[:depth] = GREY  # a view: any of the four sides


def photo_variant(photo: Bytes, rng: np.random.Generator, turn: bool = True) -> Bytes:
    """Return a face-free photo flipped, turned by quarters, recoloured: one more face-free photo."""
    if turn and rng.random() < 0.5:
        photo = np.rot90(photo, int(rng.integers(1, 4)))
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    mix = np.eye(3)  # of the channels
    if rng.random() < 0.25:
        mix = np.full((3, 3), 1 / 3)
    if rng.random() < 0.15:
        mix = mix[rng.permutation(3)]
    inverted = rng.random() < 0.05
    if rng.random() < 0.3:  # towards skin: what is coloured like a face is harder
        mix = np.outer([1.15, 0.92, 0.8], np.full(3, 1 / 3)) * rng.uniform(0.8, 1.1)
    photo = np.ascontiguousarray(255 - photo if inverted else photo)
    curve = 255 * np.linspace(0, 1, 256) ** rng.uniform(0.6, 1.6)
    curve = (curve - 127) * rng.uniform(0.5, 1.3) + 127 + rng.uniform(-30, 30)
    out: Bytes = cv2.LUT(cv2.transform(photo, mix), np.clip(curve, 0, 255).astype(np.uint8))
    return out


def from_photos(photos: Sequence[Bytes], count: int, size: int, rng: np.random.Generator) -> Bytes:
    """Cut `count` windows of all sizes and turns from variants of face-free photos."""
    out = np.empty((count, size, size, 3), np.uint8)
    per = 40
    for start in range(0, count, per):
        levels = pyramid(photo_variant(photos[int(rng.integers(len(photos)))], rng))
        height, width = levels[0].shape[:2]
        for n in range(start, min(start + per, count)):
            side = float(np.exp(rng.uniform(np.log(14), np.log(min(height, width)))))
            zoom = size / side
            angle = np.deg2rad(rng.uniform(-45, 45)) * (rng.random() < 0.4)
            cx, cy = rng.uniform(0, width), rng.uniform(0, height)
            cx, cy = (np.clip(c, 0.4 * side, e - 0.4 * side) for c, e in ((cx, width), (cy, height)))
            c, s = zoom * np.cos(angle), zoom * np.sin(angle)
            middle = (size - 1) / 2
            matrix = np.array([[c, -s, middle - c * cx + s * cy], [s, c, middle - s * cx - c * cy]])
            out[n] = warp_level(levels, matrix, zoom, size, rng)
    return out


def textures(count: int, size: int, rng: np.random.Generator, big: int = 96) -> Bytes:
    """Draw stripes, checks, blobs, noise, gradients and letters: what photos without faces may also hold."""
    out = np.empty((count, size, size, 3), np.uint8)
    for n in range(count):
        kind = int(rng.integers(5))
        ink, paper = rng.integers(0, 256, 3).tolist(), rng.integers(0, 256, 3).tolist()
        canvas: Bytes = np.full((big, big, 3), paper, np.uint8)
        if kind == 0:
            for _ in range(int(rng.integers(3, 20))):
                place = (int(rng.integers(-10, big)), int(rng.integers(0, big + 10)))
                text = "".join(chr(int(c)) for c in rng.integers(33, 127, int(rng.integers(1, 9))))
                cv2.putText(
                    canvas,
                    text,
                    place,
                    int(rng.integers(0, 8)),
                    float(rng.uniform(0.3, 2)),
                    ink,
                    int(rng.integers(1, 4)),
                    cv2.LINE_AA,
                )
        elif kind == 1:
            for _ in range(int(rng.integers(2, 12))):
                place = (int(rng.integers(0, big)), int(rng.integers(0, big)))
                axes = (int(rng.integers(2, 40)), int(rng.integers(2, 40)))
                colour = rng.integers(0, 256, 3).tolist()
                cv2.ellipse(
                    canvas,
                    place,
                    axes,
                    float(rng.uniform(0, 180)),
                    0,
                    360,
                    colour,
                    int(rng.choice([-1, 1, 3])),
                    cv2.LINE_AA,
                )
        elif kind == 2:
            for _ in range(int(rng.integers(2, 14))):
                a, b = rng.integers(-20, big + 20, (2, 2)).tolist()
                cv2.line(
                    canvas, a, b, rng.integers(0, 256, 3).tolist(), int(rng.integers(1, 14)), cv2.LINE_AA
                )
        elif kind == 3:
            coarse = int(rng.integers(3, 24))
            noise = rng.integers(0, 256, (coarse, coarse, 3 if rng.random() < 0.5 else 1), dtype=np.uint8)
            canvas = cv2.resize(
                np.broadcast_to(noise, (coarse, coarse, 3)).copy(),
                (big, big),
                interpolation=int(rng.choice([0, 1, 2])),
            )
        else:
            y, x = np.mgrid[:big, :big] / big
            wave = np.sin(2 * np.pi * (x * rng.uniform(-6, 6) + y * rng.uniform(-6, 6)) + rng.uniform(0, 6))
            wave = np.sign(wave) if rng.random() < 0.4 else wave
            canvas = (np.array(ink) + (wave[..., None] + 1) / 2 * (np.array(paper) - np.array(ink))).astype(
                np.uint8
            )
        out[n] = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return out
