"""From a seed to a picture: draws person, pose, light and camera, and renders one face or many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic import props
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.backdrop import backdrop
from meanshape.datasets.synthetic.camera import Camera
from meanshape.datasets.synthetic.figure import Figure, stand
from meanshape.datasets.synthetic.light import Light, draw_light
from meanshape.datasets.synthetic.person import EMOTIONS, draw_emotion, draw_moves, draw_person
from meanshape.datasets.synthetic.render import draw

Pixels = NDArray[np.uint8]
Seed = int | tuple[int, ...]
FINER = 1.25
"""How much finer than the picture a face is drawn."""
POSES = ("right profile", "right", "frontal", "left", "left profile")
"""By rising yaw; "left" as in MTFL: the nose points to the picture's left edge."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked of a face; None: drawn from the seed.

    Parameters
    ----------
    pitch, yaw, roll : degrees; +pitch up, +yaw and +roll toward the subject's right
    emotion : one of `EMOTIONS`
    identity : a seed for the person alone, so that many seeds show the same one
    glasses : whether any are worn
    occlusion : probability that something covers a part of the face
    clutter : 0..1, how much lies about in the background
    fill : larger side of the face's box by the picture's
    shift : largest offset of the box's centre from the picture's, by the picture's side
    degrade : blur, noise, JPEG's traces and odd colours as of real cameras
    """

    pitch: float | None = None
    yaw: float | None = None
    roll: float | None = None
    emotion: str | None = None
    identity: int | None = None
    glasses: bool | None = None
    occlusion: float = 0.2
    clutter: float = 1.0
    fill: float | None = None
    shift: float = 0.06
    degrade: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A face before it is painted: all but the pixels. `points` (68, 2) pixels."""

    figure: Figure
    camera: Camera
    light: Light
    glasses: bool
    points: NDArray[np.float64]
    attributes: dict[str, Any]


def plan(seed: Seed, size: int, options: Options) -> Plan:
    """Draw everything about one face that is not a pixel.

    Person, emotion, pose and view are drawn independently: asking for one leaves the others as they are.
    """
    emotions, view = _rng(seed, 0), _rng(seed, 1)
    people = _rng(seed if options.identity is None else options.identity, 2)
    emotion = draw_emotion(emotions) if options.emotion is None else options.emotion
    if emotion not in EMOTIONS:
        raise ConfigError(f"emotion must be one of {', '.join(EMOTIONS)}, not {emotion!r}")
    moves = draw_moves(emotion, emotions)
    pitch, yaw, roll = _pose(options, view)
    distance = float(np.clip(view.lognormal(7.1, 0.45), 450, 4000))
    figure = stand(draw_person(people), moves, (pitch, yaw, roll), distance)
    glasses = bool(people.random() < 0.2) if options.glasses is None else options.glasses
    light = draw_light(view)
    fill = float(view.uniform(0.52, 0.74)) if options.fill is None else options.fill
    moved = view.uniform(-options.shift, options.shift, 2)
    camera, points = _frame(figure.points, distance, size, fill, moved)
    attributes = {
        "emotion": emotion,
        "smile": "smiling" if moves.get("smile", 0) > 0.35 else "not smiling",
        "glasses": "glasses" if glasses else "no glasses",
        "pose": POSES[int(np.searchsorted([-40, -15, 15, 40], yaw))],
        "pitch": pitch,
        "yaw": yaw,
        "roll": roll,
    }
    return Plan(figure, camera, light, glasses, points, attributes)


def _rng(seed: Seed, purpose: int) -> np.random.Generator:
    return np.random.default_rng((*(seed if isinstance(seed, tuple) else (seed,)), purpose))


def _pose(options: Options, rng: np.random.Generator) -> tuple[float, float, float]:
    """Pitch, yaw and roll in degrees: mostly near the front, with long tails to the sides."""
    drawn = np.clip(
        (rng.normal(-1, 8.5), 14.5 * rng.standard_t(7), rng.normal(0, 9)), (-30, -65, -50), (30, 65, 50)
    )
    asked = (options.pitch, options.yaw, options.roll)
    pitch, yaw, roll = (float(d if a is None else a) for d, a in zip(drawn, asked, strict=True))
    return pitch, yaw, roll


def _frame(
    points: Floats, distance: float, size: int, fill: float, moved: NDArray[np.float64]
) -> tuple[Camera, NDArray[np.float64]]:
    """The camera that shows a face (68, 3) mm as large as asked, and its points in pixels."""
    flat = Camera(distance, 1.0, (0.0, 0.0)).project(points)
    low, high = flat.min(0), flat.max(0)
    scale = fill * size / float((high - low).max())
    middle = (size - 1) / 2 + moved * size - scale * (low + high) / 2
    camera = Camera(distance, scale, (float(middle[0]), float(middle[1])))
    return camera, camera.project(points).astype(np.float64)


