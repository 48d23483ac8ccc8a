"""Training images: a photo scaled and rotated, mosaics of photos, faces pasted onto empty backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.image import Pixels
from meanshape.detectors.glance import spoil
from meanshape.detectors.glance.photos import ROW, Floats, Photo

Generator = np.random.Generator
FEWEST = 7.0
"""Pixels below which a face is ignored."""
SEEN, HINT = 0.45, 0.05
"""Share of a face inside the picture from which it counts, and from which it is ignored."""
MAGNIFIED = 3.0
EMPTY = {"one": 0.12, "mosaic": 0.12, "pasted": 0.14}
"""Share of photos without people in each kind of picture."""
EASY = 0.03
"""How often a photo without people is drawn in which nothing looks like a face; the most difficult: 1."""
CROWDED = {"one": 0.7, "mosaic": 0.36, "pasted": 0.25}
"""Of the others, the share of photos of which all faces are labelled."""


class Composer:
    """Makes the pictures of `side` pixels."""

    def __init__(self, photos: Sequence[Photo], empty: Sequence[Photo], side: int) -> None:
        """Keep photos with people, those with every face labelled apart, and photos without.

        `difficulty` (E,) is the highest score that the network lately gave in each photo without people.
        """
        every = [photo for photo in photos if np.isnan(photo.heads[:, 5:]).any()]
        single = [photo for photo in photos if not np.isnan(photo.heads[:, 5:]).any()]
        self.crowds, self.portraits = every or single, single or every
        self.empty, self.side = list(empty), side
        self.difficulty = np.full(len(self.empty), 0.5)

    def __call__(self, rng: Generator) -> tuple[Pixels, Floats, Floats]:
        """Return a picture, its faces (N, 14: box and five points) and boxes to ignore (M, 4)."""
        side, kind = self.side, rng.random()
        canvas = self._background(rng)
        faces: list[Floats] = []
        ignored: list[Floats] = []
        if kind < 0.42:
            self._put(canvas, (0, 0, side, side), "one", (55.0, 210.0), faces, ignored, rng)
        elif kind < 0.87:
            for part in _parts(side, 2 if kind < 0.68 else 3, rng):
                most = max(20.0, 0.9 * min(part[2] - part[0], part[3] - part[1]))
                self._put(canvas, part, "mosaic", (14.0, most), faces, ignored, rng)
        else:
            taken: list[tuple[int, int, int, int]] = []
            for _ in range(int(rng.integers(1, 9))):
                size = _between(8, 90, rng)
                part = _place(side, size, rng)
                if any(
                    part[0] < b[2] and b[0] < part[2] and part[1] < b[3] and b[1] < part[3] for b in taken
                ):
                    continue
                taken.append(part)
                self._put(canvas, part, "pasted", (0.9 * size, 1.1 * size), faces, ignored, rng)
        rows = np.array(faces).reshape(-1, ROW)
        spoil.cover(canvas, rows, rng)
        return spoil.photograph(canvas, rng), rows[:, :14], np.array(ignored).reshape(-1, 4)

    def _background(self, rng: Generator) -> Pixels:
        side = self.side
        canvas = np.empty((side, side, 3), np.uint8)
        if not self.empty or rng.random() >= 0.75:
            canvas[:] = rng.integers(0, 256, 3)
            return canvas
        image = self.empty[int(rng.integers(len(self.empty)))].pixels
        high, wide = image.shape[:2]
        scale = max(_between(0.5, 2.2, rng), side / high, side / wide)
        x, y = (rng.uniform(min(side - length * scale, 0), 0) for length in (wide, high))
        lay(canvas, image, np.array([[scale, 0, x], [0, scale, y]]))
        return canvas

    def _draw(self, kind: str, rng: Generator) -> tuple[Photo, bool]:
        """Return a photo, and whether it is one of a crowd."""
        if self.empty and rng.random() < EMPTY[kind]:
            share = EASY + self.difficulty**2
            return self.empty[int(rng.choice(len(self.empty), p=share / share.sum()))], False
        crowd = rng.random() < CROWDED[kind]
        photos = self.crowds if crowd else self.portraits
        return photos[int(rng.integers(len(photos)))], crowd

    def _put(
        self,
        canvas: Pixels,
        part: tuple[int, int, int, int],
        kind: str,
        sizes: tuple[float, float],
        faces: list[Floats],
        ignored: list[Floats],
        rng: Generator,
    ) -> None:
        """Draw a photo into a part of the canvas, zoomed to one of its faces, and add its faces."""
        photo, crowd = self._draw(kind, rng)
        tile = canvas[part[1] : part[3], part[0] : part[2]]
        degrees, flip = _turn(rng), bool(rng.random() < 0.5)
        if crowd and kind == "one":
            sizes = (8.0, sizes[1])
        scale, center, place = _frame(photo, tile.shape[:2], sizes, crowd, rng)
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
        matrix = np.column_stack([turn, place - turn @ center])
        lay(tile, photo.pixels, matrix)
        corner = np.array(part[:2], float)
        for head in photo.heads:
            row, seen = _moved(head, matrix, scale, degrees, flip, tile.shape[:2])
            if seen <= HINT:
                continue
            row[:14] += np.tile(corner, 7)
            small = scale * np.sqrt(head[2] * head[3]) < FEWEST
            if seen < SEEN or small:
                ignored.append(row[:4])
            else:
                faces.append(row)
        for box in photo.ignored:
            corners = box[[[0, 1], [2, 1], [2, 3], [0, 3]]] @ turn.T + matrix[:, 2]
            low, high = np.maximum(corners.min(0), 0), np.minimum(corners.max(0), tile.shape[1::-1])
            if (high > low).all():
                ignored.append(np.concatenate([low + corner, high + corner]))


def lay(tile: Pixels, image: Pixels, matrix: Floats) -> None:
    """Draw a picture, mapped by `matrix` (2, 3), over a tile, in place, as far as it reaches."""
    high, wide = tile.shape[:2]
    full = np.vstack([matrix, [0, 0, 1]])
    corners = np.linalg.inv(full)[:2] @ np.array([[-1, wide, wide, -1], [-1, -1, high, high], [1, 1, 1, 1]])
    x0, y0 = np.clip(np.floor(corners.min(1) - 2), 0, image.shape[1::-1]).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(1) + 3), 0, image.shape[1::-1]).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    part: NDArray[np.uint8] = image[y0:y1, x0:x1]
    full = full @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    scale = float(np.sqrt(abs(np.linalg.det(full[:2, :2]))))
    if scale < 0.75:  # a warp alone would alias
        size = [max(2, round(length * max(scale * 1.15, 0.02))) for length in part.shape[1::-1]]
        fx, fy = size[0] / part.shape[1], size[1] / part.shape[0]
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        full = full @ np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    tile[:] = cv2.warpAffine(
        part, full[:2], (wide, high), dst=np.ascontiguousarray(tile), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )  # fmt: skip


def reach(width: float, height: float, degrees: float) -> Floats:
    """Return half the sides of the upright box of a head: of an ellipse, turned."""
    cos, sin = np.cos(np.radians(degrees)) ** 2, np.sin(np.radians(degrees)) ** 2
    return np.sqrt([width**2 * cos + height**2 * sin, width**2 * sin + height**2 * cos]) / 2


def _moved(
    head: Floats, matrix: Floats, scale: float, degrees: float, flip: bool, tile: tuple[int, ...]
) -> tuple[Floats, float]:
    """Return a head's row on a tile (box cut by its border, points, degrees), and the share inside."""
    turn = matrix[:, :2]
    middle = turn @ head[:2] + matrix[:, 2]
    angle = (-head[4] if flip else head[4]) + degrees
    half = reach(head[2] * scale, head[3] * scale, angle)
    low, high = np.maximum(middle - half, -0.5), np.minimum(middle + half, np.array(tile[1::-1]) - 0.5)
    seen = float(np.maximum(high - low, 0).prod() / max(float((2 * half).prod()), 1e-6))
    points = head[5:].reshape(5, 2) @ turn.T + matrix[:, 2]
    if flip:
        points = points[[1, 0, 2, 4, 3]]
    return np.concatenate([low, high, points.ravel(), [angle]]), seen


