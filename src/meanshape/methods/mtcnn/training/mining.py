"""Windows that the earlier stages let through, sorted by what they hold: the next stage's hard examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.methods.mtcnn.training.faces import Bytes, Faces, Floats
from meanshape.methods.mtcnn.training.scenes import Scene
from meanshape.methods.mtcnn.training.windows import (
    NEGATIVE,
    NEGATIVE_BELOW,
    PART,
    PART_ABOVE,
    POSITIVE,
    POSITIVE_ABOVE,
    Samples,
    targets,
)

Find = Callable[[Bytes], Floats]  # a photo -> square windows (N, 4) that the earlier stages pass on
Cut = Callable[[Bytes, Floats, int], Bytes]  # a photo and squares -> crops (N, size, size, 3)


def overlaps(windows: Floats, boxes: Floats) -> Floats:
    """Return all intersections over union (N, M) of windows (N, 4) and boxes (M, 4)."""
    low = np.maximum(windows[:, None, :2], boxes[None, :, :2])
    high = np.minimum(windows[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (windows, boxes)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared))


def sort_windows(
    windows: Floats, scene: Scene, complete: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each window's kind (-1: of no use) and the face it is nearest to.

    In a scene whose labels are not `complete` a window counts as negative only if its centre lies in the
    labelled face: elsewhere there may be faces that nobody labelled.
    """
    kind = np.full(len(windows), -1)
    if not len(scene.boxes):
        return (np.full(len(windows), NEGATIVE) if complete else kind), kind
    table = overlaps(windows, scene.boxes)
    nearest = table.argmax(1)
    best = table[np.arange(len(windows)), nearest]
    near = scene.boxes[nearest]
    centre = (windows[:, :2] + windows[:, 2:]) / 2
    inside = ((centre > near[:, :2]) & (centre < near[:, 2:])).all(1)
    kind[(best < NEGATIVE_BELOW) & (inside | complete)] = NEGATIVE
    kind[(best >= PART_ABOVE) & (best < POSITIVE_ABOVE)] = PART
    kind[best >= POSITIVE_ABOVE] = POSITIVE
    return kind, nearest


def mine(
    items: Iterable[Scene],
    find: Find,
    cut: Cut,
    size: int,
    *,
    complete: bool,
    most: int = 80,
    seed: int = 0,
) -> dict[int, Samples]:
    """Run the earlier stages over `items` and cut what they pass on, at most `most` negatives each."""
    rng = np.random.default_rng(seed)
    found: dict[int, list[Samples]] = {NEGATIVE: [], POSITIVE: [], PART: []}
    for scene in items:
        windows = find(scene.image)
        if not len(windows):
            continue
        kind, nearest = sort_windows(windows, scene, complete)
        for k, samples in found.items():
            rows = np.flatnonzero(kind == k)
            if k == NEGATIVE and len(rows) > most:
                rows = rng.choice(rows, most, replace=False)
            if not len(rows):
                continue
            pixels = cut(scene.image, windows[rows], size)
            if k == NEGATIVE:
                samples.append(Samples.negatives(pixels))
            else:
                near = nearest[rows]
                samples.append(
                    Samples(pixels, *targets(windows[rows], scene.boxes[near], scene.points[near]))
                )
    return {k: Samples.join(v) for k, v in found.items() if v}


def patch_scenes(
    faces: Faces, rows: Sequence[int], rng: np.random.Generator, scale: tuple[float, float] = (0.6, 1.2)
) -> Iterator[Scene]:
    """Yield patches of real photos, resized at random, as scenes with one labelled face."""
    for row in rows:
        view = faces.turned(np.array([row]), np.zeros(1), np.zeros(1, bool))
        patch = faces.patches[row]
        side = round(len(patch) * rng.uniform(*scale))
        zoom = side / len(patch)
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        image = cv2.resize(patch, (side, side), interpolation=way)
        yield Scene(image, (view.boxes + 0.5) * zoom - 0.5, (view.points + 0.5) * zoom - 0.5)
