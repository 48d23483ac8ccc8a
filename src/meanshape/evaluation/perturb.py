"""What robustness does to a face before a model sees it: a table of named changes, each with levels.

A change takes a `View` (pixels, true points, the box that the model gets) and gives another. Sizes are
relative to the face, so that a level means the same in every picture.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import BoxError
from meanshape.core.geometry import apply
from meanshape.core.image import Pixels, warp

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class View:
    """A face as it is shown: RGB pixels, true points (K, 2), the canonical box.

    `zoom` is how far it is magnified: errors in pixels grow by it.
    """

    pixels: Pixels
    points: NDArray[np.float64]
    box: Box
    zoom: float = 1.0


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A change of a given strength."""

    name: str
    unit: str
    levels: tuple[float, ...]
    change: Callable[[View, float, Random], View]


def shift_box(view: View, level: float, rng: Random) -> View:
    """Move the box by up to `level` of its width and of its height."""
    dx, dy = rng.uniform(-level, level, 2)
    return replace(view, box=view.box.shifted(dx * view.box.width, dy * view.box.height))


def scale_box(view: View, level: float, rng: Random) -> View:
    """Scale the box by a factor of 1 - `level` to 1 + `level`."""
    return replace(view, box=view.box.scaled(rng.uniform(1 - level, 1 + level)))


def jitter_box(view: View, level: float, rng: Random) -> View:
    """Move and scale the box, both by up to `level`."""
    return scale_box(shift_box(view, level, rng), level, rng)


def rotate(view: View, level: float, rng: Random) -> View:
    """Turn the picture about the face by `level` degrees, left or right; the box stays upright."""
    angle = np.deg2rad(level * rng.choice((-1, 1)))
    height, width = view.pixels.shape[:2]
    c, s = np.cos(angle), np.sin(angle)
    x, y = view.box.center
    matrix = np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])
    points = apply(matrix, view.points)
    box = view.box
    if _tight(view):
        box = Box.around(points)
    return replace(view, pixels=warp(view.pixels, matrix, (width, height)), points=points, box=box)


def blur(view: View, level: float, rng: Random) -> View:
    """Blur by a Gaussian whose deviation is `level` percent of the face size."""
    import cv2

    sigma = level / 100 * view.box.size
    return replace(view, pixels=_pixels(cv2.GaussianBlur(view.pixels, (0, 0), max(sigma, 1e-3))))


def noise(view: View, level: float, rng: Random) -> View:
    """Add Gaussian noise of deviation `level` (of 255)."""
    added = rng.standard_normal(view.pixels.shape, np.float32) * np.float32(level)
    return replace(view, pixels=_pixels(view.pixels + added))


def jpeg(view: View, level: float, rng: Random) -> View:
    """Compress as JPEG of quality `level`."""
    from PIL import Image

    from meanshape.core.image import read_image

    buffer = io.BytesIO()
    Image.fromarray(view.pixels).save(buffer, "JPEG", quality=round(level))
    return replace(view, pixels=read_image(buffer.getvalue()))


def resolution(view: View, level: float, rng: Random) -> View:
    """Shrink the picture until the face measures `level` pixels; a smaller one stays."""
    factor = level / view.box.size
    if factor >= 1:
        return view
    height, width = view.pixels.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    x, y = size[0] / width, size[1] / height
    matrix = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])
    left, top, right, bottom = view.box.as_list()
    (left, top), (right, bottom) = apply(matrix, [(left, top), (right, bottom)])
    box, zoom = Box(left, top, right, bottom), view.zoom * float(np.sqrt(x * y))
    return View(warp(view.pixels, matrix, size), apply(matrix, view.points), box, zoom)


def occlude(view: View, level: float, rng: Random) -> View:
    """Cover `level` of the box's area, somewhere in the box, with a rectangle of one random colour."""
    height, width = view.pixels.shape[:2]
    aspect = np.sqrt(level) * 2 ** rng.uniform(-0.5, 0.5)
    across = min(1.0, aspect) * view.box.width
    down = min(1.0, level * view.box.width / across) * view.box.height
    left = view.box.left + rng.uniform(0, 1) * (view.box.width - across)
    top = view.box.top + rng.uniform(0, 1) * (view.box.height - down)
    x0, x1 = np.clip(np.round([left, left + across]).astype(int) + 1, 0, width)
    y0, y1 = np.clip(np.round([top, top + down]).astype(int) + 1, 0, height)
    covered = view.pixels.copy()
    covered[y0:y1, x0:x1] = rng.integers(0, 256, 3)
    return replace(view, pixels=covered)


def darken(view: View, level: float, rng: Random) -> View:
    """Keep `level` of the light."""
    return replace(view, pixels=_pixels(view.pixels.astype(np.float32) * level))


TABLE = {
    found.name: found
    for found in (
        Perturbation("shift", "of the box", (0.05, 0.1, 0.2), shift_box),
        Perturbation("scale", "of the box", (0.05, 0.1, 0.2), scale_box),
        Perturbation("box", "shift and scale", (0.05, 0.1, 0.2), jitter_box),
        Perturbation("rotation", "degrees", (15, 30, 45, 60), rotate),
        Perturbation("blur", "% of face size", (1, 2, 4), blur),
        Perturbation("noise", "of 255", (8, 16, 32), noise),
        Perturbation("jpeg", "quality", (50, 20, 10), jpeg),
        Perturbation("resolution", "px of face", (80, 40, 20), resolution),
        Perturbation("occlusion", "of the box", (0.1, 0.2, 0.3), occlude),
        Perturbation("darkness", "of the light", (0.5, 0.25, 0.1), darken),
    )
}


def _tight(view: View) -> bool:
    """Tell whether the box is the tight box of the points, so that it turns with them."""
    try:
        tight = Box.around(view.points)
    except BoxError:
        return False
    return bool(np.allclose(tight.as_list(), view.box.as_list(), atol=1e-6 * view.box.size))


def _pixels(values: NDArray[np.generic]) -> Pixels:
    """Return values as uint8, rounded and clipped."""
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels
