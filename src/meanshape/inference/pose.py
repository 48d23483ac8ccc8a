"""Which way a head turns, from points on its face.

A generic head (`head.toml`, our own: mean and main variations of our rendered persons) is turned, and bent
along its variations as far as they are likely, until its points, seen by a camera, fall nearest to the
face's. The camera is a stated one: it looks at the middle of the head from `DISTANCE` mm, because nothing
in a photo of unknown origin says better. Turning is iterative: damped Gauss-Newton steps.

Angles are those of `Pose`: degrees, +pitch up, +yaw and +roll toward the subject's right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from meanshape.core import toml
from meanshape.core.face import Pose
from meanshape.core.markup import MarkUp, markup
from meanshape.core.shape import Shape

Floats = NDArray[np.float64]

DISTANCE = 1000.0
"""Millimetres from camera to head."""
NOISE = 5.0
"""Millimetres by which a point is off where no variation moves it."""
LEVEL = 1.9
"""Degrees by which the generic head looks up where persons look straight: found on persons not in it."""
STEPS = 12
FRAMES = 5
"""Frames that one slope serves."""
FEWER = 2
"""Steps from the state of the frame before."""
SMALL = 0.1
"""Radians of an angle, or share of the size, that a step by an old slope may change."""
ENOUGH = 1e-3
"""Share of the cost that a step must save for another to follow."""
FEWEST = 5
"""Points below which a head's turn is not determined."""
STEEPEST = np.radians(89.0)


@dataclass(frozen=True, slots=True)
class Head:
    """Places (K, 3) in mm of a mark-up's points, their variations (M, K, 3) one standard deviation strong."""

    kind: MarkUp
    places: Floats
    modes: Floats

    def only(self, known: NDArray[np.bool_]) -> Head:
        """Return the head with only some of its points."""
        return Head(self.kind, self.places[known], self.modes[:, known])


def head_pose(shape: Shape) -> Pose | None:
    """Return the pose of a head, or None where the shape does not show it.

    Any mark-up will do that converts to the 51 inner points or to five of them, or that these convert to;
    five annotated points that are not all on a line are the least.
    """
    found = _search(shape)
    return None if found is None else _posed(found[0])


class HeadPose:
    """The pose of one head over time: each search goes on from the last answer, and so is short.

    The slope of what is seen hardly changes from frame to frame: most frames take a single step by the last.
    """

    def __init__(self) -> None:
        self._state: Floats | None = None
        self._near: Near | None = None

    def __call__(self, shape: Shape) -> Pose | None:
        """Return the pose in the next frame, or None where the shape does not show it."""
        if self._near is not None and self._state is not None:
            self._state = self._near.step(shape, self._state)
            if self._state is not None:
                if not self._near.left:
                    self._near = self._near.renewed(self._state)
                return _posed(self._state)
        before, self._state, self._near = self._state, None, None
        found = _search(shape, before)
        if found is None:
            return None
        self._state, head, known = found
        self._near = Near.of(shape.markup, head, known, self._state)
        return _posed(self._state)


def _search(shape: Shape, before: Floats | None = None) -> tuple[Floats, Head, NDArray[np.bool_]] | None:
    """Return the state of the head in a shape, the points of the head that are there, and which they are."""
    head = head_of(shape.markup)
    if head is None:
        return None
    points = shape.points if head.kind == shape.markup else shape.markup.convert(shape.points, head.kind)
    known = np.asarray(np.isfinite(points).all(1) & np.isfinite(head.places).all(1))
    points = points[known]
    if len(points) < FEWEST:
        return None
    if _on_a_line(points):
        return None
    head = head.only(known)
    return _turn(points, head, before), head, known


def _on_a_line(points: Floats) -> bool:
    """Tell whether points (K, 2) spread less than a fiftieth as far across as along."""
    (xx, xy), (_, yy) = np.cov(points.T).tolist()
    middle, half = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    return not middle - half > 0.02**2 * (middle + half)


