"""Colours of what the head shows at each pixel: skin, lips, brows, beard, eyes and mouth, under one lamp and the sky."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import PACKS, TEXELS, noise, packs
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.person import Person
from meanshape.datasets.synthetic.raster import Layer


@dataclass(frozen=True, slots=True)
class Light:
    """A lamp (toward it, linear colour), and light from above and below."""

    toward: Floats
    lamp: Floats
    sky: Floats
    ground: Floats

    def shade(self, normal: Floats, wrap: Floats) -> tuple[Floats, Floats]:
        """Light (h, w, 3) on a dull surface, and how much of the lamp reaches it (h, w)."""
        lit = normal @ self.toward
        soft = np.maximum(lit[..., None] + wrap, 0) * (1 / (1 + wrap))
        up = normal[..., 1:2] * np.float32(-0.5) + np.float32(0.5)
        return soft * self.lamp + self.ground + up * (self.sky - self.ground), np.clip(lit * 1.5 + 0.2, 0, 1)

    def shine(self, normal: Floats, power: int) -> Floats:
        """Mirror-like light (h, w), 0..1."""
        half = self.toward + f32([0, 0, 1])
        value = np.maximum(normal @ (half / np.linalg.norm(half)), 0)
        for _ in range(int(np.log2(power))):
            value = value * value
        return np.asarray(value, np.float32)


def draw_light(rng: np.random.Generator) -> Light:
    """Draw lamp and surroundings: mostly from above and before, of a warm or cold colour."""
    azimuth, height = np.radians(rng.normal(0, 42)), np.radians(np.clip(rng.normal(28, 22), -30, 75))
    toward = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)])
    warmth = rng.normal(0, 0.12)
    colour = np.array([1 + warmth, 1, 1 - warmth])
    contrast = rng.beta(2, 2)
    surround = np.array([1 - warmth, 1, 1 + warmth]) * rng.normal(1, 0.05, 3)
    exposure = rng.lognormal(0, 0.22)
    return Light(
        toward=toward.astype(np.float32),
        lamp=(colour * exposure * (0.35 + 0.85 * contrast)).astype(np.float32),
        sky=(surround * exposure * (0.75 - 0.5 * contrast)).astype(np.float32),
        ground=(surround * exposure * (0.45 - 0.3 * contrast) * rng.normal((1.05, 1, 0.9), 0.05)).astype(
            np.float32
        ),
    )


def look_up(grid: Floats, layer: Layer) -> Floats:
    """Values of a grid of vertices (R, C, k) at each pixel of a layer."""
    return np.asarray(
        cv2.remap(grid, layer.column, layer.row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )


def normals(vertices: Floats) -> Floats:
    """Outward unit normals (R, C, 3) of a grid."""
    across = np.empty_like(vertices)
    down = np.empty_like(vertices)
    across[:, 1:-1], across[:, 0], across[:, -1] = (
        vertices[:, 2:] - vertices[:, :-2],
        vertices[:, 1] - vertices[:, 0],
        vertices[:, -1] - vertices[:, -2],
    )
    down[1:-1], down[0], down[-1] = (
        vertices[2:] - vertices[:-2],
        vertices[1] - vertices[0],
        vertices[-1] - vertices[-2],
    )
    n = np.empty_like(vertices)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        n[..., k] = across[..., i] * down[..., j] - across[..., j] * down[..., i]
    n /= np.sqrt((n * n).sum(-1, keepdims=True)) + np.float32(1e-9)
    return n


def unit(vectors: Floats) -> Floats:
    """Vectors of length one."""
    return np.asarray(
        vectors / np.sqrt(np.einsum("...k,...k->...", vectors, vectors) + 1e-9)[..., None], np.float32
    )


def grain(kind: str, layer: Layer, seed: int, scale: tuple[float, float]) -> Floats:
    """Noise that sticks to the surface: a tiling picture laid over the grid, elsewhere for each seed."""
    picture = noise(kind)
    x = layer.column * np.float32(scale[0]) + np.float32(seed % 509)
    y = layer.row * np.float32(scale[1]) + np.float32(seed // 509 % 503)
    np.mod(x, 512, out=x)
    np.mod(y, 512, out=y)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def masks_at(layer: Layer) -> dict[str, Floats]:
    """The atlas' masks at each pixel, 0..1."""
    x, y = layer.column * np.float32(TEXELS), layer.row * np.float32(TEXELS)
    result = {}
    for names, picture in zip(PACKS, packs(), strict=True):
        values = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for k, name in enumerate(names):
            result[name] = values[..., k] * np.float32(1 / 255)
    return result


