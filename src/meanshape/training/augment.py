"""Augmentation: one affine warp per sample (rotation, scale, shift, flip), then colour, blur, JPEG and
occluders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation of a sample. Lengths in face boxes, angles in degrees, the rest probabilities."""

    shift: float = 0.06
    scale: float = 0.1
    rotation: float = 15.0
    flip: float = 0.5
    colour: float = 0.4
    grey: float = 0.15
    blur: float = 0.2
    jpeg: float = 0.1
    noise: float = 0.1
    occluder: float = 0.25


def jitter_matrix(rng: np.random.Generator, augmentation: Augmentation, box_size: float) -> Float:
    """Return a random similarity (2, 3) about the origin: rotation, log-normal scale, shift in pixels."""
    angle = math.radians(float(np.clip(rng.normal(0, augmentation.rotation), -60, 60)))
    scale = math.exp(float(np.clip(rng.normal(0, augmentation.scale), -0.4, 0.4)))
    dx, dy = np.clip(rng.normal(0, augmentation.shift, 2), -0.25, 0.25) * box_size
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, dx], [s, c, dy]])


def recolour(rng: np.random.Generator, image: UInt8, augmentation: Augmentation) -> UInt8:
    """Change brightness, contrast, gamma and cast by a look-up table per channel, sometimes to grey."""
    if rng.random() < augmentation.colour:
        levels = np.arange(256, dtype=np.float32) / 255
        gamma = math.exp(rng.normal(0, 0.25))
        contrast, brightness = math.exp(rng.normal(0, 0.2)), rng.normal(0, 0.1)
        cast = np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
        table = ((levels**gamma - 0.5) * contrast + 0.5 + brightness)[:, None] * cast
        image = as_pixels(cv2.LUT(image, np.clip(table * 255, 0, 255).astype(np.uint8)[None]))
    if rng.random() < augmentation.grey:
        image = as_pixels(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    return image


def as_pixels(image: Any) -> UInt8:
    """Return an OpenCV result as a typed uint8 array."""
    return np.asarray(image, np.uint8)


def degrade(rng: np.random.Generator, image: UInt8, augmentation: Augmentation) -> UInt8:
    """Apply blur (also by downsampling), JPEG artefacts and noise."""
    height, width = image.shape[:2]
    if rng.random() < augmentation.blur:
        if rng.random() < 0.5:
            image = as_pixels(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 2.0))))
        else:
            small = float(rng.uniform(0.3, 0.8))
            reduced = cv2.resize(
                image, (round(width * small), round(height * small)), interpolation=cv2.INTER_AREA
            )
            image = as_pixels(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR))
    if rng.random() < augmentation.jpeg:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 70))])
        image = as_pixels(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    if rng.random() < augmentation.noise:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape[:2]).astype(np.float32)
        image = np.clip(image + noise[..., None], 0, 255).astype(np.uint8)
    return image


def occlude(
    rng: np.random.Generator, image: UInt8, augmentation: Augmentation, donor: UInt8 | None = None
) -> UInt8:
    """Cover a random rectangle or ellipse with a flat colour, noise or a piece of another picture."""
    if rng.random() >= augmentation.occluder:
        return image
    size = image.shape[0]
    w, h = (int(v) for v in rng.uniform(0.1, 0.45, 2) * size)
    x, y = (int(v) for v in rng.uniform(0, size, 2))
    left, top, right, bottom = (
        max(0, x - w // 2),
        max(0, y - h // 2),
        min(size, x + w // 2),
        min(size, y + h // 2),
    )
    if right <= left or bottom <= top:
        return image
    image = image.copy()
    kind = rng.random()
    if donor is not None and kind < 0.5:
        patch = donor[top:bottom, left:right]
    elif kind < 0.85:
        patch = np.empty((bottom - top, right - left, 3), np.uint8)
        patch[:] = rng.integers(0, 256, 3)
    else:
        patch = rng.integers(0, 256, (bottom - top, right - left, 3)).astype(np.uint8)
    if rng.random() < 0.5:
        image[top:bottom, left:right] = patch
    else:
        mask = np.zeros((bottom - top, right - left), np.uint8)
        middle = (mask.shape[1] // 2, mask.shape[0] // 2)
        cv2.ellipse(mask, middle, middle, 0, 0, 360, 1, -1)
        image[top:bottom, left:right][mask > 0] = patch[mask > 0]
    return image


def change_pixels(
    rng: np.random.Generator, image: UInt8, augmentation: Augmentation, donor: UInt8 | None = None
) -> UInt8:
    """Apply all augmentations that leave the points in place."""
    return degrade(rng, occlude(rng, recolour(rng, image, augmentation), augmentation, donor), augmentation)
