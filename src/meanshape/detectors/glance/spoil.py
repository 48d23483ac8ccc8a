"""What comes between a face and its picture: things before it, blur, darkness, odd colours, files."""

from __future__ import annotations

import cv2
import numpy as np

from meanshape.core.image import Pixels
from meanshape.detectors.glance.photos import Floats

Generator = np.random.Generator
COVERED, SMALLEST = 0.14, 14


def cover(canvas: Pixels, faces: Floats, rng: Generator) -> None:
    """Occlude some faces (box, points, degrees last) by a mask, glasses, a hat or a shape, in place."""
    for face in faces:
        wide, high = face[2:4] - face[:2]
        if rng.random() > COVERED or wide < SMALLEST:
            continue
        kind = rng.random()
        along = 0.0 if kind < 0.75 else rng.uniform(-0.4, 0.4) * wide
        if kind < 0.4:
            down, a, b = 0.25, 0.42, 0.26  # a mask or scarf
        elif kind < 0.6:
            down, a, b = -0.08, 0.48, 0.1  # dark glasses
        elif kind < 0.75:
            down, a, b = -0.4, 0.55, 0.2  # a hat
        else:
            down, a, b = rng.uniform(-0.3, 0.3), rng.uniform(0.15, 0.35), rng.uniform(0.12, 0.3)
        cos, sin = np.cos(np.radians(face[-1])), np.sin(np.radians(face[-1]))
        middle = (face[:2] + face[2:4]) / 2
        x, y = middle + np.array([[cos, -sin], [sin, cos]]) @ [along, down * high]
        _paint(canvas, (x, y), (a * wide, b * high), float(face[-1]), _color(canvas, middle, high, rng), rng)


def _color(canvas: Pixels, middle: Floats, high: float, rng: Generator) -> tuple[float, ...]:
    """Draw a colour: that of the face's skin, any, or a grey."""
    kind = rng.random()
    if kind < 0.35:
        x, y = np.clip([middle[0], middle[1] + 0.05 * high], 0, len(canvas) - 1).astype(int)
        color = canvas[y, x] * rng.uniform(0.7, 1.15)
    else:
        color = rng.uniform(0, 255, 3) if kind < 0.7 else np.full(3, rng.uniform(0, 255))
    return tuple(float(value) for value in np.clip(color, 0, 255))


def _paint(
    canvas: Pixels,
    middle: tuple[float, float],
    half: tuple[float, float],
    degrees: float,
    color: tuple[float, ...],
    rng: Generator,
) -> None:
    """Fill an ellipse or a rectangle."""
    x, y = middle
    if rng.random() < 0.6:
        axes = (max(int(half[0]), 1), max(int(half[1]), 1))
        cv2.ellipse(
            canvas, (int(x), int(y)), axes, degrees + rng.normal(0, 15), 0, 360, color, -1, cv2.LINE_AA
        )
        return
    box = cv2.boxPoints(((x, y), (2 * half[0], 2 * half[1]), degrees + rng.normal(0, 10)))
    cv2.fillConvexPoly(canvas, box.astype(np.int32), color, cv2.LINE_AA)


def photograph(image: Pixels, rng: Generator) -> Pixels:
    """Return the image degraded by blur, low resolution, JPEG, tone changes, grey and noise."""
    side, kind = len(image), rng.random()
    out: Pixels = image
    if kind < 0.12:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    elif kind < 0.2:
        few = int(side * rng.uniform(0.35, 0.8))
        small = cv2.resize(out, (few, few), interpolation=cv2.INTER_AREA)
        out = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    elif kind < 0.26:
        size = int(rng.integers(3, 8))
        streak = np.zeros((size, size), np.float32)
        cv2.line(streak, (0, int(rng.integers(size))), (size - 1, int(rng.integers(size))), 1.0)
        out = np.asarray(cv2.filter2D(out, -1, streak / streak.sum()), np.uint8)
    if rng.random() < 0.12:
        _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))])
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    out = np.asarray(cv2.LUT(out, _tones(rng)), np.uint8)
    if rng.random() < 0.15:
        out = np.asarray(cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 14), (side, side, 1)).astype(np.int16)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    return out


def _tones(rng: Generator) -> Pixels:
    """Draw a table (1, 256, 3): gamma, contrast, brightness, sometimes darkness, and colours."""
    level = np.arange(256) / 255
    gamma, contrast, bright = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.22)), rng.normal(0, 0.08)
    if rng.random() < 0.1:
        contrast, bright = contrast * rng.uniform(0.2, 0.6), bright - rng.uniform(0, 0.15)
    middle = rng.uniform(0.3, 0.6)
    colors = np.exp(rng.normal(0, 0.08, 3)) if rng.random() < 0.6 else np.ones(3)
    tones = ((level**gamma - middle) * contrast + middle + bright)[:, None] * colors
    return np.asarray(np.clip(tones, 0, 1) * 255, np.uint8)[None]
