"""Hair: a shell over the skull and a curtain that hangs behind the face, frayed by strands of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.light import Light
from meanshape.datasets.synthetic.person import Person
from meanshape.datasets.synthetic.surface import Spots

# |u| and the height of the hairline there
_LINE = (
    (0, 40, 56, 70, 84, 98, 108, 116, 123, 130, 138, 150, 165, 190, 267),
    (-64, -64, -58, -46, -33, -24, -14, 2, 14, 16, 0, 2, 45, 88, 92),
)
CURTAIN = (16, 33)


@dataclass(frozen=True, slots=True)
class Hairdo:
    """Millimetres inside the hairline (R, C) over the head's grid, and how thick the hair lies there."""

    inside: Floats
    thickness: Floats


def hairdo(person: Person) -> Hairdo | None:
    """The shell of a person's hair."""
    if person.hairdo == "bald":
        return None
    h = head()
    rng = np.random.default_rng(person.seed)
    u, v = h.u[None, :], h.v[:, None]
    line = np.interp(np.abs(u), *_LINE)
    front = np.exp(-((u / 60) ** 4))
    line = line + person.hairline * front
    wave = np.zeros_like(u)
    for _ in range(3):
        wave = wave + rng.normal(0, 2.2) * np.sin(u / rng.uniform(9, 25) + rng.uniform(0, 6))
    if "fringe" in person.hairdo:
        length, skew = rng.uniform(18, 50), rng.normal(0, 0.45)
        line = line + front * (length * (1 + skew * np.tanh(u / 30)) + wave)
    elif person.hairdo == "parted":
        side = 1 if rng.random() < 0.5 else -1
        line = line + front * (10 * np.tanh(side * u / 22) - 2 + wave * 0.5)
    else:
        line = line + front * wave * 0.6
    inside = line - v
    volume = person.hair_volume * (1.0 if person.hairdo == "short" else 1.6)
    lump = 1 + 0.12 * np.sin(u / 17 + person.seed % 7) * np.sin(v / 21 + person.seed % 5)
    return Hairdo(f32(inside), f32(np.clip((inside + 4) / 30, 0, 1) ** 0.7 * volume * lump))


def shell_cover(person: Person, style: Hairdo, spots: Spots) -> tuple[Floats, Floats]:
    """Opacity (N,) of the shell, and its strands (N,)."""
    strand = _strand(person, spots, 10.0, 1.7)
    return f32((spots.of(style.inside) + 3.5 * strand + 2) / 7), strand


def curtain(person: Person) -> tuple[Floats, Floats] | None:
    """Hair that hangs beside and behind the face: vertices (16, 33, 3) mm and their opacity (16, 33)."""
    if not person.hairdo.startswith("long"):
        return None
    rng = np.random.default_rng(person.seed + 1)
    edge, end = rng.uniform(50, 98), rng.uniform(70, 230)
    angle = np.radians(np.linspace(edge, 360 - edge, CURTAIN[1]))[None, :]
    t = np.linspace(0, 1, CURTAIN[0])[:, None]
    y = -55 + (end + 55) * t + 0 * angle
    swell = 1 + rng.uniform(-0.02, 0.3) * np.sin(np.pi * np.minimum(t * 1.1, 1)) + rng.uniform(-0.1, 0.1) * t
    curl = 0.035 * rng.uniform(0, 1.5) * np.minimum(t * 3, 1)
    wave = 1 + curl * np.sin(y / rng.uniform(9, 30) + angle * 5)
    reach = person.hair_volume * 1.1
    x = (76 + reach) * np.sin(angle) * swell * wave
    z = (88 + reach) * np.cos(angle) * swell
    opacity = np.clip((1 - t) * rng.uniform(3, 9), 0, 1) + 0 * angle
    return f32(np.stack([x, y, z], -1)), f32(opacity)


def curtain_cover(person: Person, cover: Floats, spots: Spots) -> tuple[Floats, Floats]:
    """Opacity (N,) of the curtain, and its strands (N,)."""
    strand = _strand(person, spots, 22.0, 6.0)
    column = spots.column.reshape(-1)[: spots.count]
    edge = np.minimum(column, CURTAIN[1] - 1 - column)
    opacity = np.clip(spots.of(cover) * 1.5 + 0.4 * strand + 0.1, 0, 1)
    return f32(opacity * np.clip(edge * 1.5 + 0.8 * strand + 0.6, 0, 1)), strand


