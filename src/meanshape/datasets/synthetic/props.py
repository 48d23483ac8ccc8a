"""What surrounds a face: ears, shoulders, glasses, and things that cover parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import noise
from meanshape.datasets.synthetic.person import Person


class Projector(Protocol):
    """What knows where places on the head (N, 3) are seen: pixels (N, 2) and depth (N,) mm."""

    def __call__(self, places: Floats) -> Floats:
        """Pixels."""

    def depth(self, places: Floats) -> Floats:
        """Depth."""


def ears(person: Person) -> Floats:
    """Vertices (11, 20, 3) mm of both ears, bowls with a rim, fixed in front.

    Nine columns each, the picture's left one first; the two columns between are no ear.
    """
    t, s = np.meshgrid(np.linspace(-1, 1, 11), np.linspace(-1, 1, 9), indexing="ij")
    x, y = s * np.sqrt(1 - t * t / 2), t * np.sqrt(1 - s * s / 2)
    r = np.hypot(x, y)
    rng = np.random.default_rng(person.seed + 3)
    size, out = person.ear, rng.uniform(0.12, 0.6)
    width = 15 * size * (1 - 0.22 * np.clip(y, -0.3, 1))
    back = (x + 1) * width
    depth = -5 * (1 - r**2) + 2.5 * np.exp(-(((r - 0.55) / 0.2) ** 2))
    place = np.stack(
        [75.5 + out * back + depth * 0.8, 22 + 28 * size * y - 0.12 * back, -6 - 0.85 * back + 0.5 * depth],
        -1,
    )
    left = place * (-1, 1, 1)
    return np.concatenate([left, left[:, -1:], place[:, :1], place], 1).astype(np.float32)


def shoulders(rng: np.random.Generator) -> Floats:
    """Vertices (11, 41, 3) mm of what the body wears, the last column on the first."""
    y = np.array([138, 150, 163, 174, 184, 197, 215, 245, 295, 380, 480]) + rng.uniform(-10, 18)
    rx = np.array([53, 58, 68, 96, 132, 168, 192, 206, 215, 215, 210]) * rng.uniform(0.88, 1.12)
    rz = np.array([58, 62, 66, 72, 78, 84, 92, 102, 115, 125, 130])
    angle = np.linspace(-np.pi, np.pi, 41)[None]
    sag = 12 * np.cos(angle) * np.exp(-(((np.arange(11) - 1) / 3.0) ** 2))[:, None]
    place = np.stack([rx[:, None] * np.sin(angle), y[:, None] + sag, rz[:, None] * np.cos(angle) - 18], -1)
    return np.asarray(place, np.float32)


def _outline(rng: np.random.Generator) -> Floats:
    """One lens (48, 2) mm around its middle."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    a, b, power = rng.uniform(21, 28), rng.uniform(13, 25), rng.uniform(2, 4)
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.sign(c) * np.abs(c) ** (2 / power) * a, np.sign(s) * np.abs(s) ** (2 / power) * b
    return np.stack([x * (1 - 0.06 * y / b), y + 0.03 * x], 1).astype(np.float32)


def wear_glasses(
    color: Floats, depth: Floats, project: Projector, eyes: Floats, scale: float, rng: np.random.Generator
) -> None:
    """Draw glasses over a picture (h, w, 3), in place.

    `eyes` (2, 3) mm: the eyes' middles on the head; `scale`: pixels a mm.
    """
    rims = _rims(eyes, rng)
    thick = max(scale * float(rng.uniform(0.7, 2.8)), 1.0)
    glass, metal = np.zeros(depth.shape, np.uint8), np.zeros(depth.shape, np.uint8)
    for rim in rims:
        points = _pixels(project(rim))
        cv2.fillPoly(glass, [points], 255, cv2.LINE_AA, shift=4)
        cv2.polylines(metal, [points], True, 255, round(thick), cv2.LINE_AA, shift=4)
    top, z = float(eyes[:, 1].mean()) - 3, float(rims[0][:, 2].max())
    bridge = f32([[-9, top + 4, z + 1], [0, top + 1, z + 2.5], [9, top + 4, z + 1]])
    cv2.polylines(metal, [_pixels(project(bridge))], False, 255, round(thick), cv2.LINE_AA, shift=4)
    _temples(metal, depth, project, rims, top, thick)
    dark = rng.random() < 0.22
    shade = f32(rng.uniform(0.01, 0.06, 3) if dark else rng.uniform(0.2, 0.9, 3))
    _blend(color, shade, glass, float(rng.uniform(0.72, 0.97) if dark else rng.uniform(0, 0.12)))
    if rng.random() < 0.5:  # a window mirrored in the lens
        glare = f32(cv2.resize(noise("clouds"), depth.shape[::-1])) - np.float32(rng.uniform(0.6, 1.6))
        _blend(color, f32([1, 1, 1]), glass, np.clip(glare, 0, 1) * np.float32(rng.uniform(0.1, 0.6)))
    frame = (
        rng.uniform(0.0, 0.08) * rng.uniform(0.7, 1, 3) if rng.random() < 0.82 else rng.uniform(0.05, 0.7, 3)
    )
    _blend(color, f32(frame), metal, 0.95)


