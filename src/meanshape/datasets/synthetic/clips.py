"""Rendered clips: one person, still or moving, with the exact points of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic.backdrop import backdrop
from meanshape.datasets.synthetic.camera import Camera
from meanshape.datasets.synthetic.generate import Options, Pixels, Plan, _rng, finish, paste, plan, render

KINDS = ("still", "moving")
NOISE = 2.0
"""Of the sensor, anew in each frame: grey levels, one standard deviation."""
FACE = 0.27
"""Larger side of the face's box by the frame's height."""


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """A frame: time in seconds, pixels uint8 RGB (H, W, 3), and the true points in them."""

    time: float
    pixels: Pixels
    shape: Shape


def clip(
    kind: str = "still",
    frames: int = 60,
    size: tuple[int, int] = (640, 480),
    *,
    seed: int = 0,
    rate: float = 25.0,
) -> Iterator[ClipFrame]:
    """Render a person before a camera that stands still; yields one frame after another.

    Parameters
    ----------
    kind : "still", only the sensor's noise changes; "moving", the head crosses the picture, turns and nods
    frames, rate : how many, and how many a second
    size : width and height in pixels
    seed : the same seed gives the same clip
    """
    if kind not in KINDS:
        raise ConfigError(f"a rendered clip is {' or '.join(KINDS)}, not {kind!r}")
    width, height = size
    tile = int(np.ceil(FACE * height * 2.4))
    behind = backdrop(size, _rng(seed, 6), 1.0)
    for number in range(frames):
        time = number / rate
        x, y, pose = _way(time) if kind == "moving" else (0.0, 0.0, (0.0, 0.0, 0.0))
        options = Options(
            *pose, emotion="neutral", identity=seed, occlusion=0, degrade=False, fill=1 / 2.4, shift=0.0
        )
        corner = np.array([width * (0.5 + x) - tile / 2, height * (0.5 + y) - tile / 2])
        made = _moved(plan(seed, tile, options), corner - np.floor(corner))
        color, alpha, visible = render(made, tile, _rng(seed, 7))
        canvas = behind.copy()
        left, top = (int(place) for place in np.floor(corner))
        paste(canvas, color, alpha, left, top)
        clean = finish(canvas, _rng(seed, 8), degrade=False)
        noise = np.random.default_rng((seed, number)).normal(0, NOISE, clean.shape)
        pixels = np.clip(clean + noise + 0.5, 0, 255).astype(np.uint8)
        yield ClipFrame(time, pixels, Shape(made.points + np.array([left, top]), "ibug68", visible=visible))


def _way(time: float) -> tuple[float, float, tuple[float, float, float]]:
    """Return where the head is, in parts of the picture from its middle, and pitch, yaw, roll in degrees."""
    turn = 2 * np.pi * time
    x, y = 0.22 * np.sin(0.45 * turn), 0.05 * np.sin(0.7 * turn)
    return x, y, (6 * np.sin(0.6 * turn), 22 * np.sin(0.4 * turn), 8 * np.sin(0.5 * turn))


def _moved(made: Plan, shift: NDArray[np.float64]) -> Plan:
    """Return a plan seen `shift` (2,) pixels further right and down."""
    camera = made.camera
    x, y = camera.center
    center = (x + float(shift[0]), y + float(shift[1]))
    return replace(made, camera=Camera(camera.distance, camera.scale, center), points=made.points + shift)
