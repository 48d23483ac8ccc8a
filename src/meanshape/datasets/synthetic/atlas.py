"""Where things lie on the unrolled head: masks of lips, brows and so on, made once and shared by all faces.

Masks are pictures laid over the head's grid, `TEXELS` pixels for each cell. A face looks them up at each of
its pixels and mixes its own colours with them, so that no face needs a texture of its own. Also here: noise
pictures, made once from a fixed seed.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import head

Bytes = NDArray[np.uint8]
TEXELS = 7
# four masks a picture, because cv2.remap takes four channels at once
PACKS = (
    ("lips", "mouth", "eye", "brow"),
    ("hollow", "lash", "blush", "beard"),
    ("gloss", "moustache", "wrinkle", "tired"),
)


def _at(names: str) -> Floats:
    """(u, v) of named control points on the picture's right half; a minus in front: on the left."""
    h = head()
    place = {name: i for i, name in enumerate(h.names)}
    return h.control_uv[[place[name] for name in names.split()]]


def _both(half: Floats) -> list[Floats]:
    return [half, half * f32([-1, 1])]


class _Canvas:
    """A mask in drawing, in units of the unrolled head (mm)."""

    def __init__(self) -> None:
        h = head()
        self.shape = (len(h.v) - 1) * TEXELS + 1, (len(h.u) - 1) * TEXELS + 1
        row, column = (np.arange(n) / TEXELS for n in self.shape)
        self.u = f32(np.interp(column, np.arange(len(h.u)), h.u))[None, :]
        self.v = f32(np.interp(row, np.arange(len(h.v)), h.v))[:, None]

    def pixels(self, uv: Floats) -> NDArray[np.int32]:
        """Pixels of places (n, 2), in sixteenths."""
        column, row = head().texel(uv[:, 0], uv[:, 1])
        return np.asarray(np.round(np.stack([column, row], 1) * (TEXELS * 16)), np.int32)

    def polygon(self, *outlines: Floats, blur: float) -> Floats:
        """Filled outlines, 0..1."""
        mask = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self.pixels(outline)], 255, cv2.LINE_AA, shift=4)
        return f32(cv2.GaussianBlur(mask, (0, 0), blur)) / np.float32(255)

    def line(self, *paths: Floats, width: float, blur: float) -> Floats:
        """Curves through points, 0..1."""
        mask = np.zeros(self.shape, np.uint8)
        for path in paths:
            points = [self.pixels(_smooth(path))]
            cv2.polylines(mask, points, False, 255, max(round(width), 1), cv2.LINE_AA, shift=4)
        return f32(cv2.GaussianBlur(mask, (0, 0), blur)) / np.float32(255)

    def spot(self, u: float, v: float, ru: float, rv: float) -> Floats:
        """A soft spot of radii (ru, rv), on both sides."""
        down = np.exp(-0.5 * ((self.v - v) / rv) ** 2)
        right, left = (np.exp(-0.5 * ((self.u - sign * u) / ru) ** 2) for sign in (1, -1))
        return f32(down * np.maximum(right, left))


def _smooth(path: Floats, count: int = 40) -> Floats:
    """A curve through points (n, 2): Catmull-Rom."""
    p = np.concatenate([2 * path[:1] - path[1:2], path, 2 * path[-1:] - path[-2:-1]])
    t = np.linspace(0, len(path) - 1 - 1e-6, count)
    i, f = t.astype(int), (t % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    curve = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))
    return np.asarray(curve, np.float32)


def _brows(canvas: _Canvas) -> Floats:
    """A field, 1 in the middle of the brow, 0 outside; the landmarks lie on its upper edge."""
    line = _at("22 23 24 25 26")
    top = _smooth(np.concatenate([line, line[-1:] + f32([[1.5, 0.8]])])) + f32([0, 0.7])
    t = np.linspace(0, 1, len(top))
    thick = f32(np.interp(t, [0, 0.12, 0.55, 0.85, 1], [3.6, 5.8, 5.2, 3.8, 2.6]))
    bottom = top + np.stack([np.zeros_like(thick), thick], 1)
    return canvas.polygon(*_both(np.concatenate([top, bottom[::-1]])), blur=3.2)


_MOUSTACHE = ((0, 6, 15, 25, 30, 29, 25, 24, 15, 6, 0), (52, 51, 54, 62, 72, 84, 84, 70, 63.5, 60.5, 61.5))
_NOSTRIL = ((4, 6.5, 9.8, 11.2, 9.5, 6), (45.2, 42.2, 41.8, 43.6, 45.4, 46.2))
_WING = ((12, 15.5, 15.4, 12), (33, 38, 43, 46))


def _beards(canvas: _Canvas) -> tuple[Floats, Floats]:
    """Beard (cheeks, jaw and chin) and moustache, as fields between 0 and 1."""
    u, v = np.abs(canvas.u), canvas.v
    edge = np.interp(u, [0, 22, 30, 50, 80, 108, 120, 132], [84, 80, 70, 63, 52, 26, 6, 0])
    field = np.clip((v - edge) / 14, 0, 1) * np.clip((150 - v) / 22, 0, 1) * np.clip((138 - u) / 10, 0, 1)
    moustache = canvas.polygon(*_both(f32(_MOUSTACHE).T), blur=4)
    return f32(field * (1 - canvas.spot(0, 83, 14, 3.5) * 0.5)), moustache


