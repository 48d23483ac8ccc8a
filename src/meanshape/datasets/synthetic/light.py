"""A lamp and the sky, and how surfaces answer: channel first, (3, N) for N pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp (unit vector toward it, linear colour), a second one, and light from above and from below; (3,)
    each.
    """

    toward: Floats
    lamp: Floats
    second_toward: Floats
    second: Floats
    sky: Floats
    ground: Floats

    def shade(self, normal: Floats, wrap: tuple[float, float, float]) -> tuple[Floats, Floats]:
        """Light (3, N) on a dull surface with normals (3, N), and how much of the lamp reaches it (N,).

        `wrap`: how far each colour creeps round the edge of the shadow, as it does in skin.
        """
        lit, other = self.toward @ normal, np.maximum(self.second_toward @ normal, 0)
        light = np.empty_like(normal)
        up = 0.5 - 0.5 * normal[1]
        for k in range(3):
            channel = np.maximum(lit + wrap[k], 0)
            channel *= self.lamp[k] / (1 + wrap[k])
            channel += self.ground[k]
            channel += up * (self.sky[k] - self.ground[k])
            channel += other * self.second[k]
            light[k] = channel
        return light, np.clip(lit * 1.5 + 0.2, 0, 1)

    def shine(self, normal: Floats, doublings: int) -> Floats:
        """Mirror-like light (N,), 0..1: the cosine to the mirror direction, squared so often."""
        half = self.toward + f32([0, 0, 1])
        value = np.maximum((half / np.linalg.norm(half)) @ normal, 0)
        for _ in range(doublings):
            value = value * value
        return f32(value)


def _direction(azimuth: float, height: float) -> Floats:
    """Unit vector (3,) toward a lamp, by degrees to the picture's right and up."""
    a, h = np.radians([azimuth, height])
    return f32([np.sin(a) * np.cos(h), -np.sin(h), np.cos(a) * np.cos(h)])


def draw_light(rng: np.random.Generator) -> Light:
    """Draw lamps and surroundings: mostly from above and before, of warm or cold colours."""
    hard = rng.random() < 0.18  # a lamp at night, low sun, a stage
    toward = _direction(rng.normal(0, 60 if hard else 42), np.clip(rng.normal(28, 22), -30, 75))
    warmth = rng.normal(0, 0.2 if hard else 0.12)
    contrast, exposure = rng.uniform(0.7, 1.2) if hard else rng.beta(1.6, 2), rng.lognormal(0.05, 0.25)
    surround = np.array([1 - warmth, 1, 1 + warmth]) * rng.normal(1, 0.05, 3) * exposure
    if hard:
        surround *= rng.uniform(0.1, 0.5)
    side = _direction(rng.choice([-1, 1]) * rng.uniform(40, 130), rng.uniform(-15, 50))
    strength = rng.exponential(0.35) * exposure if rng.random() < 0.5 else 0.0
    return Light(
        toward=toward,
        lamp=f32(np.array([1 + warmth, 1, 1 - warmth]) * exposure * (0.35 + 0.85 * contrast)),
        second_toward=side,
        second=f32(strength * rng.normal(1, 0.15, 3).clip(0.4, 1.6)),
        sky=f32(surround * (0.75 - 0.5 * contrast)),
        ground=f32(surround * (0.45 - 0.3 * contrast) * rng.normal((1.05, 1, 0.9), 0.05)),
    )
