"""Colours of what the head shows at each pixel: skin, lips, brows, beard, eyes and mouth, under one light."""

from __future__ import annotations

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.light import Light
from meanshape.datasets.synthetic.person import Person
from meanshape.datasets.synthetic.surface import Spots, mix, unit

SKIN_WRAP = (0.45, 0.30, 0.22)


def _tint(colour: Floats, mask: Floats, loss: tuple[float, float, float]) -> None:
    """Take a share of each channel away where the mask is, in place."""
    for k in range(3):
        colour[k] *= 1 - mask * np.float32(loss[k])


def paint_skin(
    person: Person,
    spots: Spots,
    mask: dict[str, Floats],
    normal: Floats,
    light: Light,
    moves: dict[str, float],
) -> tuple[Floats, Floats]:
    """Colour (3, N) and lit share (N,) of a head's skin with all that grows on it."""
    places = spots.unrolled()
    soft = spots.grain("soft", person.seed, 2.0, 2.0, places)
    fine = spots.grain("fine", person.seed + 77, 3.3, 3.3, places)
    strand = spots.grain("strands", person.seed + 1234, 4.5, 0.9, places)
    cloud = spots.grain("clouds", person.seed + 9, 1.5, 1.5, places)
    uneven = np.float32(person.mottle)
    colour = person.skin[:, None] * np.exp(uneven * (0.035 * soft + 0.04 * fine + 0.05 * cloud))
    _tint(colour, 0.05 * uneven * np.clip(cloud + soft, 0, 3), (0.3, 1.0, 0.9))
    _tint(colour, mask["blush"] * np.float32(person.blush), (0.02, 0.20, 0.16))
    tired = 0.25 + 0.5 * person.age
    _tint(colour, mask["tired"], (0.30 * tired, 0.36 * tired, 0.28 * tired))
    if person.freckles:
        _tint(colour, np.clip(fine - 1.2, 0, 1) * mask["blush"] * person.freckles, (0.35, 0.5, 0.55))
    fold = 0.18 * max(moves.get("smile", 0), 0) + 0.4 * max(person.age - 0.25, 0)
    colour *= 1 - np.float32(fold) * mask["wrinkle"]
    mix(colour, person.lips[:, None] * (1 + 0.08 * fine), mask["lips"] * np.float32(person.lip_strength))
    _grow(person, mask, colour, (soft, fine, strand))
    hollow = mask["hollow"]
    _tint(colour, hollow, (0.72, 0.82, 0.86))
    shade, lit = light.shade(normal, SKIN_WRAP)
    colour *= shade
    gloss = 0.05 + 0.2 * person.gloss * mask["gloss"] + 0.10 * mask["lips"]
    colour += light.lamp[:, None] * (light.shine(normal, 4) * gloss * lit * (1 - hollow))
    lash = mask["lash"] * np.float32(1.2 * person.lash * (0.65 if moves.get("eye_close", 0) > 0.6 else 1))
    mix(colour, f32([[0.012], [0.009], [0.008]]), np.minimum(lash, 0.95))
    return colour, lit


def _grow(
    person: Person, mask: dict[str, Floats], colour: Floats, noise: tuple[Floats, Floats, Floats]
) -> None:
    """Beard, stubble and brows, in place."""
    soft, fine, strand = noise
    hair = person.hair[:, None]
    for name, amount in (("beard", person.beard), ("moustache", person.moustache)):
        if amount:
            cover = np.clip(mask[name] * (1.2 + 0.35 * strand + 0.3 * soft) * (0.5 + amount) - 0.15, 0, 0.97)
            mix(colour, hair * np.exp(0.35 * strand), cover * (1 - 0.7 * mask["lips"]))
    if person.stubble:
        cover = (
            np.maximum(mask["beard"], mask["moustache"])
            * np.clip(0.6 + 0.4 * fine, 0, 1)
            * (1 - mask["lips"])
        )
        mix(colour, 0.5 * hair + 0.2 * person.skin[:, None], cover * np.float32(0.65 * person.stubble))
    brow = np.clip((mask["brow"] - person.brow_edge) * 2.6, 0, 1) * np.clip(
        0.9 + 0.14 * strand + 0.1 * fine, 0.2, 1
    )
    mix(colour, person.brow[:, None] * np.exp(0.25 * fine), brow * np.float32(person.brow_strength))