def _hollow(canvas: _Canvas) -> Floats:
    """Where light does not get in: nostrils, the crease of the lid, between the lips, beside the nose."""
    nostril = canvas.polygon(*_both(f32(_NOSTRIL).T), blur=2.2)
    crease = canvas.line(*_both(_at("42 crease1 crease2 crease3 45")), width=2, blur=2.5)
    wing = canvas.line(*_both(f32(_WING).T), width=2, blur=2.5)
    parting = canvas.line(_mirrored(_at("54 64 inner_up 63 62")), width=1, blur=1.6)
    socket = canvas.spot(15, -3, 5, 6) + 0.4 * canvas.spot(28, -10, 12, 4)
    total = 1.5 * nostril + 0.85 * crease + 0.45 * wing + 0.75 * parting + 0.22 * socket
    total = total + 0.35 * canvas.spot(46.5, 0, 4.5, 3.5)
    return f32(total + 0.25 * canvas.spot(0, 86, 13, 3) + 0.7 * canvas.spot(28, 68.6, 2.2, 1.8))


@cache
def masks() -> dict[str, Floats]:
    """Every mask by name, 0..1."""
    c = _Canvas()
    beard, moustache = _beards(c)
    lips = _mirrored(_at("54 53 52 51")), _mirrored(_at("54 55 56 57"))
    inner = _mirrored(_at("64 inner_up 63 62")), _mirrored(_at("64 inner_low 65 66"))
    upper_lid, lower_lid = _smooth(_at("42 43 44 45")), _smooth(_at("42 47 46 45"))
    upper_lash = c.line(*_both(upper_lid - f32([0, 0.5])), width=4, blur=1.3)
    lower_lash = c.line(*_both(lower_lid + f32([0, 0.4])), width=2, blur=1.2)
    cheeks = c.spot(40, 33, 12, 12) + 0.8 * c.spot(0, 37, 11, 7) + 0.4 * c.spot(0, 92, 12, 8)
    sheen = c.spot(0, -35, 28, 16) + c.spot(0, 25, 6, 16) + c.spot(39, 25, 11, 9) + 0.6 * c.spot(0, 96, 8, 6)
    found = {
        "lips": c.polygon(np.concatenate([lips[0], lips[1][::-1]]), blur=1.1),
        "mouth": c.polygon(np.concatenate([inner[0], inner[1][::-1]]), blur=0.7),
        "eye": c.polygon(*_both(np.concatenate([upper_lid, lower_lid[::-1]])), blur=0.7),
        "brow": _brows(c),
        "hollow": _hollow(c),
        "lash": np.maximum(upper_lash, 0.5 * lower_lash),
        "blush": cheeks,
        "beard": beard,
        "gloss": sheen,
        "moustache": moustache,
        "wrinkle": _wrinkles(c),
        "tired": c.spot(30, 10, 11, 4) + 0.5 * c.spot(16, 5, 4, 5),
    }
    return {name: f32(np.clip(np.broadcast_to(mask, c.shape), 0, 1)) for name, mask in found.items()}


def _mirrored(half: Floats) -> Floats:
    """A smooth curve over the face from points (n, 2) that run from the picture's right to the middle."""
    return _smooth(f32(np.concatenate([half, half[-2::-1] * f32([-1, 1])])), 80)


def _wrinkles(c: _Canvas) -> Floats:
    """Lines of age and of smiling: beside the mouth, on the forehead, at the eyes."""
    fold = c.line(*_both(_at("wing3 fold1 fold2 fold3")), width=2, blur=3)
    fold += 0.6 * c.line(
        *_both(f32([[48, -2], [60, -6]])), *_both(f32([[49, 1], [61, 3]])), width=1.5, blur=2
    )
    fold += 0.8 * c.line(*_both(f32([[4, -20], [5, -10]])), width=1.5, blur=2)
    for v in (-38, -46, -54):
        fold += 0.8 * c.line(*_both(f32([[2, v], [25, v - 2], [48, v + 2]])), width=1.5, blur=2)
    return fold


@cache
def unrolled() -> Floats:
    """(u, v) mm of the grid's vertices (R, C, 2)."""
    return f32(np.stack(np.meshgrid(head().u, head().v), -1))


@cache
def packs() -> tuple[Bytes, ...]:
    """The masks in pictures of four channels, in the order of `PACKS`."""
    table = {name: np.asarray(mask * 255, np.uint8) for name, mask in masks().items()}
    return tuple(np.ascontiguousarray(np.stack([table[name] for name in names], -1)) for names in PACKS)


_SOFTNESS = {"fine": (0.8, 0.8), "soft": (4, 4), "clouds": (22, 22), "strands": (1.1, 26), "locks": (6, 50)}


@cache
def noise(kind: str) -> Floats:
    """A 512 x 512 picture that tiles, mean 0, deviation 1: 'fine', 'soft', 'clouds', 'strands' (along y)."""
    across, along = _SOFTNESS[kind]
    white = np.random.default_rng(sum(kind.encode())).standard_normal((512, 512))
    tiled = np.tile(f32(white), (3, 3))[256:1280, 256:1280]
    picture = f32(cv2.GaussianBlur(tiled, (0, 0), across, sigmaY=along))[256:768, 256:768]
    if kind == "strands":  # locks as well as single hairs
        picture = picture / picture.std() + 0.9 * noise("locks")
    return f32(np.ascontiguousarray((picture - picture.mean()) / picture.std()))
