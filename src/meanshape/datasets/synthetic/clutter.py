"""Pictures without a face: backgrounds, patterns, heads from behind and bodies without heads.

A face detector that is trained on rendered faces alone learns from these what a face is not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.image import write_image
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import noise
from meanshape.datasets.synthetic.backdrop import backdrop
from meanshape.datasets.synthetic.generate import Options, Seed, finish, paste, plan, render
from meanshape.datasets.synthetic.person import people

Draw = Callable[[Floats, np.random.Generator], None]


def clutter(seed: Seed, size: tuple[int, int] = (640, 480)) -> NDArray[np.uint8]:
    """Draw a picture that shows no face: uint8 RGB (height, width, 3).

    Parameters
    ----------
    seed : the same seed gives the same picture
    size : width and height in pixels
    """
    seeds = seed if isinstance(seed, tuple) else (seed,)
    rng = np.random.default_rng((*seeds, 6))
    canvas = backdrop(size, rng, float(rng.uniform(0.3, 1.5)))
    if rng.random() < 0.6:  # statistics of natural pictures, without anything they show
        (_spectrum if rng.random() < 0.5 else _dead_leaves)(canvas, rng)
    for k in range(int(rng.integers(0, 7))):
        if rng.random() < 0.3:
            _backs(canvas, (*seeds, 7, k), rng)
        else:
            patterns[rng.integers(len(patterns))](canvas, rng)
    return finish(canvas, rng, True)


def write_clutter(folder: str | Path, count: int = 300, *, seed: int = 0) -> Path:
    """Write pictures without a face, `000000.jpg` and on, of sizes from 240 to 640 pixels."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    sizes = ((640, 480), (480, 360), (320, 240), (360, 480))
    for k in range(count):
        write_image(root / f"{k:06d}.jpg", clutter((seed, k), sizes[k % len(sizes)]))
    return root


def _colour(rng: np.random.Generator) -> Floats:
    """A linear colour (3,): anything, or one of skin."""
    if rng.random() < 0.35:
        skins = np.array(people()["skins"])
        return f32(skins[rng.integers(len(skins))] * rng.normal(1, 0.1, 3)).clip(0.01, 1)
    return f32(rng.beta(0.7, 1.6) * (1 + rng.normal(0, 0.45, 3)).clip(0.1, 2.5)).clip(0.004, 1)


def _backs(canvas: Floats, seed: Seed, rng: np.random.Generator) -> None:
    """Somebody seen from behind, or a body whose head is out of the picture, in place."""
    h, w = canvas.shape[:2]
    side = float(rng.uniform(0.12, 0.6) * min(h, w))
    tile = int(np.ceil(side * 2.4))
    turn = float(rng.uniform(135, 225))
    made = plan(seed, tile, Options(yaw=turn, fill=side / tile, shift=0.0, glasses=False))
    color, alpha, _ = render(made, tile, rng)
    left = round(rng.uniform(-0.3, 1.0) * (w - tile * 0.5))
    top = round(rng.uniform(-0.2, 0.9) * (h - tile * 0.5))
    paste(canvas, color, alpha, left, top)


def _spectrum(canvas: Floats, rng: np.random.Generator) -> None:
    """Noise with the falling spectrum of photos, in place."""
    h, w = canvas.shape[:2]
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    stretch = np.exp(rng.normal(0, 0.4))
    frequency = np.sqrt((fy * stretch) ** 2 + (fx / stretch) ** 2) + 1 / max(h, w)
    filtered = np.fft.rfft2(rng.standard_normal((4, h, w))) * frequency ** -rng.uniform(0.8, 1.7)
    fields = np.fft.irfft2(filtered, (h, w))
    fields /= fields.std((1, 2), keepdims=True)
    tint = rng.uniform(0, 0.5)  # channels go together, more or less
    picture = np.exp(rng.uniform(0.3, 0.9) * (fields[:1] + tint * fields[1:]) - 0.8)
    canvas[:] = (_colour(rng) * 2 * f32(picture).transpose(1, 2, 0)).clip(0, 1)


def _dead_leaves(canvas: Floats, rng: np.random.Generator) -> None:
    """Things that hide one another, small ones many, large ones few, in place."""
    h, w = canvas.shape[:2]
    count = int(rng.integers(80, 400))
    sizes = np.sort((1 - rng.random(count) * 0.999) ** -0.6 * rng.uniform(2, 6))[::-1]
    texture = f32(cv2.resize(noise(str(rng.choice(["soft", "fine", "locks", "clouds"]))), (w, h)))
    palette = [_colour(rng) for _ in range(int(rng.integers(3, 9)))]
    corners = int(rng.choice([3, 4, 4, 5, 40]))
    for size in rng.permutation(sizes.clip(2, 0.4 * min(h, w))):
        turn = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, corners, endpoint=False)
        wide, narrow = size * rng.uniform(0.6, 1.4), size * rng.uniform(0.3, 1.0)
        around = np.stack([wide * np.cos(turn), narrow * np.sin(turn)], 1)
        points = around + np.array([rng.uniform(0, w), rng.uniform(0, h)])
        shade = palette[rng.integers(len(palette))] * rng.lognormal(0, 0.3)
        cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], shade.tolist(), cv2.LINE_AA, 4)
    canvas *= np.exp(np.float32(rng.uniform(0, 0.4)) * texture)[..., None]