@dataclass(slots=True)
class Near:
    """How the state of a head changes with its points near one state, for a few frames.

    Attributes
    ----------
    kind : of the shapes
    mixing : (K, L), the head's points from the shape's
    head : the points that are known, about their middle
    gain : (6 + M, 2K + M), what a residual changes
    left : frames until it is out of date
    """

    kind: MarkUp
    mixing: Floats
    head: Head
    gain: Floats
    left: int = FRAMES

    @classmethod
    def of(cls, kind: MarkUp, head: Head, known: NDArray[np.bool_], state: Floats) -> Near:
        """Return what holds near the state of a head, some of whose points are known."""
        head = Head(head.kind, head.places - head.places.mean(0), head.modes)
        mixing = kind.conversion(head.kind).weights(len(kind))[known]
        return cls(kind, mixing, head, _gain(state, head))

    def renewed(self, state: Floats) -> Near:
        """Return what holds near a later state of the same head."""
        return replace(self, gain=_gain(state, self.head), left=FRAMES)

    def step(self, shape: Shape, state: Floats) -> Floats | None:
        """Return the next state, or None where this does not hold: it must be searched for."""
        self.left -= 1
        if shape.markup != self.kind or not np.isfinite(shape.points).all():
            return None
        points = self.mixing @ shape.points
        wrong = _missing(state, points - points.mean(0), _seen(state, self.head))
        moved = self.gain @ wrong
        return state + moved if np.abs(moved[:4]).max() < SMALL else None


def _gain(state: Floats, head: Head) -> Floats:
    """How the state of a head changes (6 + M, 2K + M) with what is missing."""
    slope = _slope(state, _seen(state, head), head)
    return np.asarray(np.linalg.solve(slope.T @ slope, slope.T), np.float64)


def _posed(state: Floats) -> Pose:
    """The pose that a state tells of."""
    pitch, yaw, roll = np.degrees(state[:3]).tolist()
    return Pose(pitch + LEVEL, yaw, roll)


def head_of(kind: MarkUp) -> Head | None:
    """Return the generic head for shapes of a mark-up, in that mark-up or in one that it converts to.

    None where the two have too little in common.
    """
    own = _head()
    if kind == own.kind or own.kind.name in kind.conversions:
        return own
    target = kind if kind.name in own.kind.conversions else markup("mtfl5")
    if target != kind and target.name not in kind.conversions:
        return None
    mixing = own.kind.conversion(target).weights(len(own.kind))
    there = mixing.sum(1) > 0
    return Head(target, np.where(there[:, None], mixing @ own.places, np.nan), mixing @ own.modes)


@cache
def _head() -> Head:
    """The head in the file."""
    table = toml.parse(files(__package__).joinpath("head.toml").read_text("utf-8"))
    return Head(markup(table["markup"]), np.array(table["places"]), np.array(table["modes"]))


def rotation(pitch: float, yaw: float, roll: float) -> Floats:
    """The rotation (3, 3) of angles in radians: about x, then y, then z.

    x is to the picture's right, y down, z toward the camera.
    """
    (cp, sp), (cy, sy), (cr, sr) = _circle(pitch), _circle(yaw), _circle(roll)
    first, second = (cy, -sy * sp, -sy * cp), (0.0, cp, -sp)
    return np.array([
        [cr * a + sr * b for a, b in zip(first, second, strict=True)],
        [cr * b - sr * a for a, b in zip(first, second, strict=True)],
        [sy, cy * sp, cy * cp],
    ])  # fmt: skip


def rotation_slopes(pitch: float, yaw: float, roll: float) -> Floats:
    """The derivatives (3, 3, 3) of `rotation` by each angle."""
    (cp, sp), (cy, sy), (cr, sr) = _circle(pitch), _circle(yaw), _circle(roll)
    turned = rotation(pitch, yaw, roll)
    by_pitch = [
        [0.0, -cr * sy * cp - sr * sp, cr * sy * sp - sr * cp],
        [0.0, sr * sy * cp - cr * sp, -sr * sy * sp - cr * cp],
        [0.0, cy * cp, -cy * sp],
    ]
    by_yaw = [
        [-cr * sy, -cr * cy * sp, -cr * cy * cp],
        [sr * sy, sr * cy * sp, sr * cy * cp],
        [cy, -sy * sp, -sy * cp],
    ]
    return np.array([by_pitch, by_yaw, [turned[1], -turned[0], np.zeros(3)]])


