"""Put one person before a camera: colour, opacity, and where the 68 points are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic import hair, paint, props
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.camera import PIVOT, Camera, rotation
from meanshape.datasets.synthetic.head import STEPS, head
from meanshape.datasets.synthetic.person import Person, express
from meanshape.datasets.synthetic.raster import FAR, Layer, rasterise

CLOTH = 0.35  # how much of the head's turn the body follows


@dataclass(frozen=True, slots=True)
class Figure:
    """A person in a stance: everything that is settled before the camera is.

    `vertices` (R, C, 3): the head's grid, turned, mm; `points` (68, 3): the landmarks, turned.
    """

    person: Person
    moves: dict[str, float]
    offsets: Floats
    turn: Floats
    local: Floats
    vertices: Floats
    points: Floats
    body: Floats


def stand(
    person: Person, moves: dict[str, float], pose: tuple[float, float, float], distance: float
) -> Figure:
    """Let a person take a pose (pitch, yaw, roll, degrees) and an expression before a camera at `distance` mm."""
    h = head()
    offsets = express(person, moves)
    turn = rotation(*pose)
    body = rotation(pose[0] * 0.1, pose[1] * CLOTH, pose[2] * 0.2)
    local = h.grid(offsets)
    follow = np.clip((h.v - 118) / 75, 0, 1)
    follow = (follow * follow * (3 - 2 * follow))[:, None, None].astype(np.float32)
    vertices = local @ turn.T
    low = h.v > 118
    still = (local[low] - PIVOT) @ body.T + PIVOT @ turn.T
    vertices[low] += (still - vertices[low]) * follow[low]
    contour, inner = h.landmarks(offsets)
    points = np.concatenate([_outline(contour, turn, distance), inner @ turn.T])
    return Figure(person, moves, offsets, turn, local, vertices, points, body)


def _outline(candidates: Floats, turn: Floats, distance: float) -> Floats:
    """The visible contour as annotators draw it: of each jaw point's candidates the one farthest out in the picture."""
    outward = candidates[:, 0] - f32([0, 42, 0])
    outward = (outward * f32([1, 1, 0])) @ turn.T
    outward[:, 2] = 0
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    turned = candidates @ turn.T
    seen = turned[..., :2] / (1 - turned[..., 2:] / np.float32(distance))
    reach = np.einsum("ijk,ik->ij", seen, outward[:, :2])
    weight = np.exp((reach - reach.max(1, keepdims=True)) / 0.6)
    weight /= weight.sum(1, keepdims=True)
    assert turned.shape[1] == STEPS
    return np.asarray((turned * weight[..., None]).sum(1), np.float32)


class _Frame:
    """A picture in the making: nearest surface wins, with soft edges."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self.size = size
        self.color = np.zeros((height, width, 3), np.float32)
        self.lit = np.zeros((height, width), np.float32)
        self.depth = np.full((height, width), FAR, np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def add(self, layer: Layer, color: Floats, lit: Floats, opacity: Floats | None = None) -> None:
        h, w = layer.depth.shape
        window = np.s_[layer.top : layer.top + h, layer.left : layer.left + w]
        share = (layer.depth > self.depth[window]) & (layer.column >= 0)
        if opacity is None:
            self.color[window][share] = color[share]
            self.lit[window][share] = lit[share]
            self.alpha[window][share] = 1
            self.depth[window][share] = layer.depth[share]
            return
        weight = share * opacity
        self.color[window] += (color - self.color[window]) * weight[..., None]
        self.lit[window] += (lit - self.lit[window]) * weight
        self.alpha[window] += (1 - self.alpha[window]) * weight
        solid = weight > 0.5
        self.depth[window][solid] = layer.depth[solid]


class _Projector:
    """Pixels and depth of places on the head."""

    def __init__(self, figure: Figure, camera: Camera) -> None:
        self.figure, self.camera = figure, camera

    def __call__(self, places: Floats) -> Floats:
        return self.camera.project(places @ self.figure.turn.T)

    def depth(self, places: Floats) -> Floats:
        return np.asarray((places @ self.figure.turn.T)[..., 2], np.float32)


def draw(
    figure: Figure,
    camera: Camera,
    light: paint.Light,
    size: tuple[int, int],
    *,
    glasses: bool,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Colour (h, w, 3, linear), opacity (h, w), and which points (68,) can be seen."""
    frame = _Frame(size)
    _draw_body(frame, figure, camera, light, rng)
    _draw_head(frame, figure, camera, light)
    _draw_hair(frame, figure, camera, light)
    visible = _visible(frame.depth, figure, camera)
    _shadow(frame, light, camera.scale)
    if glasses:
        eyes = paint.eye_corners(figure.offsets).mean(1)
        project = _Projector(figure, camera)
        props.wear_glasses(frame.color, frame.depth, project, eyes, camera.scale, rng)
        frame.alpha = np.maximum(frame.alpha, 0)
    return frame.color, frame.alpha, visible


