"""Which way a head turns, from points on its face.

A generic head (`head.toml`, our own: mean and main variations of our rendered persons) is turned, and bent
along its variations as far as they are likely, until its points, seen by a camera, fall nearest to the
face's. The camera is a stated one: it looks at the middle of the head from `DISTANCE` mm, because nothing
in a photo of unknown origin says better. Turning is iterative: damped Gauss-Newton steps.

Angles are those of `Pose`: degrees, +pitch up, +yaw and +roll toward the subject's right.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from meanshape.core.markup import MarkUp, markup
from meanshape.core.types import Pose, Shape

Floats = NDArray[np.float64]

DISTANCE = 1000.0
"""Millimetres from camera to head."""
NOISE = 3.0
"""Millimetres by which a point is off where no variation moves it."""
STEPS = 12
FEWER = 2
"""Steps from the state of the frame before."""
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
    return HeadPose()(shape)


class HeadPose:
    """The pose of one head over time: each search goes on from the last answer, and so is short."""

    def __init__(self) -> None:
        self._state: Floats | None = None

    def __call__(self, shape: Shape) -> Pose | None:
        """Return the pose in the next frame, or None where the shape does not show it."""
        before, self._state = self._state, None
        head = head_of(shape.markup)
        if head is None:
            return None
        points = shape.points if head.kind == shape.markup else shape.to(head.kind).points
        known = np.asarray(np.isfinite(points).all(1) & np.isfinite(head.places).all(1))
        points = points[known]
        if len(points) < FEWEST:
            return None
        spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
        if not spread[1] > 0.02 * spread[0]:
            return None
        self._state = _turn(points, head.only(known), before)
        return Pose(*np.degrees(self._state[:3]).tolist())


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
    table = tomllib.loads(files(__package__).joinpath("head.toml").read_text("utf-8"))
    return Head(markup(table["markup"]), np.array(table["places"]), np.array(table["modes"]))


def rotation(pitch: float, yaw: float, roll: float) -> tuple[Floats, Floats]:
    """The rotation (3, 3) of angles in radians, and its derivatives (3, 3, 3) by each of them.

    x is to the picture's right, y down, z toward the camera.
    """
    (cp, cy, cr), (sp, sy, sr) = np.cos((pitch, yaw, roll)), np.sin((pitch, yaw, roll))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    by_x = np.array([[0, 0, 0], [0, -sp, -cp], [0, cp, -sp]])
    by_y = np.array([[-sy, 0, -cy], [0, 0, 0], [cy, 0, -sy]])
    by_z = np.array([[-sr, cr, 0], [-cr, -sr, 0], [0, 0, 0]])
    slopes = (about_z @ about_y @ by_x, about_z @ by_y @ about_x, by_z @ about_y @ about_x)
    return about_z @ about_y @ about_x, np.stack(slopes)


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
    wrong, slope = _residual(state, points, head)
    cost, damping = wrong @ wrong, 1e-3
    for _ in range(STEPS if before is None else FEWER):
        normal = slope.T @ slope
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope.T @ wrong)
        tried = state + step
        tried[:2] = np.clip(state[:2] + np.clip(step[:2], -0.6, 0.6), -STEEPEST, STEEPEST)
        wrong_there, slope_there = _residual(tried, points, head)
        cost_there = wrong_there @ wrong_there
        if cost_there >= cost:
            damping *= 10
            continue
        saved, damping = 1 - cost_there / cost, damping * 0.2
        state, wrong, slope, cost = tried, wrong_there, slope_there, cost_there
        if saved < ENOUGH:
            break
    state[2] = (state[2] + np.pi) % (2 * np.pi) - np.pi
    return state


def _residual(state: Floats, points: Floats, head: Head) -> tuple[Floats, Floats]:
    """What is missing (2K + M,) in a state, in standard deviations, and the slope of what is seen.

    The variations' own sizes are missed at zero: that is what keeps them likely.
    """
    count, many = len(points), len(head.modes)
    turn, slopes = rotation(*state[:3])
    scale, bend = np.exp(state[3]), state[6:]
    places = head.places + np.tensordot(bend, head.modes, 1)
    turned = places @ turn.T
    near = 1 / (1 - turned[:, 2:] / DISTANCE)
    flat = turned[:, :2] * near
    moving = np.concatenate([places @ slopes.transpose(0, 2, 1), head.modes @ turn.T])  # (3 + M, K, 3)
    seen = (moving[..., :2] + flat * moving[..., 2:] / DISTANCE) * near
    slope = np.zeros((2 * count + many, 6 + many))
    by_place = slope[: 2 * count].reshape(count, 2, -1)
    by_place[..., :3] = seen[:3].transpose(1, 2, 0)
    by_place[..., 3] = flat
    by_place[..., 4:6] = np.eye(2) / scale
    by_place[..., 6:] = seen[3:].transpose(1, 2, 0)
    by_place /= NOISE
    slope[2 * count :, 6:] = np.eye(many)
    wrong = ((points - state[4:6]) / scale - flat) / NOISE
    return np.concatenate([wrong.ravel(), -bend]), slope


def _roll(places: Floats, points: Floats) -> float:
    """The roll (radians) of the similarity between the head seen from the front and the points."""
    cross = places[:, 0] * points[:, 1] - places[:, 1] * points[:, 0]
    return float(-np.arctan2(cross.sum(), (places * points).sum()))
