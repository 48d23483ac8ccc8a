"""Backgrounds: colour, light and clutter behind the faces."""

from __future__ import annotations

import cv2
import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import noise


def backdrop(size: tuple[int, int], rng: np.random.Generator, clutter: float = 1.0) -> Floats:
    """Linear colours (h, w, 3), 0..1, with nobody on them; `clutter` 0..1 says how much lies about."""
    width, height = size
    small = (
        max(width // 2, 16),
        max(height // 2, 16),
    )  # half the pixels: what lies behind is a little blurred anyway
    base = rng.beta(0.8, 2) * (1 + rng.normal(0, 0.3, 3)).clip(0.2, 2)
    picture = np.empty((small[1], small[0], 3), np.float32)
    slope = np.linspace(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), small[1], dtype=np.float32)[:, None]
    side = np.linspace(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), small[0], dtype=np.float32)[None]
    tone = np.exp(slope + side + clutter * 0.35 * _cut("clouds", small, rng))
    picture[:] = tone[..., None] * base.astype(np.float32)
    for _ in range(rng.poisson(7 * clutter)):
        _thing(picture, rng)
    picture *= np.exp(
        np.float32(clutter * rng.uniform(0, 0.3))
        * _cut(str(rng.choice(["soft", "fine", "locks"])), small, rng)
    )[..., None]
    blur = rng.choice([0, 0.7, 1.5, 3.5], p=[0.35, 0.25, 0.2, 0.2]) * min(small) / 64
    if blur:
        picture = f32(cv2.GaussianBlur(picture, (0, 0), float(blur)))
    return np.asarray(np.clip(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), 0, 1), np.float32)


def _cut(kind: str, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A random piece of a noise picture, enlarged or turned."""
    picture = noise(kind)
    if rng.random() < 0.5:
        picture = picture.T
    side = int(rng.integers(64, 400))
    x, y = rng.integers(0, 512 - side, 2)
    return np.asarray(cv2.resize(np.ascontiguousarray(picture[y : y + side, x : x + side]), size), np.float32)


def _thing(picture: Floats, rng: np.random.Generator) -> None:
    """A rectangle, disc, line, polygon or row of stripes somewhere, in place."""
    h, w = picture.shape[:2]
    color = (rng.beta(0.7, 1.8) * (1 + rng.normal(0, 0.45, 3)).clip(0.1, 2.5)).tolist()
    x, y = rng.uniform(0, w), rng.uniform(0, h)
    size = rng.lognormal(-1.5, 0.7) * max(w, h)
    kind = rng.integers(5)
    if kind == 0:
        x2, y2 = x + size * rng.uniform(0.3, 2), y + size * rng.uniform(0.3, 2)
        cv2.rectangle(picture, (int(x), int(y)), (int(x2), int(y2)), color, -1)
    elif kind == 1:
        axes = int(size * 0.5) + 1, int(size * rng.uniform(0.2, 0.6)) + 1
        cv2.ellipse(picture, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, color, -1)
    elif kind == 2:
        x2, y2 = x + rng.normal(0, w), y + rng.normal(0, h)
        cv2.line(picture, (int(x), int(y)), (int(x2), int(y2)), color, int(rng.integers(1, max(w // 20, 3))))
    elif kind == 3:
        angle = np.sort(rng.uniform(0, 2 * np.pi, 5))
        points = np.stack([x + size * np.cos(angle), y + size * np.sin(angle)], 1)
        cv2.fillPoly(picture, [points.astype(np.int32)], color)
    else:
        step = size * 0.25 + 2
        dx, dy = (step, 0) if rng.random() < 0.5 else (0, step)
        for k in range(8):
            a = int(x + k * dx), int(y + k * dy)
            b = (
                int(a[0] + (dx and step * 0.5) + (dy and size * 2)),
                int(a[1] + (dy and step * 0.5) + (dx and size * 2)),
            )
            cv2.rectangle(picture, a, b, color, -1)