def _draw_head(frame: _Frame, figure: Figure, camera: Camera, light: paint.Light) -> None:
    layer = rasterise(camera.project(figure.vertices), figure.vertices[..., 2], frame.size)
    if layer is None:
        return
    person = figure.person
    normal = paint.unit(paint.look_up(paint.normals(figure.vertices), layer))
    color, lit, mask = paint.paint_skin(person, layer, normal, light, figure.moves)
    local = paint.look_up(figure.local, layer)
    corners = paint.eye_corners(figure.offsets)
    gaze = _gaze(figure)
    paint.paint_eyes(color, mask["eye"], local, person, light, corners, figure.turn, gaze)
    paint.paint_mouth(color, mask["mouth"], local, light, _teeth(figure), person.seed)
    frame.add(layer, color, lit)


def _gaze(figure: Figure) -> Floats:
    """Where each eye looks (2, 3), on the head: near the camera or somewhere else."""
    rng = np.random.default_rng(figure.person.seed + 11)
    there = f32([0, 0, 1]) if rng.random() < 0.65 else f32([rng.normal(0, 0.25), rng.normal(0, 0.12), 1])
    at_camera = figure.turn.T @ there if rng.random() < 0.7 else there
    at_camera = at_camera * f32([1, 1, 1])
    at_camera[2] = max(at_camera[2], 0.6)
    return np.stack([paint.unit(at_camera)] * 2)


def _teeth(figure: Figure) -> tuple[float, float]:
    """Heights (mm) of the edges of the upper and the lower teeth: on the skull and on the jaw."""
    h = head()
    place = {name: i for i, name in enumerate(h.names)}
    rest = h.base_at(h.control_uv)[:, 1] + figure.person.offsets[:, 1]
    upper = rest[place["62"]] + 3.2
    lower = rest[place["66"]] + 5.0 + 20 * max(figure.moves.get("jaw_open", 0), 0)
    return float(upper), float(lower)


def _draw_body(
    frame: _Frame, figure: Figure, camera: Camera, light: paint.Light, rng: np.random.Generator
) -> None:
    body = (props.shoulders(rng) - PIVOT) @ figure.body.T + PIVOT @ figure.turn.T
    layer = rasterise(camera.project(body), body[..., 2], frame.size, both_sides=True)
    cloth = (rng.beta(1, 1.5) * 0.6 + rng.uniform(-0.1, 0.3, 3)).clip(0.01, 0.8).astype(np.float32)
    if layer is not None:
        normal = paint.unit(paint.look_up(paint.normals(body), layer))
        shade, lit = light.shade(normal, f32(0.2))
        weave = paint.grain(
            str(rng.choice(["soft", "locks", "fine"])), layer, figure.person.seed, (14.0, 14.0)
        )
        frame.add(layer, cloth * np.exp(0.2 * weave)[..., None] * shade, lit)
    for side in (-1, 1):
        ear = props.ear(side, figure.person) @ figure.turn.T
        layer = rasterise(camera.project(ear), ear[..., 2], frame.size, both_sides=True)
        if layer is None:
            continue
        normal = paint.unit(paint.look_up(paint.normals(ear), layer))
        normal = np.where(normal[..., 2:] < 0, -normal, normal)
        shade, lit = light.shade(normal, f32([0.6, 0.4, 0.3]))
        r = np.hypot(layer.column / 4 - 1, layer.row / 5 - 1)
        groove = 1 - 0.45 * np.exp(-(((r - 0.72) / 0.13) ** 2)) - 0.4 * np.exp(-((r / 0.35) ** 2))
        frame.add(layer, figure.person.skin * f32([1, 0.86, 0.84]) * groove[..., None] * shade, lit)


