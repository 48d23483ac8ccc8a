"""A lamp and the sky, and how surfaces answer: channel first, (3, N) for N pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp (unit vector toward it, linear colour), and light from above and from below; (3,) each."""

    toward: Floats
    lamp: Floats
    sky: Floats
    ground: Floats

    def shade(self, normal: Floats, wrap: tuple[float, float, float]) -> tuple[Floats, Floats]:
        """Light (3, N) on a dull surface with normals (3, N), and how much of the lamp reaches it (N,).

        `wrap`: how far each colour creeps round the edge of the shadow, as it does in skin.
        """
        lit = self.toward @ normal
        light = np.empty_like(normal)
        up = 0.5 - 0.5 * normal[1]
        for k in range(3):
            channel = np.maximum(lit + wrap[k], 0)
            channel *= self.lamp[k] / (1 + wrap[k])
            channel += self.ground[k]
            channel += up * (self.sky[k] - self.ground[k])
            light[k] = channel
        return light, np.clip(lit * 1.5 + 0.2, 0, 1)

    def shine(self, normal: Floats, doublings: int) -> Floats:
        """Mirror-like light (N,), 0..1: the cosine to the mirror direction, squared so often."""
        half = self.toward + f32([0, 0, 1])
        value = np.maximum((half / np.linalg.norm(half)) @ normal, 0)
        for _ in range(doublings):
            value = value * value
        return f32(value)


def draw_light(rng: np.random.Generator) -> Light:
    """Draw lamp and surroundings: mostly from above and before, of a warm or cold colour."""
    azimuth = np.radians(rng.normal(0, 42))
    height = np.radians(np.clip(rng.normal(30, 20), -25, 75))
    flat = np.cos(height)
    warmth = rng.normal(0, 0.12)
    contrast, exposure = rng.beta(2, 2), rng.lognormal(0, 0.22)
    surround = np.array([1 - warmth, 1, 1 + warmth]) * rng.normal(1, 0.05, 3) * exposure
    return Light(
        toward=f32([np.sin(azimuth) * flat, -np.sin(height), np.cos(azimuth) * flat]),
        lamp=f32(np.array([1 + warmth, 1, 1 - warmth]) * exposure * (0.35 + 0.85 * contrast)),
        sky=f32(surround * (0.75 - 0.5 * contrast)),
        ground=f32(surround * (0.45 - 0.3 * contrast) * rng.normal((1.05, 1, 0.9), 0.05)),
    )