def paint_eyes(
    colour: Floats,
    mask: Floats,
    local: Floats,
    person: Person,
    light: Light,
    corners: Floats,
    turn: Floats,
    gaze: Floats,
) -> None:
    """Put eyeballs where the mask of the eyes (N,) is, in place.

    `local` (3, N): mm on the head; `corners` (2, 2, 3): the inner and outer corner of each eye; `turn` (3,
    3): the head's rotation; `gaze` (3,): where the eyes look, on the head.
    """
    view = turn.T @ f32([0, 0, 1])
    for eye, sign in enumerate((-1, 1)):
        mine = np.flatnonzero((mask > 0.1) & (local[0] * sign > 0))
        if not len(mine):
            continue
        place = local[:, mine]
        radius = np.float32(12.3)
        ray = place - (corners[eye].mean(0) + f32([-0.8 * sign, -0.4, -7.2]))[:, None]
        along = view @ ray
        deep = np.sqrt(np.maximum(along**2 - (ray * ray).sum(0) + radius**2, 0)) - along
        n = unit(ray + deep * view[:, None])
        ball = _ball(np.arccos(np.clip(gaze @ n, -1, 1)) * radius, n, gaze, person)
        turned = turn @ n
        shade, _ = light.shade(turned, (0.4, 0.35, 0.3))
        lid = np.clip((corners[eye, :, 1].mean() + 0.5 - place[1]) / 5.5, 0, 1)  # the upper lid's shadow
        corner = np.clip((np.abs(place[0] - corners[eye, :, 0].mean()) - 7) / 7, 0, 1)
        ball *= shade * (1 - 0.6 * lid**1.5) * (1 - 0.25 * corner)
        spark = np.clip((light.shine(turned, 8) - 0.35) * 3, 0, 1) * np.float32(0.9)
        ball += (light.lamp * 0.8 + light.sky * 0.3)[:, None] * spark
        under = colour[:, mine]
        mix(under, ball, np.clip(mask[mine] * 1.4 - 0.2, 0, 1))
        colour[:, mine] = under


def _ball(angle: Floats, normal: Floats, gaze: Floats, person: Person) -> Floats:
    """White, iris and pupil by the arc (N,) mm from the middle of the iris: (3, N)."""
    pupil = 1.7 + 1.4 * (person.seed % 97) / 97
    white = f32([[0.50], [0.44], [0.41]]) * np.float32(0.5 + 0.6 * (person.seed % 31) / 31)
    ring = np.clip((angle - pupil) / 3, 0, 1)
    spokes = np.sin(np.arctan2(normal[1] - gaze[1], normal[0] - gaze[0]) * 17 + person.seed % 100)
    depth = (1 + 0.25 * spokes * ring) * (0.8 + 0.5 * ring)
    depth *= (1 - 0.75 * np.clip((angle - 4.9) / 0.9, 0, 1)) * np.clip((angle - pupil) / 0.5, 0.03, 1)
    edge = np.clip((angle - 5.7) / 0.5, 0, 1)
    return f32(person.iris[:, None] * depth * (1 - edge) + white * edge)


def paint_mouth(
    colour: Floats, mask: Floats, local: Floats, light: Light, teeth: tuple[float, float], seed: int
) -> None:
    """Put teeth and tongue where the mouth is open, in place.

    `teeth`: heights (mm) of the upper and the lower row's edges.
    """
    mine = np.flatnonzero(mask > 0.1)
    if not len(mine):
        return
    x, y = local[0, mine], local[1, mine]
    upper, lower = teeth
    bend = (x / 24) ** 2 * 2.5
    inner = f32([[0.10], [0.022], [0.020]]) * np.clip(1 - np.abs(x) / 30, 0.2, 1)
    tongue = np.clip(1 - (x / 15) ** 2 - ((y - lower + 1) / 9) ** 2, 0, 1)
    inner += f32([[0.30], [0.09], [0.085]]) * tongue
    gap = 0.82 + 0.18 * np.clip(np.abs(((x + 60) % 7.6) - 3.8) * -2.0 + 7.6, 0, 1)
    white = f32([[0.80], [0.74], [0.63]]) * np.float32(0.55 + 0.5 * (seed % 83) / 83)
    white = white * np.clip(1 - 0.75 * (x / 25) ** 2, 0.1, 1) * gap
    for edge, sign, wide in ((upper - bend, -1.0, 22.5), (lower + bend, 1.0, 17.0)):
        cover = np.clip(((y - edge) * sign) * 1.5 + 0.5, 0, 1) * np.clip((wide - np.abs(x)) / 3, 0, 1)
        mix(inner, white, cover)
    lamp = light.lamp * max(float(light.toward[2]), 0.15) * 0.7
    inner *= (lamp + (light.sky + light.ground) * 0.4)[:, None]
    under = colour[:, mine]
    mix(under, inner, np.clip(mask[mine] * 1.4 - 0.2, 0, 1))
    colour[:, mine] = under


def eye_corners(offsets: Floats) -> Floats:
    """Inner and outer corners (2, 2, 3) mm of the eyes, the picture's left one first."""
    h = head()
    order = [h.place[name] for name in ("-42", "-45", "42", "45")]
    return f32((h.control_base[order] + offsets[order]).reshape(2, 2, 3))
