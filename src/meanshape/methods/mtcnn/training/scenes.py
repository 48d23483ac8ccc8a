"""Group scenes with every face labelled: faces pasted into people-free photos at many sizes.

They give what the data sets lack: many, small and border-cut faces, and photos in which whatever the
detector finds beside the labelled faces is certainly wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from meanshape.methods.mtcnn.training.faces import Bytes, Faces, Floats, View
from meanshape.methods.mtcnn.training.windows import photo_variant, pyramid


@dataclass
class Scene:
    """A photo with its boxes (N, 4) and points (N, 5, 2), all there are; N may be 0."""

    image: Bytes
    boxes: Floats
    points: Floats


def background(
    photos: Sequence[Bytes], rng: np.random.Generator, side: tuple[int, int] = (300, 700)
) -> Bytes:
    """Return a people-free photo of random size: a variant of one, an enlarged part, or a mosaic of four."""
    image = photo_variant(photos[int(rng.integers(len(photos)))], rng)
    kind = rng.random()
    if kind < 0.3:  # a part, enlarged
        height, width = image.shape[:2]
        share = rng.uniform(0.3, 0.8)
        y, x = int(rng.uniform(0, height * (1 - share))), int(rng.uniform(0, width * (1 - share)))
        image = image[y : y + int(height * share), x : x + int(width * share)]
    elif kind < 0.5:  # four, reduced
        tiles = [photo_variant(photos[int(rng.integers(len(photos)))], rng) for _ in range(4)]
        tiles = [cv2.resize(t, (240, 240), interpolation=cv2.INTER_AREA) for t in tiles]
        image = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    scale = rng.uniform(*side) / max(image.shape[:2])
    size = (max(60, int(image.shape[1] * scale)), max(60, int(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def paste(
    faces: Faces, view: View, place: Bytes, rng: np.random.Generator, sizes: tuple[float, float] = (26, 220)
) -> Scene:
    """Paste the faces of `view` into `place`, apart from one another; some find no room."""
    image = place.copy()
    boxes: list[Floats] = []
    points: list[Floats] = []
    height, width = image.shape[:2]
    for row, i in enumerate(view.index):
        size = float(np.exp(rng.uniform(np.log(sizes[0]), np.log(min(sizes[1], min(height, width) * 0.8)))))
        extent = view.boxes[row, 2:] - view.boxes[row, :2]
        zoom = size / extent.max()
        for _ in range(6):
            centre = rng.uniform(0, 1, 2) * [width, height]
            if rng.random() < 0.85:  # most faces lie inside, some are cut by the border
                centre = np.clip(centre, size * 0.55, np.array([width, height]) - size * 0.55)
            else:
                centre = np.clip(centre, size * 0.2, np.array([width, height]) - size * 0.2)
            box = np.concatenate([centre - extent * zoom / 2, centre + extent * zoom / 2])
            gap = 0.35 * size
            if all(
                box[0] - gap > b[2] or box[2] + gap < b[0] or box[1] - gap > b[3] or box[3] + gap < b[1]
                for b in boxes
            ):
                break
        else:
            continue
        move = centre - zoom * (view.boxes[row, :2] + view.boxes[row, 2:]) / 2
        _blend(image, pyramid(faces.patches[i]), view.turn[row], zoom, move, box, rng)
        boxes.append(box)
        points.append(view.points[row] * zoom + move)
    return Scene(image, np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 5, 2))


def _blend(
    image: Bytes,
    levels: list[Bytes],
    turn: Floats,
    zoom: float,
    move: Floats,
    box: Floats,
    rng: np.random.Generator,
) -> None:
    """Warp a patch into the image about its box, under a soft ellipse or now and then a hard rectangle."""
    height, width = image.shape[:2]
    size = (box[2:] - box[:2]).max()
    grow = rng.uniform(0.12, 0.45, 4) * size
    left, top = np.floor(np.maximum(box[:2] - grow[:2], 0)).astype(int)
    right, bottom = np.ceil(np.minimum(box[2:] + grow[2:], [width, height])).astype(int)
    if right - left < 2 or bottom - top < 2:
        return
    level = int(np.clip(np.floor(-np.log2(zoom) + 0.5), 0, len(levels) - 1))
    ratio = levels[0].shape[1] / levels[level].shape[1]
    matrix = turn * zoom
    matrix[:, 2] += move - [left, top]
    back = np.array([[ratio, 0, 0.5 * ratio - 0.5], [0, ratio, 0.5 * ratio - 0.5], [0, 0, 1.0]])
    window = (int(right - left), int(bottom - top))
    patch = cv2.warpAffine(
        levels[level], matrix @ back, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    patch = np.clip(patch * rng.uniform(0.6, 1.2) + rng.uniform(-20, 20), 0, 255)
    if rng.random() < 0.15:
        patch = np.repeat(patch.mean(2, keepdims=True), 3, axis=2)
    y, x = np.mgrid[top:bottom, left:right]
    if rng.random() < 0.8:
        middle, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 + grow[:2] * 0.8
        far = np.sqrt(((x - middle[0]) / radius[0]) ** 2 + ((y - middle[1]) / radius[1]) ** 2)
        mask = np.clip((1.05 - far) / rng.uniform(0.05, 0.3), 0, 1)[..., None]
    else:
        mask = np.ones((*x.shape, 1))
    region = image[top:bottom, left:right]
    image[top:bottom, left:right] = (region * (1 - mask) + patch * mask).astype(np.uint8)


def scenes(
    faces: Faces, photos: Sequence[Bytes], count: int, rng: np.random.Generator, angle: float = 12.0
) -> list[Scene]:
    """Make `count` scenes with 0 to 30 faces each, a fifth of them without any."""
    out = []
    for _ in range(count):
        number = 0 if rng.random() < 0.2 else int(rng.integers(1, 31))
        index = rng.integers(len(faces), size=number)
        view = faces.turned(index, np.clip(rng.normal(0, angle, number), -45, 45), rng.random(number) < 0.5)
        out.append(paste(faces, view, background(photos, rng), rng))
    return out