def _place(canvas: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """Some place in the picture, and a size (pixels)."""
    h, w = canvas.shape[:2]
    return (
        float(rng.uniform(0, w)),
        float(rng.uniform(0, h)),
        float(np.clip(rng.lognormal(-1.7, 0.6), 0.05, 0.6)) * min(h, w),
    )


def _leaves(canvas: Floats, rng: np.random.Generator) -> None:
    """Many small blades or leaves of one kind of colour."""
    x, y, size = _place(canvas, rng)
    base, long, thin = _colour(rng), rng.uniform(0.05, 0.3) * size, rng.uniform(0.1, 0.6)
    for _ in range(int(rng.integers(30, 200))):
        at = round(x + rng.normal(0, size)), round(y + rng.normal(0, size * 0.7))
        axes = max(round(long * rng.uniform(0.5, 1.5)), 1), max(round(long * thin), 1)
        shade = (base * rng.lognormal(0, 0.5)).clip(0, 1).tolist()
        cv2.ellipse(canvas, at, axes, rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)


def _grid(canvas: Floats, rng: np.random.Generator) -> None:
    """Bricks, windows, shelves: a grid of rectangles, some with a frame."""
    x, y, size = _place(canvas, rng)
    step_x, step_y = rng.uniform(0.1, 0.5, 2) * size + 4
    base, shift = _colour(rng), rng.random() < 0.5
    thick = -1 if rng.random() < 0.6 else max(round(size * 0.02), 1)
    for row in range(int(rng.integers(2, 9))):
        for column in range(int(rng.integers(2, 9))):
            left = x + (column + 0.5 * shift * (row % 2)) * step_x
            top = y + row * step_y
            far = round(left + step_x * 0.8), round(top + step_y * 0.8)
            shade = (base * rng.lognormal(0, 0.25)).clip(0, 1).tolist()
            cv2.rectangle(canvas, (round(left), round(top)), far, shade, thick)


def _letters(canvas: Floats, rng: np.random.Generator) -> None:
    """A few words on a sign."""
    x, y, size = _place(canvas, rng)
    text = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVWXYZ0123456789 "), rng.integers(3, 12)))
    if rng.random() < 0.5:
        corner = round(x + size * 3), round(y + size * 0.3)
        cv2.rectangle(canvas, (round(x - size * 0.2), round(y - size)), corner, _colour(rng).tolist(), -1)
    font, thick = int(rng.integers(0, 8)), int(rng.integers(1, 5))
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.putText(mask, text, (round(x), round(y)), font, size / 30, 255, thick, cv2.LINE_AA)
    canvas += (mask / np.float32(255))[..., None] * (_colour(rng) - canvas)


def _rounds(canvas: Floats, rng: np.random.Generator) -> None:
    """Wheels, plates, lamps, buttons: discs in discs, often in pairs."""
    x, y, size = _place(canvas, rng)
    sizes = np.sort(rng.uniform(0.1, 1, rng.integers(1, 5)))[::-1]
    discs = [(_colour(rng).tolist(), share) for share in sizes]
    flat, apart = rng.uniform(0.5, 1), rng.uniform(1.5, 4) * size * 0.3
    for k in range(int(rng.integers(1, 4))):
        for shade, share in discs:
            axes = max(round(size * 0.3 * share), 1), max(round(size * 0.3 * share * flat), 1)
            cv2.ellipse(canvas, (round(x + k * apart), round(y)), axes, 0, 0, 360, shade, -1, cv2.LINE_AA)


def _blob(canvas: Floats, rng: np.random.Generator) -> None:
    """A lit, rounded thing (a fruit, a pot, a knee, a stone) with some spots and lines on it."""
    x, y, size = _place(canvas, rng)
    side = max(round(size * 1.6), 12)
    v, u = np.mgrid[-1 : 1 : complex(side), -1 : 1 : complex(side)].astype(np.float32)
    aspect, power = rng.uniform(0.6, 1.4), rng.uniform(1.6, 3.5)
    inside = 1 - (np.abs(u * 1.15) ** power + np.abs(v * 1.15 / aspect) ** power)
    height = np.sqrt(np.clip(inside, 0, 1))
    light = rng.normal(0, 0.6, 2)
    shade = np.clip(0.5 + 0.5 * height - 0.5 * (light[0] * u + light[1] * v), 0.05, 1.6)
    cut = noise(str(rng.choice(["soft", "clouds", "fine", "locks"])))
    texture = f32(cv2.resize(cut[: max(side // 2, 16), : max(side // 2, 16)], (side, side)))
    picture = f32(_colour(rng) * (shade * np.exp(rng.uniform(0, 0.4) * texture))[..., None])
    for _ in range(rng.poisson(2.5)):
        at = (rng.uniform(0.2, 0.8, 2) * side).astype(int).tolist()
        axes = (rng.uniform(0.03, 0.2, 2) * side).astype(int).clip(1).tolist()
        cv2.ellipse(picture, at, axes, rng.uniform(0, 180), 0, 360, _colour(rng).tolist(), -1, cv2.LINE_AA)
    paste(canvas, picture, f32(np.clip(inside * 8, 0, 1)), round(x - side / 2), round(y - side / 2))


def _texture(canvas: Floats, rng: np.random.Generator) -> None:
    """Ground, water, bark, cloth: noise of many scales over a part of the picture."""
    h, w = canvas.shape[:2]
    total = np.zeros((h, w), np.float32)
    for kind in ("clouds", "soft", "fine", "locks"):
        side = int(rng.integers(48, 400))
        top, left = rng.integers(0, 512 - side, 2)
        part = noise(kind)[top : top + side, left : left + side]
        part = part.T if rng.random() < 0.5 else part
        total += np.float32(rng.exponential(0.3)) * f32(cv2.resize(np.ascontiguousarray(part), (w, h)))
    y, below = round(rng.uniform(0, h)), rng.random() < 0.5
    rows = slice(y, h) if below else slice(0, y)
    canvas[rows] = (_colour(rng) * np.exp(total[rows])[..., None]).clip(0, 1)


patterns: tuple[Draw, ...] = (_leaves, _grid, _letters, _rounds, _blob, _blob, _texture)
