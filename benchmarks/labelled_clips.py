"""Clips whose every frame has known people and points: rendered heads, moved, turned, hidden, cut, lit.

A head is rendered once and moved as a sprite, but for `turned`, which renders every frame. All is drawn from
seeds. `KINDS` names the clips; `clip(kind, seed)` yields the frames of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import apply
from meanshape.datasets.synthetic.backdrop import backdrop
from meanshape.datasets.synthetic.generate import Options, _rng, finish, plan, render

Float = NDArray[np.float64]
Pixels = NDArray[np.uint8]
SIZE, RATE, NOISE = (640, 480), 25, 2.0  # pixels, frames a second, grey levels of the sensor
WIDE = (1600, 720)  # a backdrop to pan over
TILE, FACE = 340, 340 / 2.4  # a rendered tile and the face in it, pixels
CUTS = ("elsewhere", "same place", "same set")


@dataclass(frozen=True)
class Sprite:
    """A rendered head: linear colours (h, w, 3), opacity (h, w), points (68, 2), which of them are seen."""

    color: NDArray[np.float32]
    alpha: NDArray[np.float32]
    points: Float
    seen: NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """A sprite in the picture: its face's middle in pixels, its size by the tile's, its turn in degrees."""

    person: int
    sprite: Sprite
    x: float
    y: float
    scale: float = 1.0
    turn: float = 0.0

    @property
    def matrix(self) -> Float:
        """Return the map from the tile to the picture (2, 3)."""
        angle = math.radians(self.turn)
        c, s = self.scale * math.cos(angle), self.scale * math.sin(angle)
        turned = np.array([[c, -s], [s, c]])
        middle = (self.sprite.points.min(0) + self.sprite.points.max(0)) / 2
        return np.column_stack([turned, np.array([self.x, self.y]) - turned @ middle])


@dataclass(frozen=True)
class Person:
    """A person in a frame: points (68, 2) and which of them can be seen. `visit` tells shots apart."""

    points: Float
    seen: NDArray[np.bool_]
    visit: int = 0


@dataclass(frozen=True)
class Shown:
    """A frame: seconds, pixels, and who is in it."""

    time: float
    pixels: Pixels
    people: dict[int, Person]


@dataclass
class Scene:
    """What is before the camera in one frame."""

    people: list[Placed]
    behind: NDArray[np.float32]
    pan: tuple[float, float] = (0.0, 0.0)  # where the picture lies on the backdrop
    light: float = 1.0
    over: list[Float] = field(default_factory=list)  # polygons before the faces
    visit: int = 0


@lru_cache(maxsize=256)
def sprite(seed: int, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Sprite:
    """Render a person."""
    options = Options(
        pitch, yaw, roll, identity=seed, occlusion=0, degrade=False, fill=FACE / TILE, shift=0.0
    )
    made = plan((seed, 77), TILE, options)
    color, alpha, seen = render(made, TILE, _rng(seed, 7))
    return Sprite(color, alpha, made.points, np.asarray(seen))


@lru_cache(maxsize=64)
def place(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Draw a backdrop."""
    return backdrop(size, _rng(seed, 6), 1.0)