def _circle(angle: float) -> tuple[float, float]:
    return math.cos(angle), math.sin(angle)


def _turn(points: Floats, head: Head, before: Floats | None = None) -> Floats:
    """Return the state at which the head, seen by the camera, is nearest to points (K, 2).

    Its first three values are pitch, yaw and roll in radians. `before` is the state in the last frame.
    """
    points = points - points.mean(0)
    places = head.places - head.places.mean(0)
    if before is None:
        state = np.zeros(6 + len(head.modes))  # angles, logarithm of pixels a mm, shift, variations
        state[2] = _roll(places[:, :2], points)
        state[3] = 0.5 * np.log((points**2).sum() / (places[:, :2] ** 2).sum())
    else:
        state = before
    head = Head(head.kind, places, head.modes)
    seen = _seen(state, head)
    wrong, slope = _missing(state, points, seen), _slope(state, seen, head)
    cost, damping = wrong @ wrong, 1e-3
    for _ in range(STEPS if before is None else FEWER):
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope.T @ wrong)
        tried = state + step
        tried[:2] = np.clip(state[:2] + np.clip(step[:2], -0.6, 0.6), -STEEPEST, STEEPEST)
        seen = _seen(tried, head)
        wrong_there = _missing(tried, points, seen)
        cost_there = wrong_there @ wrong_there
        if cost_there >= cost:
            damping *= 10
            continue
        saved, damping = 1 - cost_there / cost, damping * 0.2
        state, wrong, cost = tried, wrong_there, cost_there
        if saved < ENOUGH:
            break
        slope = _slope(state, seen, head)
    state[2] = (state[2] + np.pi) % (2 * np.pi) - np.pi
    return state


@dataclass(frozen=True, slots=True)
class Seen:
    """A head in a state: turn (3, 3), bent places (K, 3), nearness (K, 1), and where the camera sees them
    (K, 2), in mm.
    """

    turn: Floats
    places: Floats
    near: Floats
    flat: Floats


def _seen(state: Floats, head: Head) -> Seen:
    """What the camera sees of a head in a state."""
    turn = rotation(*state[:3])
    places = head.places + (state[6:] @ head.modes.reshape(len(head.modes), -1)).reshape(-1, 3)
    turned = places @ turn.T
    near = 1 / (1 - turned[:, 2:] / DISTANCE)
    return Seen(turn, places, near, turned[:, :2] * near)


def _missing(state: Floats, points: Floats, seen: Seen) -> Floats:
    """What is missing (2K + M,) in a state, in standard deviations.

    The variations' own sizes are missed at zero: that is what keeps them likely.
    """
    wrong = ((points - state[4:6]) * np.exp(-state[3]) - seen.flat) / NOISE
    return np.concatenate([wrong.ravel(), -state[6:]])


def _slope(state: Floats, seen: Seen, head: Head) -> Floats:
    """How what is seen changes with the state: (2K + M, 6 + M)."""
    count, many = len(head.places), len(head.modes)
    slopes = rotation_slopes(*state[:3])
    turned = (seen.places @ slopes.reshape(9, 3).T).reshape(count, 3, 3).transpose(1, 0, 2)
    bent = (head.modes.reshape(-1, 3) @ seen.turn.T).reshape(many, count, 3)  # one product is quicker than M
    moving = np.concatenate([turned, bent])
    moved = (moving[..., :2] + seen.flat * moving[..., 2:] / DISTANCE) * seen.near  # (3 + M, K, 2)
    slope = np.zeros((2 * count + many, 6 + many))
    by_place = slope[: 2 * count].reshape(count, 2, -1)
    by_place[..., :3] = moved[:3].transpose(1, 2, 0)
    by_place[..., 3] = seen.flat
    by_place[..., 4:6] = np.eye(2) * np.exp(-state[3])
    by_place[..., 6:] = moved[3:].transpose(1, 2, 0)
    by_place /= NOISE
    slope[2 * count :, 6:] = np.eye(many)
    return slope


def _roll(places: Floats, points: Floats) -> float:
    """The roll (radians) of the similarity between the head seen from the front and the points."""
    cross = places[:, 0] * points[:, 1] - places[:, 1] * points[:, 0]
    return float(-np.arctan2(cross.sum(), (places * points).sum()))
