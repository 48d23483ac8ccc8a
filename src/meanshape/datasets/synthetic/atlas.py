"""Where things lie on the unrolled head: masks of lips, brows, beard and so on, painted once and shared by all faces.

Masks are pictures laid over the head's grid, `TEXELS` pixels for each cell. A face looks them up at each of its pixels and mixes
its own colours with them, so that no face needs a texture of its own. Also here: noise pictures, made once from a fixed seed.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import head

Bytes = NDArray[np.uint8]
TEXELS = 5
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
        self.u = np.interp(np.arange(self.shape[1]) / TEXELS, np.arange(len(h.u)), h.u)[None, :].astype(
            np.float32
        )
        self.v = np.interp(np.arange(self.shape[0]) / TEXELS, np.arange(len(h.v)), h.v)[:, None].astype(
            np.float32
        )

    def pixels(self, uv: Floats) -> Floats:
        column, row = head().texel(uv[:, 0], uv[:, 1])
        return np.stack([column, row], 1) * TEXELS

    def polygon(self, *outlines: Floats, blur: float = 0.8) -> Floats:
        mask = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            points = np.round(self.pixels(outline) * 16).astype(np.int32)
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32) / 255

    def line(self, *paths: Floats, width: float, blur: float) -> Floats:
        mask = np.zeros(self.shape, np.uint8)
        for path in paths:
            points = np.round(self.pixels(_smooth(path)) * 16).astype(np.int32)
            cv2.polylines(mask, [points], False, 255, max(round(width), 1), cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32) / 255

    def spot(self, u: float, v: float, ru: float, rv: float, *, mirror: bool = True) -> Floats:
        def one(sign: int) -> Floats:
            return np.exp(-0.5 * (((self.u - sign * u) / ru) ** 2 + ((self.v - v) / rv) ** 2))

        return np.maximum(one(1), one(-1)) if mirror and u else one(1)


def _smooth(path: Floats, count: int = 40) -> Floats:
    """A curve through points (n, 2): Catmull-Rom."""
    p = np.concatenate([2 * path[:1] - path[1:2], path, 2 * path[-1:] - path[-2:-1]])
    t = np.linspace(0, len(path) - 1 - 1e-6, count)
    i, f = t.astype(int), (t % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    curve = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))
    return np.asarray(curve, np.float32)


def _brows(canvas: _Canvas) -> Floats:
    """A field that is 1 in the middle of the brow and falls to 0 outside; the landmarks lie on its upper edge."""
    top = _smooth(_at("22 23 24 25 26"))
    t = np.linspace(0, 1, len(top), dtype=np.float32)
    thick = np.interp(t, [0, 0.12, 0.55, 0.85, 1], [3.4, 5.8, 5.2, 3.2, 1.2]).astype(np.float32)
    bottom = top + np.stack([np.zeros_like(t), thick], 1)
    return canvas.polygon(*_both(np.concatenate([top, bottom[::-1]])), blur=3.2)


def _beards(canvas: _Canvas) -> tuple[Floats, Floats]:
    """Beard (cheeks, jaw and chin) and moustache, as fields between 0 and 1."""
    u, v = np.abs(canvas.u), canvas.v
    edge = np.interp(u, [0, 22, 30, 50, 80, 108, 120, 132], [84, 80, 70, 63, 52, 26, 6, 0]).astype(np.float32)
    field = np.clip((v - edge) / 14, 0, 1) * np.clip((150 - v) / 22, 0, 1) * np.clip((138 - u) / 10, 0, 1)
    half = np.float32(
        [
            [0, 52],
            [6, 51],
            [15, 54],
            [25, 62],
            [30, 72],
            [29, 84],
            [25, 84],
            [24, 70],
            [15, 63.5],
            [6, 60.5],
            [0, 61.5],
        ]
    )
    moustache = canvas.polygon(*_both(half), blur=4)
    return field * (1 - canvas.spot(0, 83, 14, 3.5, mirror=False) * 0.5), moustache


def _hollow(canvas: _Canvas) -> Floats:
    """Where light does not get in: nostrils, the crease of the lid, between the lips, beside the nose."""
    nostril = canvas.polygon(
        *_both(f32([[4.0, 45.2], [6.5, 42.2], [9.8, 41.8], [11.2, 43.6], [9.5, 45.4], [6, 46.2]])),
        blur=2.2,
    )
    crease = canvas.line(*_both(_at("42 crease1 crease2 crease3 45")), width=2, blur=2.5)
    wing = canvas.line(*_both(f32([[12, 33], [15.5, 38], [15.4, 43], [12, 46]])), width=2, blur=2.5)
    under_lip = canvas.spot(0, 86, 13, 3, mirror=False)
    parting = canvas.line(
        _smooth(np.concatenate([_at("64 63")[:1] * [-1, 1], _at("63") * [-1, 1], _at("62 63 64")])),
        width=1,
        blur=1.6,
    )
    socket = canvas.spot(15, -3, 5, 6) + 0.4 * canvas.spot(28, -10, 12, 4)
    total = 1.5 * nostril + 0.7 * crease + 0.45 * wing + 0.25 * under_lip + 0.9 * parting + 0.3 * socket
    return np.clip(total + 0.5 * canvas.spot(27, 68.5, 2.5, 2.5), 0, 1).astype(np.float32)


@cache
def masks() -> dict[str, Floats]:
    """Every mask by name."""
    c = _Canvas()
    beard, moustache = _beards(c)
    lips = _smooth(np.concatenate([_at("54 53 52 51"), (_at("52 53 54") * [-1, 1])]), 80)
    lower = _smooth(np.concatenate([_at("54 55 56 57"), (_at("56 55 54") * [-1, 1])]), 80)
    inner_up = _smooth(np.concatenate([_at("64 inner_up 63 62"), _at("63 inner_up 64") * [-1, 1]]))
    inner_low = _smooth(np.concatenate([_at("64 inner_low 65 66"), _at("65 inner_low 64") * [-1, 1]]))
    upper_lid, lower_lid = _smooth(_at("42 43 44 45")), _smooth(_at("42 47 46 45"))
    fold = c.line(*_both(_at("wing3 fold1 fold2 fold3")), width=2, blur=3)
    lines = sum(
        c.line(*_both(f32([[2, v], [25, v - 2], [48, v + 2]])), width=1.5, blur=2) for v in (-38, -46, -54)
    )
    crow = c.line(*_both(f32([[48, -2], [60, -6]])), *_both(f32([[49, 1], [61, 3]])), width=1.5, blur=2)
    frown = c.line(*_both(f32([[4, -20], [5, -10]])), width=1.5, blur=2)
    return {
        "lips": c.polygon(np.concatenate([lips, lower[::-1]]), blur=1.4),
        "mouth": c.polygon(np.concatenate([inner_up, inner_low[::-1]]), blur=0.7),
        "eye": c.polygon(*_both(np.concatenate([upper_lid, lower_lid[::-1]])), blur=0.7),
        "brow": _brows(c),
        "hollow": _hollow(c),
        "lash": np.maximum(
            c.line(*_both(upper_lid - f32([0, 0.5])), width=3, blur=1.1),
            0.45 * c.line(*_both(lower_lid + f32([0, 0.4])), width=2, blur=1.2),
        ),
        "blush": np.clip(c.spot(40, 33, 12, 12) + 0.8 * c.spot(0, 37, 11, 7, mirror=False) + 0.4 * c.spot(0, 92, 12, 8, mirror=False), 0, 1),
        "beard": beard,
        "gloss": np.clip(c.spot(0, -35, 28, 16, mirror=False) + c.spot(0, 25, 6, 16, mirror=False) + c.spot(38, 20, 10, 7)
                         + 0.6 * c.spot(0, 96, 8, 6, mirror=False), 0, 1),  # fmt: skip
        "moustache": moustache,
        "wrinkle": np.clip(fold + 0.8 * lines + 0.6 * crow + 0.8 * frown, 0, 1),
        "tired": np.clip(c.spot(30, 10, 11, 4) + 0.5 * c.spot(16, 5, 4, 5), 0, 1),
    }  # fmt: skip


@cache
def packs() -> tuple[Bytes, ...]:
    """The masks in pictures of four channels, in the order of `PACKS`."""
    table = masks()
    return tuple(
        np.ascontiguousarray(
            (np.stack([np.broadcast_to(table[n], table["lips"].shape) for n in names], -1) * 255).astype(
                np.uint8
            )
        )
        for names in PACKS
    )


@cache
def noise(kind: str) -> Floats:
    """A 512 x 512 picture that tiles, mean 0, deviation 1: 'fine', 'soft', 'clouds', 'strands' (along y)."""
    sigma = {
        "fine": (0.8, 0.8),
        "soft": (4.0, 4.0),
        "clouds": (22.0, 22.0),
        "strands": (1.1, 26.0),
        "locks": (6.0, 50.0),
    }[kind]
    rng = np.random.default_rng(sum(kind.encode()))
    white = rng.standard_normal((512, 512)).astype(np.float32)
    tiled = np.tile(white, (3, 3))[256:1280, 256:1280]
    blurred = cv2.GaussianBlur(tiled, (0, 0), sigma[0], sigmaY=sigma[1])[256:768, 256:768]
    if kind == "strands":  # locks as well as single hairs
        blurred = blurred / blurred.std() + 0.9 * noise("locks")
    return np.ascontiguousarray((blurred - blurred.mean()) / blurred.std())
