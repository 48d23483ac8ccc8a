"""Pictures for miniatures: a drawn face whose 68 points are known. Nothing to train on, enough to test
readers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from meanshape.core.markup import markup

Floats = NDArray[np.float64]
FIVE = ((36, 42), (42, 48), (30, 31), (48, 49), (54, 55))
"""From which of the 68 points each of the five is the mean."""


def template() -> Floats:
    """The 68 points of a plain face, roughly in -1 … 1."""

    def arc(x: float, y: float, wide: float, high: float, turns: Floats) -> Floats:
        """Points of an ellipse; a turn of 1/2 is its left end in the picture, 3/4 its top."""
        angle = 2 * np.pi * turns
        return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)

    jaw = arc(0, 0, 1.0, 1.15, np.linspace(0.5, 0, 17))
    brows = [arc(x, -0.4, 0.32, 0.15, np.linspace(0.55, 0.95, 5)) for x in (-0.5, 0.5)]
    bridge = np.stack([np.zeros(4), np.linspace(-0.2, 0.25, 4)], axis=1)
    nostrils = arc(0, 0.3, 0.2, 0.1, np.linspace(0.45, 0.05, 5))
    eyes = [arc(x, -0.17, 0.17, 0.08, 0.5 + np.arange(6) / 6) for x in (-0.45, 0.45)]
    lips = [
        arc(0, 0.65, *size, 0.5 + np.arange(n) / n) for n, size in ((12, (0.36, 0.17)), (8, (0.27, 0.07)))
    ]
    return np.concatenate([jaw, *brows, bridge, nostrils, *eyes, *lips])


def draw(path: Path, seed: int, size: tuple[int, int] = (150, 140), gray: bool = False) -> Floats:
    """Draw a face to `path`; its points (68, 2) are whole pixels, and the nose tip is a dark pixel on light
    skin.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    scale = min(size) * rng.uniform(0.26, 0.3)
    center = np.array([width, height]) / 2 + rng.uniform(-0.04, 0.04, 2) * min(size)
    angle = rng.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points: Floats = np.round(template() * scale @ turn + center)
    background, skin = rng.integers(60, 140, 3), rng.integers(200, 235, 3)
    picture = Image.new("RGB", size, tuple(background.tolist()))
    pen = ImageDraw.Draw(picture)
    forehead = np.round((template()[:17] * (1, -1)) * scale @ turn + center)[::-1]
    _polygon(pen, np.concatenate([points[:17], forehead]), tuple(skin.tolist()))
    for part in (points[36:42], points[42:48], points[60:68]):
        _polygon(pen, part, (40, 30, 30))
    for brow in (points[17:22], points[22:27]):
        pen.line([tuple(p) for p in brow.tolist()], fill=(70, 50, 40), width=2)
    pen.point(tuple(points[30].tolist()), fill=(0, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture.convert("L") if gray else picture
    picture.save(path, quality=95, subsampling=0)
    return points


def draw_as(path: Path, seed: int, name: str, size: tuple[int, int] = (150, 140)) -> Floats:
    """Draw a face; return points (K, 2) of a mark-up.

    Points that the 68 give, or that become one of the 68 or of the five, lie in their places; for others
    another of the 68 stands in, the nose tip as point 29.
    """
    points, kind = draw(path, seed, size), markup(name)
    if name == "ibug68":
        return points
    conversion = markup("ibug68").conversions.get(name)
    sources = conversion.sources if conversion else ((),) * len(kind)
    like = [list(many) or [(i + 1) % len(points)] for i, many in enumerate(sources)]
    drawn = np.stack([points[many].mean(axis=0) for many in like])
    for other, places in (("mtfl5", five(points)), ("ibug68", points)):
        if conversion is None and other in kind.conversions:
            for many, place in zip(kind.conversions[other].sources, places, strict=True):
                drawn[list(many)] = place
    return drawn


def five(points: Floats) -> Floats:
    """The five points (5, 2) of the 68."""
    return np.stack([points[first:last].mean(axis=0) for first, last in FIVE])


def _polygon(pen: ImageDraw.ImageDraw, points: Floats, fill: tuple[int, ...]) -> None:
    pen.polygon([tuple(p) for p in points.tolist()], fill=fill)