def face(seed: Seed, size: int = 128, **options: Any) -> Sample:
    """Render one face.

    Parameters
    ----------
    seed : the same seed, size and options give the same picture
    size : side of the square picture in pixels
    options : see `Options`

    Returns
    -------
    a sample with a uint8 RGB array (size, size, 3), 68 points with their visibility, the tight box,
    and attributes: emotion, smile, glasses, pose, and pitch, yaw, roll in degrees.
    """
    chosen = parse(options)
    pixels, visible, made = picture(seed, size, chosen)
    shape = Shape(made.points, "ibug68", visible=visible)
    return Sample(f"synthetic-{seed}", pixels, shape, shape.box(), made.attributes, None)


def parse(options: dict[str, Any]) -> Options:
    """Options from keywords; a wrong one is named."""
    known = Options.__dataclass_fields__
    wrong = [name for name in options if name not in known]
    if wrong:
        raise ConfigError(f"no option {wrong[0]!r} for a synthetic face; there are {', '.join(known)}")
    return replace(Options(), **options)


def picture(seed: Seed, size: int, options: Options) -> tuple[Pixels, NDArray[np.bool_], Plan]:
    """Pixels (size, size, 3), visible points (68,) and the plan of one face."""
    if size < 16:
        raise ConfigError(f"a synthetic face needs a size of at least 16 pixels, not {size}")
    made = plan(seed, size, options)
    rng = _rng(seed, 3)
    color, alpha, visible = render(made, size, rng)
    canvas = backdrop((size, size), rng, options.clutter)
    canvas += alpha[..., None] * (color - canvas)
    if rng.random() < options.occlusion:
        _, visible = _occlude(canvas, made, visible, rng)
    return finish(canvas, rng, options.degrade), visible, made