def _rims(eyes: Floats, rng: np.random.Generator) -> list[Floats]:
    """Both lenses (48, 3) mm."""
    lens = _outline(rng)
    z = float(eyes[:, 2].max() + rng.uniform(13, 17))
    rims = []
    for eye, sign in zip(eyes, (-1, 1), strict=True):
        x = eye[0] + sign * (1.5 + lens[:, 0])
        rims.append(f32(np.stack([x, eye[1] + 3 + lens[:, 1], z - 0.0035 * x**2], 1)))
    return rims


def _pixels(points: Floats) -> NDArray[np.int32]:
    return np.asarray(np.round(np.clip(points, -2000, 4000) * 16), np.int32)


def _blend(color: Floats, shade: Floats, mask: NDArray[np.uint8], share: float | Floats) -> None:
    color += (shade - color) * (mask * np.float32(1 / 255) * share)[..., None]


def _temples(
    mask: NDArray[np.uint8], depth: Floats, project: Projector, rims: list[Floats], top: float, thick: float
) -> None:
    """The bars to the ears, where the head does not hide them."""
    t = f32(np.linspace(0, 1, 40))[:, None]
    for rim, sign in zip(rims, (-1, 1), strict=True):
        outer = rim[np.argmax(rim[:, 0] * sign)]
        bar = f32([outer[0], top, outer[2]]) * (1 - t) + f32([sign * 79, top + 1, -5]) * t
        seen = project(bar)
        x, y = (np.clip(np.round(seen[:, i]), 0, depth.shape[1 - i] - 1).astype(int) for i in (0, 1))
        visible = project.depth(bar) > depth[y, x] - 5
        ends = _pixels(seen).tolist()
        for i in np.flatnonzero(visible[:-1] & visible[1:]):
            cv2.line(mask, ends[i], ends[i + 1], 255, round(thick), cv2.LINE_AA, shift=4)


@dataclass(frozen=True, slots=True)
class _Face:
    """Where a face is in a picture (pixels)."""

    middle: NDArray[np.float64]
    width: float
    height: float


def cover(size: tuple[int, int], box: Box, skin: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Something before the face: colour (h, w, 3) and opacity (h, w), at the border of its box."""
    face = _Face(np.array(box.center), box.width, box.height)
    angle = rng.uniform(0, 2 * np.pi)
    at = face.middle + np.array([0.55 * face.width * np.cos(angle), 0.5 * face.height * np.sin(angle)])
    return (_hand if rng.random() < 1 / 3 else _block)(size, face, at, skin, rng)


def _hand(
    size: tuple[int, int], face: _Face, at: NDArray[np.float64], skin: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """A palm with fingers that reach into the face."""
    mask = np.zeros(size[::-1], np.uint8)
    along = (face.middle - at) / max(float(np.linalg.norm(face.middle - at)), 1e-6)
    across = np.array([-along[1], along[0]])
    w, finger = face.width, 0.062 * face.width
    palm = int(0.19 * w), int(0.2 * w)
    turn = float(np.degrees(np.arctan2(along[1], along[0])))
    cv2.ellipse(mask, _whole(at - along * 0.16 * w), palm, turn, 0, 360, 255, -1, cv2.LINE_AA)
    for k in range(4):
        base = at + across * (k - 1.5) * finger * 2.1
        tip = base + along * w * rng.uniform(0.16, 0.34) + across * rng.normal(0, 0.03) * w
        ends = _whole(base - along * 0.1 * w), _whole(tip)
        cv2.line(mask, *ends, 255, max(int(finger * 2), 1), cv2.LINE_AA)
    round_edge = f32(cv2.GaussianBlur(mask, (0, 0), max(finger * 0.45, 0.5))) / np.float32(255)
    shade = 0.25 + 0.75 * np.clip(round_edge * 2 - 0.9, 0, 1)
    color = skin * np.float32(rng.uniform(0.7, 1.1)) * shade[..., None]
    return f32(color), f32(mask) / np.float32(255)


def _block(
    size: tuple[int, int], face: _Face, at: NDArray[np.float64], skin: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """A polygon or a blob with some texture."""
    mask = np.zeros(size[::-1], np.uint8)
    angular = rng.random() < 0.5
    count = 4 if angular else 12
    turn = np.sort(rng.uniform(0, 2 * np.pi, count)) if angular else np.linspace(0, 2 * np.pi, count, False)
    radius = rng.uniform(0.15, 0.4) * face.width * rng.uniform(0.7, 1.2, count)
    points = at + np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
    cv2.fillPoly(mask, [_pixels(f32(points))], 255, cv2.LINE_AA, shift=4)
    texture = f32(cv2.resize(noise(str(rng.choice(["soft", "clouds", "locks"]))), size))
    shade = f32(rng.beta(0.8, 1.8) * (1 + rng.normal(0, 0.4, 3)).clip(0.1, 2)).clip(0.005, 0.9)
    return f32(shade * np.exp(np.float32(0.35) * texture)[..., None]), f32(mask) / np.float32(255)


def _whole(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
