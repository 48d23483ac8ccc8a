"""Put a figure before a camera: first which surface each pixel shows, then its colour, then shadows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic import hair, paint, props
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.camera import Camera
from meanshape.datasets.synthetic.figure import Figure
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.light import Light
from meanshape.datasets.synthetic.raster import FAR, rasterise
from meanshape.datasets.synthetic.surface import Spots, normals, unit

# Given pixels and their normals, the colour (3, N) and the share of the lamp's light (N,)
Painter = Callable[[Spots, Floats], tuple[Floats, Floats]]
# Given pixels, how much they cover (N,): those below a half are not drawn
Coverage = Callable[[Spots], Floats]


class _Stage:
    """Surfaces before a camera, of which each pixel sees the nearest."""

    def __init__(self, camera: Camera, size: tuple[int, int]) -> None:
        self.camera, self.size = camera, size
        pixels = size[0] * size[1]
        self.depth = np.full(pixels, FAR, np.float32)
        self.owner = np.full(pixels, -1, np.int8)
        self.column, self.row = np.zeros(pixels, np.float32), np.zeros(pixels, np.float32)
        self.surfaces: list[tuple[Floats, Painter]] = []

    def add(
        self,
        vertices: Floats,
        painter: Painter,
        *,
        coverage: Coverage | None = None,
        nearer: float = 0.0,
        both_sides: bool = False,
        hidden: NDArray[np.bool_] | None = None,
        normal: Floats | None = None,
    ) -> None:
        """Bring on a mesh (R, C, 3) mm, drawn `nearer` mm before its place, but not where `hidden` (R, C)."""
        depth = np.ascontiguousarray(vertices[..., 2])
        layer = rasterise(
            self.camera.project(vertices), depth, self.size, both_sides=both_sides, hidden=hidden
        )
        if layer is None:
            return
        distance = layer.depth + np.float32(nearer)
        seen = np.flatnonzero(distance > self.depth[layer.pixel])
        column, row = layer.column[seen], layer.row[seen]
        if coverage is not None:
            solid = coverage(Spots.at(column, row)) > 0.5
            seen, column, row = seen[solid], column[solid], row[solid]
        place = layer.pixel[seen]
        self.depth[place], self.owner[place] = distance[seen], len(self.surfaces)
        self.column[place], self.row[place] = column, row
        self.surfaces.append((normals(vertices) if normal is None else normal, painter))

    def paint(self) -> tuple[Floats, Floats]:
        """Colour (3, pixels) and lit share (pixels,)."""
        color = np.zeros((3, len(self.depth)), np.float32)
        lit = np.zeros(len(self.depth), np.float32)
        for k, (normal, painter) in enumerate(self.surfaces):
            mine = np.flatnonzero(self.owner == k)
            if len(mine):
                spots = Spots.at(self.column[mine], self.row[mine])
                color[:, mine], lit[mine] = painter(spots, unit(spots.of(normal)))
        return color, lit


def draw(
    figure: Figure,
    camera: Camera,
    light: Light,
    size: tuple[int, int],
    *,
    glasses: bool,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Colour (h, w, 3, linear), opacity (h, w), and which points (68,) can be seen."""
    width, height = size
    stage = _Stage(camera, size)
    local, turned = figure.vertices()
    skull = _Skull(local, turned, normals(turned))
    style = hair.hairdo(figure.person)
    _add_head(stage, figure, skull, light, style)
    _add_hair(stage, figure, skull, light, style)
    _add_beard(stage, figure, skull, light)
    _add_hat(stage, figure, skull, light)
    _add_ears(stage, figure, light)
    _add_body(stage, figure, light, rng)
    color, lit = stage.paint()
    depth = stage.depth.reshape(height, width)
    dark = _shadow(depth, light, camera.scale, lit.reshape(height, width))
    color *= dark.ravel()
    picture = np.ascontiguousarray(color.T).reshape(height, width, 3)
    if glasses:
        eyes = paint.eye_corners(figure.offsets).mean(1)
        props.wear_glasses(picture, depth, _Projector(figure, camera), eyes, camera.scale, rng)
    return picture, f32(stage.owner >= 0).reshape(height, width), _visible(depth, figure, camera)