def _draw_hair(frame: _Frame, figure: Figure, camera: Camera, light: paint.Light) -> None:
    person = figure.person
    hanging = hair.curtain(person)
    if hanging is not None:
        vertices = hanging[0] @ figure.turn.T
        layer = rasterise(camera.project(vertices), vertices[..., 2], frame.size, both_sides=True)
        if layer is not None:
            normal = paint.unit(paint.look_up(paint.normals(vertices), layer))
            frame.add(layer, *hair.paint_curtain(person, hanging[1], layer, normal, light))
    style = hair.hairdo(person)
    if style is None:
        return
    rows = int(np.searchsorted(head().v, 100))
    vertices = (
        figure.vertices[:rows] + paint.normals(figure.vertices)[:rows] * style.thickness[:rows, :, None]
    )
    layer = rasterise(camera.project(vertices), vertices[..., 2] + 0.6, frame.size)
    if layer is not None:
        normal = paint.unit(paint.look_up(paint.normals(vertices), layer))
        frame.add(layer, *hair.paint_shell(person, style, layer, normal, light))


def _visible(depth: Floats, figure: Figure, camera: Camera) -> NDArray[np.bool_]:
    """A point is hidden where something lies more than a finger's breadth before it."""
    seen = camera.project(figure.points)
    h, w = depth.shape
    inside = (seen >= -0.5).all(1) & (seen[:, 0] < w - 0.5) & (seen[:, 1] < h - 0.5)
    x, y = np.clip(np.round(seen).astype(int), 0, (w - 1, h - 1)).T
    return np.asarray(inside & (depth[y, x] < figure.points[:, 2] + 9))


def _shadow(frame: _Frame, light: paint.Light, scale: float) -> None:
    """Darken, in place, what something nearer keeps the lamp from; and hollows, where little of the sky comes in."""
    small = frame.depth[::2, ::2]
    h, w = small.shape
    solid = small > FAR / 2
    tx, ty, tz = (float(v) for v in light.toward)
    flat = float(np.hypot(tx, ty)) + 1e-6
    hidden = np.zeros((h, w), np.float32)
    for reach in (7.0, 14.0, 24.0, 38.0):  # mm along the lamp's direction in the picture
        dx, dy = round(tx / flat * reach * scale / 2), round(ty / flat * reach * scale / 2)
        if not (dx or dy):
            continue
        moved = cv2.warpAffine(
            small,
            f32([[1, 0, -dx], [0, 1, -dy]]),
            (w, h),
            flags=cv2.INTER_NEAREST,
            borderValue=float(FAR),
        )
        over = moved - small - reach * max(tz, 0.05) / flat
        np.maximum(hidden, np.clip(over / 4, 0, 1) * (over < 60), out=hidden)
    hidden *= solid
    near = np.where(solid, small, np.float32(-150))
    sigma = max(6.0 * scale / 2, 0.6)
    cavity = np.clip((cv2.GaussianBlur(near, (0, 0), sigma) - near) / 14, 0, 1) * solid
    hidden = cv2.GaussianBlur(hidden, (0, 0), max(0.9 * scale, 0.5))
    full = frame.size
    hidden, cavity = cv2.resize(hidden, full), cv2.resize(cavity, full)
    total = float(light.lamp.mean())
    share = total / (total + 0.5 * float((light.sky + light.ground).mean()))
    frame.color *= ((1 - share * hidden * frame.lit) * (1 - 0.55 * cavity))[..., None]