def _mix(colour: Floats, other: Floats, share: Floats) -> None:
    """Move a picture (h, w, 3) toward another colour, in place."""
    colour += (other - colour) * share[..., None]


def paint_skin(
    person: Person, layer: Layer, normal: Floats, light: Light, moves: dict[str, float]
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Colour (h, w, 3), lit share (h, w) of a head's skin with all that grows on it, and the masks used."""
    mask = masks_at(layer)
    soft, fine = (
        grain("soft", layer, person.seed, (4.3, 4.1)),
        grain("fine", layer, person.seed + 77, (7.1, 6.3)),
    )
    strand = grain("strands", layer, person.seed + 1234, (9.0, 1.6))
    colour = (1 + 0.035 * soft + 0.03 * fine)[..., None] * person.skin
    colour *= 1 - mask["blush"][..., None] * f32([0.02, 0.20, 0.16])
    colour *= 1 - mask["tired"][..., None] * (0.25 + 0.5 * person.age) * f32([0.30, 0.36, 0.28])
    if person.freckles:
        spots = np.clip(fine - 1.2, 0, 1) * mask["blush"] * person.freckles
        colour *= 1 - spots[..., None] * f32([0.35, 0.5, 0.55])
    if person.age > 0.25:
        colour *= (1 - 0.4 * (person.age - 0.2) * mask["wrinkle"])[..., None]
    smile_fold = 0.18 * max(moves.get("smile", 0), 0)
    colour *= (1 - smile_fold * mask["wrinkle"])[..., None]
    _mix(colour, person.lips * (1 + 0.08 * fine)[..., None], mask["lips"] * person.lip_strength)
    for name, amount in (("beard", person.beard), ("moustache", person.moustache)):
        if amount:
            cover = np.clip(mask[name] * (1.2 + 0.35 * strand + 0.3 * soft) * (0.5 + amount) - 0.15, 0, 0.97)
            _mix(colour, person.hair * np.exp(0.35 * strand)[..., None], cover * (1 - 0.7 * mask["lips"]))
    if person.stubble:
        cover = (
            np.maximum(mask["beard"], mask["moustache"])
            * person.stubble
            * np.clip(0.6 + 0.4 * fine, 0, 1)
            * (1 - mask["lips"])
        )
        _mix(colour, 0.5 * person.hair + 0.2 * person.skin, 0.65 * cover)
    brow = np.clip((mask["brow"] - person.brow_edge) * 2.6, 0, 1) * np.clip(0.85 + 0.3 * strand, 0.2, 1)
    _mix(colour, person.brow * np.exp(0.25 * fine)[..., None], brow * person.brow_strength)
    hollow = mask["hollow"]
    colour *= 1 - hollow[..., None] * f32([0.72, 0.82, 0.86])
    shade, lit = light.shade(normal, f32([0.45, 0.30, 0.22]))
    colour *= shade
    shine = (
        light.shine(normal, 16)
        * (0.04 + 0.11 * person.gloss * mask["gloss"] + 0.10 * mask["lips"])
        * lit
        * (1 - hollow)
    )
    colour += shine[..., None] * light.lamp
    lash = mask["lash"] * person.lash * (1 - 0.35 * (moves.get("eye_close", 0) > 0.6))
    _mix(colour, f32([0.012, 0.009, 0.008]), np.clip(lash * 1.2, 0, 0.95))
    return colour, lit, mask


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
    """Put eyeballs where the mask of the eyes is, in place.

    `local` (h, w, 3): mm on the head; `corners` (2, 2, 3): the inner and outer corner of each eye; `turn` (3, 3): the head's
    rotation; `gaze` (2, 3): where each eye looks, on the head.
    """
    rows, columns = np.nonzero(mask > 0.1)
    if not len(rows):
        return
    place = local[rows, columns]
    view = turn.T @ f32([0, 0, 1])
    for eye in range(2):
        mine = place[:, 0] * (1 if corners[eye, 0, 0] > 0 else -1) > 0
        if not mine.any():
            continue
        radius = 12.3
        center = corners[eye].mean(0) + f32([0, -0.4, -7.2])
        ray = place[mine] - center
        along = ray @ view
        inside = along**2 - (ray * ray).sum(1) + radius**2
        n = (ray + (np.sqrt(np.maximum(inside, 0)) - along)[:, None] * view) / radius
        n = unit(n)
        angle = np.arccos(np.clip(n @ gaze[eye], -1, 1)) * radius
        base = _ball(angle, n, gaze[eye], person)
        m = mask[rows[mine], columns[mine]]
        turned = n @ turn.T
        shade, _ = light.shade(turned, f32([0.4, 0.35, 0.3]))
        lid = np.clip(
            (corners[eye, :, 1].mean() + 0.5 - place[mine][:, 1]) / 5.5, 0, 1
        )  # the upper lid's shadow
        base = base * shade * (1 - 0.55 * lid**2)[:, None]
        spark = np.clip((light.shine(turned, 256) - 0.35) * 3, 0, 1) * 0.9
        base += spark[:, None] * (light.lamp * 0.8 + light.sky * 0.3)
        target = colour[rows[mine], columns[mine]]
        colour[rows[mine], columns[mine]] = target + (base - target) * np.clip(m * 1.4 - 0.2, 0, 1)[:, None]


def _ball(angle: Floats, normal: Floats, gaze: Floats, person: Person) -> Floats:
    """White, iris and pupil by the arc (mm) from the middle of the iris: (N, 3)."""
    pupil = 1.7 + 1.4 * (person.seed % 97) / 97
    white = f32([0.66, 0.60, 0.57]) * (0.9 + 0.25 * (person.seed % 31) / 31)
    spokes = np.arctan2(normal[:, 1] - gaze[1], normal[:, 0] - gaze[0])
    pattern = 1 + 0.25 * np.sin(spokes * 17 + person.seed) * np.clip((angle - pupil) / 3, 0, 1)
    iris = person.iris * (pattern * (0.8 + 0.5 * np.clip((angle - pupil) / 3, 0, 1)))[:, None]
    iris *= (1 - 0.75 * np.clip((angle - 4.9) / 0.9, 0, 1))[:, None]
    iris *= np.clip((angle - pupil) / 0.5, 0.03, 1)[:, None]
    edge = np.clip((angle - 5.7) / 0.5, 0, 1)[:, None]
    return np.asarray(iris * (1 - edge) + white * edge, np.float32)


def paint_mouth(
    colour: Floats, mask: Floats, local: Floats, light: Light, teeth: tuple[float, float], seed: int
) -> None:
    """Put teeth and tongue where the mouth is open, in place; `teeth`: heights (mm) of the upper and lower rows' edges."""
    rows, columns = np.nonzero(mask > 0.1)
    if not len(rows):
        return
    place = local[rows, columns]
    upper, lower = teeth
    x, y = place[:, 0], place[:, 1]
    bend = (x / 24) ** 2 * 2.5
    deep = f32([0.10, 0.022, 0.020]) * np.clip(1 - np.abs(x) / 30, 0.2, 1)[:, None]
    tongue = np.clip(1 - (x / 15) ** 2 - ((y - lower + 1) / 9) ** 2, 0, 1)[:, None]
    inner = deep + tongue * f32([0.30, 0.09, 0.085])
    white = f32([0.72, 0.66, 0.55]) * (0.75 + 0.35 * (seed % 83) / 83)
    arch = np.clip(1 - (x / 23) ** 2, 0.05, 1)[:, None]
    gap = 0.82 + 0.18 * np.clip(np.abs(((x + 60) % 7.6) - 3.8) * -2.0 + 7.6, 0, 1)
    for edge, sign, wide in ((upper - bend, -1.0, 22.5), (lower + bend, 1.0, 17.0)):
        cover = np.clip(((y - edge) * sign) * 1.5 + 0.5, 0, 1) * np.clip((wide - np.abs(x)) / 3, 0, 1)
        inner = inner + (white * arch * gap[:, None] - inner) * cover[:, None]
    inner = inner * (light.lamp * max(float(light.toward[2]), 0.15) * 0.7 + (light.sky + light.ground) * 0.4)
    target = colour[rows, columns]
    colour[rows, columns] = (
        target + (inner - target) * np.clip(mask[rows, columns] * 1.4 - 0.2, 0, 1)[:, None]
    )


def eye_corners(offsets: Floats) -> Floats:
    """Inner and outer corners (2, 2, 3) mm of the eyes, the picture's left one first."""
    h = head()
    names = {name: i for i, name in enumerate(h.names)}
    order = [names[n] for n in ("-42", "-45", "42", "45")]
    return np.asarray((h.base_at(h.control_uv[order]) + offsets[order]).reshape(2, 2, 3), np.float32)