@dataclass(frozen=True, slots=True)
class _Skull:
    """The head's vertices (R, C, 3) mm as they are and turned, and the turned ones' normals."""

    local: Floats
    turned: Floats
    normal: Floats

    def shell(self, style: hair.Hairdo) -> tuple[Floats, NDArray[np.bool_]]:
        """Vertices (r, C, 3) of what lies over the skull, and where (r, C) it does not."""
        bare = style.inside < -16  # strands of noise reach less far out
        rows = min(int(np.flatnonzero(~bare.all(1))[-1]) + 2, len(bare))
        thick = style.thickness[:rows, :, None]
        return self.turned[:rows] + self.normal[:rows] * thick, bare[:rows]


class _Projector(props.Projector):
    """Pixels and depth of places on the head."""

    def __init__(self, figure: Figure, camera: Camera) -> None:
        self.figure, self.camera = figure, camera

    def __call__(self, places: Floats) -> Floats:
        return self.camera.project(self.figure.stance(places))

    def depth(self, places: Floats) -> Floats:
        return self.figure.stance(places)[..., 2]


def _add_head(stage: _Stage, figure: Figure, skull: _Skull, light: Light, style: hair.Hairdo | None) -> None:
    person = figure.person

    def painter(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
        mask = spots.masks()
        color, lit = paint.paint_skin(person, spots, mask, normal, light, figure.moves)
        place = spots.of(skull.local)
        corners = paint.eye_corners(figure.offsets)
        paint.paint_eyes(color, mask["eye"], place, person, light, corners, figure.turn, _gaze(figure))
        paint.paint_mouth(color, mask["mouth"], place, light, _teeth(figure), person.seed)
        return color, lit

    under = None  # under thick hair nothing of the skin is seen, but for the seam behind
    if style is not None:
        under = (style.inside > 16) & (np.abs(head().u) < 220)
    stage.add(skull.turned, painter, normal=skull.normal, hidden=under)


def _gaze(figure: Figure) -> Floats:
    """Where the eyes look (3,), on the head: to the camera, near it, or straight ahead."""
    rng = np.random.default_rng(figure.person.seed + 11)
    there = f32([0, 0, 1]) if rng.random() < 0.5 else f32([rng.normal(0, 0.3), rng.normal(0.05, 0.15), 1])
    if rng.random() < 0.7:
        there = there @ figure.turn
    there[2] = max(there[2], 0.6)
    return unit(there)


def _teeth(figure: Figure) -> tuple[float, float]:
    """Heights (mm) of the edges of the upper and the lower teeth: on the skull and on the jaw."""
    h = head()
    rest = h.control_base[:, 1] + figure.person.offsets[:, 1]
    upper, lower = rest[h.place["62"]] + 3.2, rest[h.place["66"]] + 5.0
    return float(upper), float(lower + 20 * max(figure.moves.get("jaw_open", 0), 0))


def _add_body(stage: _Stage, figure: Figure, light: Light, rng: np.random.Generator) -> None:
    cloth = f32((rng.beta(0.6, 1.6) * (1 + rng.normal(0, 0.5, 3))).clip(0.008, 0.8))
    weave = str(rng.choice(["soft", "locks", "fine"]))

    def painter(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
        shade, lit = light.shade(normal, (0.2, 0.2, 0.2))
        return cloth[:, None] * np.exp(0.2 * spots.grain(weave, figure.person.seed, 14.0, 14.0)) * shade, lit

    stage.add(figure.trunk(props.shoulders(rng)), painter, both_sides=True)


def _add_ears(stage: _Stage, figure: Figure, light: Light) -> None:
    skin = figure.person.skin * f32([1, 0.86, 0.84])

    def painter(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
        shade, lit = light.shade(np.where(normal[2] < 0, -normal, normal), (0.6, 0.4, 0.3))
        column, row = (a.reshape(-1)[: spots.count] for a in (spots.column, spots.row))
        r = np.hypot(column % 11 / 4 - 1, row / 5 - 1)
        groove = 1 - 0.45 * np.exp(-(((r - 0.72) / 0.13) ** 2)) - 0.4 * np.exp(-((r / 0.35) ** 2))
        return skin[:, None] * f32(groove) * shade, lit

    between = np.zeros((11, 20), np.bool_)
    between[:, 9:11] = True
    stage.add(figure.stance(props.ears(figure.person)), painter, both_sides=True, hidden=between)


def _add_hair(stage: _Stage, figure: Figure, skull: _Skull, light: Light, style: hair.Hairdo | None) -> None:
    person = figure.person
    hanging = hair.curtain(person)
    if style is not None:
        vertices, bare = skull.shell(style)

        def paint_shell(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
            return hair.paint_strands(person, hair.shell_cover(person, style, spots)[1], normal, light)

        stage.add(
            vertices,
            paint_shell,
            coverage=lambda s: hair.shell_cover(person, style, s)[0],
            nearer=0.6,
            hidden=bare,
        )
    if hanging is not None:
        vertices, cover = figure.stance(hanging[0]), hanging[1]

        def paint_curtain(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
            return hair.paint_strands(person, hair.curtain_cover(person, cover, spots)[1], normal, light)

        stage.add(
            vertices,
            paint_curtain,
            coverage=lambda s: hair.curtain_cover(person, cover, s)[0],
            both_sides=True,
        )


def _add_beard(stage: _Stage, figure: Figure, skull: _Skull, light: Light) -> None:
    person = figure.person
    shell = hair.full_beard(person)
    if shell is None:
        return

    def painter(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
        return hair.paint_strands(person, hair.beard_cover(person, shell, spots)[1], normal, light)

    vertices, bare = skull.shell(shell)
    stage.add(
        vertices, painter, coverage=lambda s: hair.beard_cover(person, shell, s)[0], nearer=0.3, hidden=bare
    )


def _add_hat(stage: _Stage, figure: Figure, skull: _Skull, light: Light) -> None:
    found = hair.hat(figure.person)
    cloth = figure.person.hat
    if found is None or cloth is None:
        return
    shell, peak = found
    weave = ("soft", "locks", "fine")[figure.person.seed % 3]

    def painter(spots: Spots, normal: Floats) -> tuple[Floats, Floats]:
        shade, lit = light.shade(np.where(normal[2] < 0, -normal, normal), (0.2, 0.2, 0.2))
        return cloth[:, None] * np.exp(0.2 * spots.grain(weave, figure.person.seed, 9.0, 9.0)) * shade, lit

    vertices, bare = skull.shell(shell)
    stage.add(vertices, painter, coverage=lambda spots: hair.hat_cover(shell, spots), nearer=1.2, hidden=bare)
    if peak is not None:
        stage.add(figure.stance(peak), painter, both_sides=True)


def _visible(depth: Floats, figure: Figure, camera: Camera) -> NDArray[np.bool_]:
    """A point is hidden where something lies more than a finger's breadth before it."""
    seen = camera.project(figure.points)
    h, w = depth.shape
    inside = (seen >= -0.5).all(1) & (seen[:, 0] < w - 0.5) & (seen[:, 1] < h - 0.5)
    x, y = np.clip(np.round(seen).astype(int), 0, (w - 1, h - 1)).T
    return np.asarray(inside & (depth[y, x] < figure.points[:, 2] + 9), np.bool_)


def _shadow(depth: Floats, light: Light, scale: float, lit: Floats) -> Floats:
    """What is left of the light (h, w): less where something nearer keeps the lamp off, and in hollows."""
    small = np.ascontiguousarray(depth[::2, ::2])
    h, w = small.shape
    solid = small > FAR / 2
    tx, ty, tz = (float(v) for v in light.toward)
    flat = float(np.hypot(tx, ty)) + 1e-6
    hidden = np.zeros((h, w), np.float32)
    for reach in (7.0, 14.0, 24.0, 38.0):  # mm along the lamp's direction in the picture
        dx, dy = (round(t / flat * reach * scale / 2) for t in (tx, ty))
        if abs(dx) + abs(dy) == 0 or abs(dx) >= w or abs(dy) >= h:
            continue
        here = np.s_[max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)]
        there = np.s_[max(dy, 0) : h - max(-dy, 0), max(dx, 0) : w - max(-dx, 0)]
        over = small[there] - small[here]
        blocked = np.clip((over - reach * max(tz, 0.05) / flat) / 4, 0, 1) * (over < 100)
        np.maximum(hidden[here], blocked, out=hidden[here])
    shadow = f32(hidden * solid)
    near = f32(np.where(solid, small, -150))
    cavity = f32(np.clip((_blur(near, max(3.0 * scale, 0.6)) - near) / 14, 0, 1) * solid)
    full = depth.shape[1], depth.shape[0]
    dark, hollow = (f32(cv2.resize(a, full)) for a in (_blur(shadow, max(0.9 * scale, 0.5)), cavity))
    total = float(light.lamp.mean())
    share = 0.85 * total / (total + 0.5 * float((light.sky + light.ground).mean()))
    return f32((1 - np.float32(share) * dark * lit) * (1 - np.float32(0.55) * hollow))


def _blur(values: Floats, sigma: float) -> Floats:
    return f32(cv2.GaussianBlur(values, (0, 0), sigma))