def _frame(
    photo: Photo, tile: tuple[int, ...], sizes: tuple[float, float], crowd: bool, rng: Generator
) -> tuple[float, Floats, Floats]:
    """Return how much a photo is scaled, and which of its points comes to lie where on a tile."""
    high, wide = photo.pixels.shape[:2]
    tall, broad = tile
    cover = max(broad / wide, tall / high)
    if not len(photo.heads):
        center = rng.uniform(0.2, 0.8, 2) * (wide, high)
        return max(_between(0.5, 2.2, rng), 0.7 * broad / wide), center, np.array([broad, tall]) / 2
    size = np.sqrt(photo.heads[:, 2] * photo.heads[:, 3])
    head = photo.heads[rng.choice(len(size), p=np.sqrt(size) / np.sqrt(size).sum())]
    own = float(np.sqrt(head[2] * head[3]))
    if crowd:
        scale = float(np.clip(_between(0.45, 2.3, rng), max(sizes[0], 7) / own, max(sizes[1] / own, 0.3)))
        scale = max(min(scale, MAGNIFIED), 0.8 * cover)
    else:
        scale = min(_between(*sizes, rng) / own, 2.5)
    half = scale * own / 2
    place = np.array(
        [
            rng.uniform(min(share * half, length / 2), max(length - share * half, length / 2))
            for share, length in ((0.7, broad), (0.8, tall))
        ]
    )
    if not crowd and rng.random() < 0.5:
        place = 0.4 * place + 0.3 * np.array([broad, tall])
    return scale, head[:2], place


def _turn(rng: Generator) -> float:
    """Return degrees: near upright half the time, up to 75 to both sides."""
    kind = rng.random()
    if kind < 0.45:
        return float(rng.normal(0, 7))
    return float(rng.uniform(-45, 45) if kind < 0.83 else rng.uniform(-75, 75))


def _parts(side: int, count: int, rng: Generator) -> list[tuple[int, int, int, int]]:
    """Cut a picture into 2 x 2 or 3 x 3 parts."""
    inner = [(0.3, 0.7)] if count == 2 else [(0.23, 0.39), (0.59, 0.74)]
    x, y = ([0, *(int(rng.uniform(a, b) * side) for a, b in inner), side] for _ in range(2))
    return [(x[i], y[j], x[i + 1], y[j + 1]) for i in range(count) for j in range(count)]


def _place(side: int, size: float, rng: Generator) -> tuple[int, int, int, int]:
    """Return where a crop around a face of some size is pasted."""
    room = size * rng.uniform(1.3, 2.6)
    wide, high = int(min(room * rng.uniform(0.8, 1.4), 0.9 * side)), int(min(room, 0.9 * side))
    x, y = int(rng.integers(0, side - wide)), int(rng.integers(0, side - high))
    return x, y, x + wide, y + high


def _between(low: float, high: float, rng: Generator) -> float:
    """Draw a number log-uniformly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
