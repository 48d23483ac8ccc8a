"""What surrounds a face: ears, shoulders, glasses, and things that cover parts of it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import noise
from meanshape.datasets.synthetic.person import Person

Project = Callable[[Floats], Floats]


def ear(side: int, person: Person) -> Floats:
    """Vertices (11, 9, 3) mm of an ear: a bowl with a rim, fixed at its front edge; `side` +1: the picture's right."""
    t, s = np.meshgrid(np.linspace(-1, 1, 11), np.linspace(-1, 1, 9), indexing="ij")
    x, y = s * np.sqrt(1 - t * t / 2), t * np.sqrt(1 - s * s / 2)
    r = np.hypot(x, y)
    rng = np.random.default_rng(person.seed + 3)
    size, out = person.ear, rng.uniform(0.25, 0.75)
    width = 16.5 * size * (1 - 0.22 * np.clip(y, -0.3, 1))
    back = (x + 1) * width
    depth = -5 * (1 - r**2) + 2.5 * np.exp(-(((r - 0.55) / 0.2) ** 2))
    place = np.stack(
        [72.5 + out * back + depth * 0.8, 21 + 30 * size * y - 0.12 * back, -6 - 0.85 * back + 0.5 * depth],
        -1,
    )
    return np.asarray(place * (side, 1, 1), np.float32)


def shoulders(rng: np.random.Generator) -> Floats:
    """Vertices (11, 41, 3) mm of what the body wears, the last column on the first."""
    y = np.array([148, 160, 175, 190, 200, 212, 228, 255, 300, 380, 480]) + rng.uniform(-8, 25)
    rx = np.array([56, 60, 68, 92, 128, 165, 190, 205, 215, 215, 210]) * rng.uniform(0.88, 1.12)
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
    color: Floats, depth: Floats, project: Project, eyes: Floats, scale: float, rng: np.random.Generator
) -> None:
    """Draw glasses over a picture (h, w, 3) in place; `eyes` (2, 3) mm: middles of the eyes; `scale`: pixels a mm."""
    lens, dark = _outline(rng), rng.random() < 0.22
    z = float(eyes[:, 2].max()) + rng.uniform(13, 17)
    curve = 0.0035
    rims = []
    for k, sign in enumerate((-1, 1)):
        x = eyes[k, 0] + sign * 1.5 + lens[:, 0] * (1 if sign > 0 else -1)
        y = eyes[k, 1] + 3 + lens[:, 1]
        rims.append(np.stack([x, y, z - curve * x**2], 1).astype(np.float32))
    frame = rng.uniform(0.0, 0.12, 3) if rng.random() < 0.75 else rng.uniform(0.05, 0.7, 3)
    thick = max(scale * rng.uniform(0.9, 3.6), 1.0)
    height, width = depth.shape
    glass, metal = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for rim in rims:
        points = _pixels(project(rim))
        cv2.fillPoly(glass, [points], 255, cv2.LINE_AA, shift=4)
        cv2.polylines(metal, [points], True, 255, round(thick), cv2.LINE_AA, shift=4)
    top = eyes[:, 1].mean() - 3
    bridge = f32([[-9, top + 4, z + 1], [0, top + 1, z + 2.5], [9, top + 4, z + 1]])
    cv2.polylines(metal, [_pixels(project(bridge))], False, 255, round(thick), cv2.LINE_AA, shift=4)
    _temples(metal, depth, project, rims, top, thick)
    tint = rng.uniform(0.72, 0.97) if dark else rng.uniform(0, 0.12)
    shade = np.float32(rng.uniform(0.01, 0.06, 3) if dark else rng.uniform(0.2, 0.9, 3))
    _blend(color, shade, glass, tint)
    if rng.random() < 0.5:  # a window mirrored in the lens
        glare = np.clip(
            cv2.resize(noise("clouds"), (width, height)) - rng.uniform(0.6, 1.6), 0, 1
        ) * rng.uniform(0.1, 0.6)
        color += (glare * (glass / np.float32(255)))[..., None]
    _blend(color, np.float32(frame), metal, 0.95)


def _pixels(points: Floats) -> NDArray[np.int32]:
    return np.asarray(np.round(np.clip(points, -2000, 4000) * 16), np.int32)