def _strand(person: Person, spots: Spots, across: float, along: float) -> Floats:
    """Noise (N,) of straight or curly hair."""
    if person.curl < 0.6:
        return spots.grain("strands", person.seed + 5, across, along)
    return spots.grain("soft", person.seed + 5, across * person.curl, across * person.curl)


def paint_strands(person: Person, strand: Floats, normal: Floats, light: Light) -> tuple[Floats, Floats]:
    """Colour (3, N) and lit share (N,) of hair; what turns away is its inner side, in shadow."""
    inner = normal[2] < 0
    facing = np.where(inner, -normal, normal)
    shade, lit = light.shade(facing, (0.3, 0.3, 0.3))
    colour = person.hair[:, None] * shade
    contrast = np.float32(0.5 - 0.3 * float(person.hair.mean()) ** 0.5)
    colour *= np.exp(contrast * np.clip(strand, -2.5, 2.5)) * np.where(inner, np.float32(0.45), np.float32(1))
    shine = light.shine(facing, 3) * np.clip(0.5 + 0.5 * strand, 0, 2) * (0.03 + 0.12 * person.gloss)
    colour += (0.4 * light.lamp + 1.5 * person.hair * light.lamp)[:, None] * shine
    return colour, lit


def full_beard(person: Person) -> Hairdo | None:
    """A beard that stands off the skin, as a shell."""
    rng = np.random.default_rng(person.seed + 31)
    length = rng.exponential(9) + 2
    if person.beard < 0.75 or rng.random() < 0.35:
        return None
    h = head()
    u, v = np.abs(h.u[None, :]), h.v[:, None]
    edge = np.interp(u, [0, 22, 30, 50, 80, 108, 120, 132], [86, 82, 74, 68, 58, 32, 14, 10])
    inside = np.minimum(np.minimum(v - edge, (158 + length) - v), (128 - u) * 0.5)
    low = np.clip((v - 70) / 35, 0.2, 1) * np.clip((165 - v) / 30, 0, 1)
    return Hairdo(f32(inside), f32(np.clip((inside + 2) / 22, 0, 1) ** 0.8 * length * low))


def beard_cover(person: Person, shell: Hairdo, spots: Spots) -> tuple[Floats, Floats]:
    """Opacity (N,) of a beard's shell, and its strands (N,)."""
    strand = _strand(person, spots, 10.0, 1.7)
    return f32((spots.of(shell.inside) + 4 * strand - 1) / 7), strand


def hat(person: Person) -> tuple[Hairdo, Floats | None] | None:
    """A hat as a shell over the hair, and the vertices (5, 25, 3) mm of its peak, if it has one."""
    if person.hat is None:
        return None
    h = head()
    rng = np.random.default_rng(person.seed + 21)
    u, v = h.u[None, :], h.v[:, None]
    front, back = rng.uniform(-62, -34), rng.uniform(-40, 25)
    tilt = rng.normal(0, 6)
    edge = front + (back - front) * (0.5 - 0.5 * np.cos(np.clip(np.abs(u) / 200, 0, 1) * np.pi))
    inside = edge + tilt * np.sin(u / 85) - v
    loose = rng.uniform(6, 16) + (0.6 * person.hair_volume if person.hairdo != "bald" else 0)
    shell = Hairdo(f32(inside), f32(np.clip((inside + 3) / 8, 0, 1) ** 0.5 * loose))
    if rng.random() < 0.5:
        return shell, None
    angle = np.radians(np.linspace(-68, 68, 25))[None, :]
    t = np.linspace(0, 1, 5)[:, None]
    out = loose + rng.uniform(35, 75) * t * np.cos(angle) ** 0.7
    y = front - 2 + rng.uniform(-2, 16) * t + 10 * t * np.sin(angle) ** 2
    return shell, f32(
        np.stack([(76 + out * 0.4) * np.sin(angle), y + 0 * angle, (96 + out) * np.cos(angle)], -1)
    )


def hat_cover(shell: Hairdo, spots: Spots) -> Floats:
    """Opacity (N,) of a hat's shell."""
    return f32(spots.of(shell.inside) + 0.5)