def shoot(scenes: list[Scene], seed: int, number: int, time: float | None = None) -> Shown:
    """Take a frame: the mean of what the scene was while the shutter was open."""
    drawn = [_drawn(scene) for scene in scenes]
    canvas = np.mean([canvas for canvas, _ in drawn], axis=0, dtype=np.float32)
    people = drawn[len(drawn) // 2][1]
    clean = finish(canvas * np.float32(scenes[0].light), _rng(seed, 8), degrade=False)
    noise = np.random.default_rng((seed, number)).normal(0, NOISE, clean.shape)
    pixels = np.clip(clean + noise + 0.5, 0, 255).astype(np.uint8)
    return Shown(number / RATE if time is None else time, pixels, people)


def _drawn(scene: Scene) -> tuple[NDArray[np.float32], dict[int, Person]]:
    width, height = SIZE
    shift = np.array([[1, 0, -scene.pan[0]], [0, 1, -scene.pan[1]]])
    canvas = cv2.warpAffine(scene.behind, shift, SIZE, borderMode=cv2.BORDER_REFLECT)
    people = {}
    for one in scene.people:
        matrix, tile = one.matrix, one.sprite
        flags = cv2.INTER_AREA if one.scale < 0.6 else cv2.INTER_LINEAR
        alpha = cv2.warpAffine(tile.alpha, matrix, SIZE, flags=flags)[..., None]
        color = cv2.warpAffine(tile.color, matrix, SIZE, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        canvas += alpha * (color - canvas)
        people = {name: _behind(person, alpha[..., 0]) for name, person in people.items()}
        points = apply(matrix, tile.points)
        inside = ((points >= 0) & (points <= (width - 1, height - 1))).all(1)
        people[one.person] = Person(points, tile.seen & inside, scene.visit)
    for polygon in scene.over:
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 255)
        soft = cv2.GaussianBlur(mask, (0, 0), 1.5).astype(np.float32)[..., None] / 255
        canvas += soft * (np.array([0.45, 0.28, 0.2], np.float32) - canvas)
        people = {name: _behind(person, soft[..., 0]) for name, person in people.items()}
    return canvas, people


def _behind(person: Person, alpha: NDArray[np.float32]) -> Person:
    """Return a person before whom something of some opacity (h, w) has come."""
    x, y = np.clip(np.round(person.points).astype(int), 0, (alpha.shape[1] - 1, alpha.shape[0] - 1)).T
    return Person(person.points, person.seen & (alpha[y, x] < 0.5), person.visit)


Move = Callable[[float], Scene]


def film(move: Move, seed: int, frames: int, rate: float = RATE, shutter: int = 1) -> Iterator[Shown]:
    """Film a scene that is a function of time; `shutter` pictures of half a frame's time make the blur."""
    for number in range(frames):
        time = number / rate
        open_for = (
            [time + (n / shutter - 0.5) * 0.5 / RATE for n in range(shutter)] if shutter > 1 else [time]
        )
        yield shoot([move(moment) for moment in open_for], seed, number, time)


def wave(time: float, reach: float, hertz: float) -> float:
    """Return a swing about 0."""
    return reach * math.sin(2 * math.pi * hertz * time)


def still(seed: int) -> Iterator[Shown]:
    """Nothing but the sensor's noise."""
    head, behind = sprite(seed), place(seed)
    return film(lambda t: Scene([Placed(0, head, 320, 230)], behind), seed, 20)


def moving(seed: int) -> Iterator[Shown]:
    """A head crosses the picture, nods and comes near."""
    head, behind = sprite(seed), place(seed)

    def move(t: float) -> Scene:
        at = (320 + wave(t, 150, 0.45), 230 + wave(t, 30, 0.7), 1 + wave(t, 0.25, 0.35), wave(t, 12, 0.5))
        return Scene([Placed(0, head, *at)], behind)

    return film(move, seed, 50)


def fast(seed: int) -> Iterator[Shown]:
    """A head is thrown to and fro, up to a quarter of its size a frame, with motion blur."""
    head, behind = sprite(seed), place(seed)
    reach = (150, 130)[seed % 2]
    return film(
        lambda t: Scene([Placed(0, head, 320 + wave(t, reach, 0.95), 230, turn=wave(t, 10, 0.95))], behind),
        seed, 50, shutter=4,
    )  # fmt: skip


def turned(seed: int) -> Iterator[Shown]:
    """A head turns to either side by 40 degrees, nods by 15 and tilts by 20."""
    behind = place(seed)

    def move(t: float) -> Scene:
        head = sprite(seed, wave(t, 40, 0.6), wave(t, 15, 0.9), wave(t, 20, 0.4))
        return Scene([Placed(0, head, 320, 230)], behind)

    return film(move, seed, 42)


def hidden(seed: int) -> Iterator[Shown]:
    """An arm passes before the face: it is hidden for half a second."""
    head, behind = sprite(seed), place(seed)
    wide = (70, 110, 170)[seed % 3]

    def move(t: float) -> Scene:
        x = -200 + 700 * t
        arm = np.array([[x, -10], [x + wide, -10], [x + wide + 60, 490], [x + 60, 490]])
        return Scene([Placed(0, head, 320 + wave(t, 20, 0.5), 230)], behind, over=[arm])

    return film(move, seed, 40)


def crossing(seed: int) -> Iterator[Shown]:
    """Two people pass, one behind the other."""
    near, far, behind = sprite(seed), sprite(seed + 1000), place(seed)

    def move(t: float) -> Scene:
        return Scene(
            [Placed(1, far, 110 + 220 * t, 220, 0.7), Placed(0, near, 540 - 220 * t, 260, 0.95)], behind
        )

    return film(move, seed, 50)


def away(seed: int) -> Iterator[Shown]:
    """Somebody leaves the picture and comes back within the second that a number is kept."""
    head, behind = sprite(seed), place(seed)

    def move(t: float) -> Scene:
        gone = min(1.0, max(0.0, 1.6 - abs(t - 1.0) * 2))
        return Scene([Placed(0, head, 320 + 450 * gone**2 * (3 - 2 * gone), 230)], behind)

    return film(move, seed, 50)


def pan(seed: int) -> Iterator[Shown]:
    """The camera pans over a wide scene with a face in it, by up to 30 pixels a frame, with motion blur."""
    head, behind = sprite(seed), place(seed, WIDE)

    def move(t: float) -> Scene:
        x = 480 + wave(t, 260, 0.45)
        return Scene(
            [Placed(0, head, 800 - x, 250 + wave(t, 20, 1.0))], behind, pan=(x, 60 + wave(t, 20, 1.0))
        )

    return film(move, seed, 50, shutter=4)


def follow(seed: int) -> Iterator[Shown]:
    """The camera follows somebody who runs: the face rests, all behind it flies by."""
    head, behind = sprite(seed), place(seed, WIDE)

    def move(t: float) -> Scene:
        runs = Placed(0, head, 320 + wave(t, 6, 3.0), 230 + wave(t, 8, 3.0))
        return Scene([runs], behind, pan=(40 + 900 * t % 900, 60))

    return film(move, seed, 40, shutter=4)


def zoom(seed: int) -> Iterator[Shown]:
    """The face grows by 4 percent a frame, and shrinks again."""
    head, behind = sprite(seed), place(seed)
    return film(lambda t: Scene([Placed(0, head, 320, 230, math.exp(wave(t, 0.45, 0.4)))], behind), seed, 50)


def flash(seed: int) -> Iterator[Shown]:
    """Photographers' flashes: one frame, sometimes two, three to eight times as bright."""
    head, behind = sprite(seed), place(seed)

    def move(t: float) -> Scene:
        number = round(t * RATE)
        bright = {8: 3.0, 16: 8.0, 17: 4.0, 26: 40.0, 34: 5.0}.get(number, 1.0)
        return Scene([Placed(0, head, 320 + wave(t, 30, 0.4), 230)], behind, light=bright)

    return film(move, seed, 44)


def lamp(seed: int) -> Iterator[Shown]:
    """The light is switched off and on: a fifth of it is left."""
    head, behind = sprite(seed), place(seed)

    def move(t: float) -> Scene:
        light = 0.2 if 0.5 < t < 1.1 else 1.0
        return Scene([Placed(0, head, 320 + wave(t, 20, 0.4), 230)], behind, light=light)

    return film(move, seed, 44)


def fade(seed: int) -> Iterator[Shown]:
    """To black and back, within the second that a number is kept."""
    head, behind = sprite(seed), place(seed)
    return film(
        lambda t: Scene([Placed(0, head, 320, 230)], behind, light=min(1.0, 3.5 * abs(t - 0.9))), seed, 46
    )


def slow(seed: int) -> Iterator[Shown]:
    """Five frames a second, as of a bad line."""
    head, behind = sprite(seed), place(seed)

    def move(t: float) -> Scene:
        at = (320 + wave(t, 90, 0.25), 230 + wave(t, 15, 0.4), 1 + wave(t, 0.1, 0.2), wave(t, 6, 0.3))
        return Scene([Placed(0, head, *at)], behind)

    return film(move, seed, 30, rate=5)


def backdrops(seed: int) -> Iterator[Shown]:
    """What is behind somebody changes at a stroke, as in a video call; the person stays."""
    head = sprite(seed)

    def move(t: float) -> Scene:
        return Scene([Placed(0, head, 320 + wave(t, 15, 0.5), 230)], place(seed + 500 * int(t / 0.4)))

    return film(move, seed, 40)


def cut(seed: int) -> Iterator[Shown]:
    """One person, then at a stroke another: elsewhere, in the same place, or before the same backdrop too."""
    kind, rng = CUTS[seed % 3], np.random.default_rng((seed, 5))
    first = (
        320 + rng.uniform(-60, 60),
        230 + rng.uniform(-30, 30),
        rng.uniform(0.8, 1.25),
        rng.uniform(-6, 6),
    )
    other = (
        320 + rng.uniform(-150, 150),
        230 + rng.uniform(-60, 50),
        rng.uniform(0.7, 1.35),
        rng.uniform(-8, 8),
    )
    near = (
        first[0] + rng.normal(0, 4),
        first[1] + rng.normal(0, 4),
        first[2] * rng.uniform(0.95, 1.05),
        first[3],
    )
    heads = [sprite(2 * seed + n, float(rng.normal(0, 10)), float(rng.normal(0, 6))) for n in (0, 1)]
    behind = [place(seed), place(seed if kind == "same set" else seed + 3000)]

    def move(t: float) -> Scene:
        late = int(t >= 0.4 - 1e-6)
        x, y, scale, turn = (other if kind == "elsewhere" else near) if late else first
        return Scene([Placed(late, heads[late], x + 10 * t, y, scale, turn)], behind[late], visit=late)

    return film(move, seed, 25)


SIX = (moving, fast, turned, hidden, crossing, away, pan, follow, zoom, flash, lamp, fade, slow, backdrops)
KINDS: dict[str, tuple[Callable[[int], Iterator[Shown]], int]] = {
    "still": (still, 3),
    **{kind.__name__: (kind, 6) for kind in SIX},
    "cut": (cut, 39),
}
"""The kinds of clips, and how many of each are measured."""


def clip(kind: str, seed: int) -> Iterator[Shown]:
    """Yield the frames of a clip."""
    return KINDS[kind][0](seed)