def _blend(color: Floats, shade: Floats, mask: NDArray[np.uint8], share: float) -> None:
    color += (shade - color) * (mask * np.float32(share / 255))[..., None]


def _temples(
    mask: NDArray[np.uint8], depth: Floats, project: Project, rims: list[Floats], top: float, thick: float
) -> None:
    """The bars to the ears, where the head does not hide them."""
    for k, sign in enumerate((-1, 1)):
        outer = rims[k][np.argmax(rims[k][:, 0] * sign)]
        t = np.linspace(0, 1, 40)[:, None]
        bar = f32([outer[0], top, outer[2]]) * (1 - t) + f32([sign * 79, top + 1, -5]) * t
        bar = bar.astype(np.float32)
        seen = project(bar)
        x, y = (np.clip(np.round(seen[:, i]), 0, depth.shape[1 - i] - 1).astype(int) for i in (0, 1))
        visible = bar_depth(project, bar) > depth[y, x] - 5
        runs = np.flatnonzero(visible[:-1] & visible[1:])
        for i in runs:
            cv2.line(
                mask,
                tuple(_pixels(seen[i]).tolist()),
                tuple(_pixels(seen[i + 1]).tolist()),
                255,
                round(thick),
                cv2.LINE_AA,
                shift=4,
            )


def bar_depth(project: Project, places: Floats) -> Floats:
    """Depth (N,) mm of places, which the projecting function knows as its attribute `depth`."""
    return np.asarray(project.depth(places), np.float32)  # type: ignore[attr-defined]


def cover(
    size: tuple[int, int], box: tuple[float, float, float, float], skin: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Something before the face: colour (h, w, 3) and opacity (h, w), at its border or across it.

    `box`: left, top, right, bottom of the face in pixels.
    """
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box
    w, h = right - left, bottom - top
    angle = rng.uniform(0, 2 * np.pi)
    middle = np.array(
        [(left + right) / 2 + 0.55 * w * np.cos(angle), (top + bottom) / 2 + 0.5 * h * np.sin(angle)]
    )
    kind = rng.choice(["hand", "block", "blob"])
    if kind == "hand":
        color = np.broadcast_to(skin * np.float32(rng.uniform(0.7, 1.1)), (height, width, 3)).copy()
        toward = np.array([(left + right) / 2, (top + bottom) / 2]) - middle
        along = toward / np.linalg.norm(toward)
        across = np.array([-along[1], along[0]])
        finger = 0.062 * w
        cv2.ellipse(
            mask,
            _center(middle - along * 0.16 * w),
            (int(0.19 * w), int(0.2 * w)),
            float(np.degrees(np.arctan2(*along[::-1]))),
            0,
            360,
            255,
            -1,
            cv2.LINE_AA,
        )
        for k in range(4):
            base = middle + across * (k - 1.5) * finger * 2.1
            tip = base + along * w * rng.uniform(0.16, 0.34) + across * rng.normal(0, 0.03) * w
            cv2.line(
                mask, _center(base - along * 0.1 * w), _center(tip), 255, max(int(finger * 2), 1), cv2.LINE_AA
            )
        edge = cv2.GaussianBlur(mask, (0, 0), max(finger * 0.45, 0.5)).astype(np.float32) / 255
        color *= (0.25 + 0.75 * np.clip(edge * 2 - 0.9, 0, 1))[..., None]
    else:
        count = 4 if kind == "block" else 12
        turn = (
            np.sort(rng.uniform(0, 2 * np.pi, count))
            if kind == "block"
            else np.linspace(0, 2 * np.pi, count, endpoint=False)
        )
        radius = rng.uniform(0.15, 0.4) * w * rng.uniform(0.7, 1.2, count)
        points = middle + np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
        cv2.fillPoly(mask, [np.asarray(points * 16, np.int32)], 255, cv2.LINE_AA, shift=4)
        texture = cv2.resize(noise(str(rng.choice(["soft", "clouds", "locks"]))), (width, height))
        color = rng.uniform(0.02, 0.7, 3).astype(np.float32) * np.exp(0.35 * texture)[..., None]
    return np.asarray(color, np.float32), mask.astype(np.float32) / 255


def _center(point: NDArray[np.float64]) -> tuple[int, int]:
    return int(round(point[0])), int(round(point[1]))