def render(made: Plan, size: int, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Colour (size, size, 3) and opacity, drawn finer and averaged, and which points (68,) are seen."""
    fine = round(size * FINER)
    factor, camera = fine / size, made.camera
    x, y = ((c + 0.5) * factor - 0.5 for c in camera.center)  # pixel centres are whole numbers
    finer = Camera(camera.distance, camera.scale * factor, (x, y))
    color, alpha, visible = draw(made.figure, finer, made.light, (fine, fine), glasses=made.glasses, rng=rng)
    np.clip(color, 0, 1, out=color)
    color *= alpha[..., None]
    small, cover = (f32(cv2.resize(a, (size, size), interpolation=cv2.INTER_AREA)) for a in (color, alpha))
    return f32(small / np.maximum(cover, 1e-3)[..., None]), cover, visible


def _occlude(
    canvas: Floats, made: Plan, visible: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Put something before the face, in place; returns its opacity (h, w) and which points are still seen."""
    h, w = canvas.shape[:2]
    color, opacity = props.cover((w, h), Box.around(made.points), made.figure.person.skin, rng)
    bright = 0.6 * float(made.light.lamp.mean() + made.light.sky.mean())
    canvas += opacity[..., None] * (np.clip(color, 0, 1) * np.float32(bright) - canvas)
    x, y = np.clip(np.round(made.points).astype(int), 0, (w - 1, h - 1)).T
    return opacity, np.asarray(visible & (opacity[y, x] < 0.5), np.bool_)


def finish(canvas: Floats, rng: np.random.Generator, degrade: bool) -> Pixels:
    """Linear colours (h, w, 3) to a photo: exposure, gamma and, if asked, what cameras and files add."""
    np.clip(canvas, 0, 1, out=canvas)
    photo = f32(np.sqrt(canvas))
    if degrade:
        photo = _grain(_tones(photo, rng), rng)
    pixels = np.clip(photo * 255 + 0.5, 0, 255).astype(np.uint8)
    if degrade and rng.random() < 0.4:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(pixels)


def _tones(photo: Floats, rng: np.random.Generator) -> Floats:
    """Contrast, exposure, light that falls off to a side, and colours as cameras and editors leave them."""
    mean = float(photo.mean())
    photo = (photo - mean) * np.float32(np.clip(rng.normal(1.15, 0.25), 0.5, 1.9)) + np.float32(
        np.clip(mean * rng.normal(1, 0.15), 0.12, 0.85)
    )
    if rng.random() < 0.4:
        h, w = photo.shape[:2]
        down, right = rng.normal(0, 0.25, 2)
        fall = np.linspace(-down, down, h)[:, None] + np.linspace(-right, right, w)[None]
        photo *= np.exp(f32(fall))[..., None]
    if rng.random() < 0.3:
        photo = np.maximum(photo, 0) ** np.float32(np.exp(rng.normal(0, 0.3)))
    kind = rng.random()
    if kind < 0.12:
        return np.repeat(photo.mean(-1, keepdims=True), 3, -1)
    if kind < 0.4:
        photo += (photo.mean(-1, keepdims=True) - photo) * np.float32(rng.uniform(-0.4, 0.8))
    return f32(photo * f32(rng.normal(1, 0.04 if kind < 0.85 else 0.18, 3).clip(0.3, 1.8)))


def _grain(photo: Floats, rng: np.random.Generator) -> Floats:
    """Blur, few pixels and noise."""
    size = photo.shape[1], photo.shape[0]
    kind = rng.random()
    if kind < 0.25:
        photo = f32(cv2.GaussianBlur(photo, (0, 0), float(rng.uniform(0.3, 1.3)) * max(size[1] / 160, 0.6)))
    elif kind < 0.4:
        share = float(rng.uniform(0.35, 0.8))
        few = max(round(size[0] * share), 8), max(round(size[1] * share), 8)
        few_pixels = cv2.resize(photo, few, interpolation=cv2.INTER_AREA)
        photo = f32(cv2.resize(few_pixels, size, interpolation=cv2.INTER_LINEAR))
    if rng.random() < 0.5:
        noise = rng.standard_normal(photo.shape, dtype=np.float32)
        photo = photo + noise * np.float32(rng.exponential(0.015))
    return photo


def scene(
    seed: Seed, size: tuple[int, int] = (640, 480), faces: int = 5, **options: Any
) -> tuple[Pixels, list[Shape]]:
    """Render a picture with many faces, the nearest last.

    Parameters
    ----------
    seed : the same seed gives the same picture
    size : width and height in pixels
    faces : how many at most; one that finds no free place is left out
    options : see `Options`; `fill` and `shift` do not apply

    Returns the picture, uint8 RGB (height, width, 3), and a shape for each face; its `box()` is the face's
    box.
    """
    chosen = parse(options)
    seeds = seed if isinstance(seed, tuple) else (seed,)
    rng = _rng(seed, 4)
    canvas = backdrop(size, rng, chosen.clutter)
    shapes: list[Shape] = []
    for k, (x, y, side) in enumerate(_places(size, faces, rng)):
        tile = int(np.ceil(side * 2.4))
        made = plan((*seeds, 5, k), tile, replace(chosen, fill=side / tile, shift=0.0))
        color, alpha, visible = render(made, tile, rng)
        if rng.random() < chosen.occlusion:
            opacity, visible = _occlude(color, made, visible, rng)
            alpha = np.maximum(alpha, opacity)
        left, top = round(x - tile / 2), round(y - tile / 2)
        paste(canvas, color, alpha, left, top)
        shapes.append(Shape(made.points + np.array([left, top]), "ibug68", visible=visible))
    return finish(canvas, rng, chosen.degrade), shapes


def _places(size: tuple[int, int], faces: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Centres and sides of boxes that lie inside the picture and hardly overlap, small ones first."""
    width, height = size
    largest = min(height * 0.55, width * 0.9 / np.sqrt(max(faces, 1)))
    found: list[tuple[float, float, float]] = []
    for _ in range(faces * 30):
        if len(found) == faces:
            break
        side = float(np.clip(rng.lognormal(np.log(largest * 0.5), 0.4), 12, largest))
        margin = side * 0.55
        if width <= 2 * margin or height <= 2 * margin:
            continue
        x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
        if all(max(abs(x - a), abs(y - b)) > 0.75 * (side + s) for a, b, s in found):
            found.append((float(x), float(y), side))
    return sorted(found, key=lambda place: place[2])


def paste(canvas: Floats, color: Floats, alpha: Floats, left: int, top: int) -> None:
    """Lay a tile (h, w, 3) of some opacity (h, w) over a picture, in place."""
    h, w = canvas.shape[:2]
    th, tw = alpha.shape
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + tw, w), min(top + th, h)
    if x0 >= x1 or y0 >= y1:
        return
    tile = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    part = canvas[y0:y1, x0:x1]
    part += alpha[tile][..., None] * (color[tile] - part)


__all__ = [
    "EMOTIONS",
    "POSES",
    "Options",
    "face",
    "finish",
    "parse",
    "paste",
    "picture",
    "plan",
    "render",
    "scene",
]
