"""Hair: a shell over the skull and a curtain that hangs behind the face, both with alpha from strands of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.paint import Light, grain, look_up
from meanshape.datasets.synthetic.person import Person
from meanshape.datasets.synthetic.raster import Layer

# |u| and the height of the hairline there
_LINE = np.array([[0, -64], [40, -64], [56, -58], [70, -46], [84, -33], [98, -24], [108, -14], [116, 2], [123, 14], [130, 16],
                  [138, 0], [150, 2], [165, 45], [190, 88], [267, 92]])  # fmt: skip


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
    line = np.interp(np.abs(u), _LINE[:, 0], _LINE[:, 1])
    front = np.exp(-((u / 60) ** 4))
    line = line + person.hairline * front
    wave = sum(rng.normal(0, 2.2) * np.sin(u / rng.uniform(9, 25) + rng.uniform(0, 6)) for _ in range(3))
    if "fringe" in person.hairdo:
        length, skew = rng.uniform(18, 44), rng.normal(0, 0.35)
        line = line + front * (length * (1 + skew * np.tanh(u / 30)) + wave)
    elif person.hairdo == "parted":
        side = 1 if rng.random() < 0.5 else -1
        line = line + front * (10 * np.tanh(side * u / 22) - 2 + wave * 0.5)
    else:
        line = line + front * wave * 0.6
    inside = (line - v).astype(np.float32)
    volume = person.hair_volume * (1.6 if person.hairdo != "short" else 1.0)
    thickness = np.clip((inside + 4) / 30, 0, 1) ** 0.7 * volume
    lump = 1 + 0.12 * np.sin(u / 17 + person.seed % 7) * np.sin(v / 21 + person.seed % 5)
    return Hairdo(inside, (thickness * lump).astype(np.float32))


def paint_shell(
    person: Person, style: Hairdo, layer: Layer, normal: Floats, light: Light
) -> tuple[Floats, Floats, Floats]:
    """Colour (h, w, 3), lit share and opacity (h, w) of the shell."""
    inside = look_up(style.inside, layer)
    strand = grain("strands", layer, person.seed + 5, (8.0, 1.3))
    opacity = np.clip((inside + 3.5 * strand + 2) / 7, 0, 1)
    return *_strands(person, strand, normal, light), opacity


def _strands(person: Person, strand: Floats, normal: Floats, light: Light) -> tuple[Floats, Floats]:
    colour = person.hair * np.exp(np.clip(0.45 * strand, -1.2, 1.2))[..., None]
    shade, lit = light.shade(normal, f32(0.3))
    colour = colour * shade
    shine = light.shine(normal, 8) * np.clip(0.5 + 0.5 * strand, 0, 2) * (0.03 + 0.12 * person.gloss)
    colour += shine[..., None] * (0.4 * light.lamp + 1.5 * person.hair * light.lamp)
    return np.asarray(colour, np.float32), lit


def curtain(person: Person) -> tuple[Floats, Floats] | None:
    """Hair that hangs beside and behind the face: vertices (R, C, 3) mm and their opacity."""
    if not person.hairdo.startswith("long"):
        return None
    rng = np.random.default_rng(person.seed + 1)
    edge, end = rng.uniform(72, 98), rng.uniform(70, 230)
    angle = np.radians(np.linspace(edge, 360 - edge, 33))[None, :]
    t = np.linspace(0, 1, 16)[:, None]
    y = -55 + (end + 55) * t + 0 * angle
    swell = 1 + rng.uniform(-0.02, 0.3) * np.sin(np.pi * np.minimum(t * 1.1, 1)) + rng.uniform(-0.1, 0.1) * t
    wave = 1 + 0.035 * np.sin(y / rng.uniform(9, 30) + angle * 5) * rng.uniform(0, 1.5) * np.minimum(t * 3, 1)
    reach = person.hair_volume * 1.1
    x = (76 + reach) * np.sin(angle) * swell * wave
    z = (88 + reach) * np.cos(angle) * swell
    opacity = np.clip((1 - t) * rng.uniform(3, 9), 0, 1) + 0 * angle
    return np.stack([x, y, z], -1).astype(np.float32), opacity.astype(np.float32)


def paint_curtain(
    person: Person, cover: Floats, layer: Layer, normal: Floats, light: Light
) -> tuple[Floats, Floats, Floats]:
    """Colour (h, w, 3), lit share and opacity (h, w) of the curtain."""
    strand = grain("strands", layer, person.seed + 9, (22.0, 6.0))
    edge = np.minimum(layer.column, 32 - layer.column)
    opacity = np.clip(look_up(cover, layer) * 1.5 + 0.4 * strand + 0.1, 0, 1) * np.clip(
        edge * 1.5 + 0.8 * strand + 0.6, 0, 1
    )
    facing = np.where(normal[..., 2:] < 0, -normal, normal)
    colour, lit = _strands(person, strand, facing, light)
    colour *= np.where(normal[..., 2:] < 0, np.float32(0.45), np.float32(1))  # its inner side lies in shadow
    return colour, lit, opacity
