"""A person in a stance: everything that is settled before the camera is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.camera import PIVOT, rotation
from meanshape.datasets.synthetic.head import head
from meanshape.datasets.synthetic.person import Person, express

CLOTH = 0.35
"""How much of the head's turn the body follows."""
HALF = np.append(np.arange(8) / 7.92, 1.0)
"""Where the points of one half of the jaw lie between ear (0) and chin (1)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A person who has taken a pose and an expression.

    `offsets` (n, 3): the control points; `turn`, `body` (3, 3): rotations of head and trunk; `points` (68,
    3): the landmarks, turned, mm.
    """

    person: Person
    moves: dict[str, float]
    offsets: Floats
    turn: Floats
    body: Floats
    points: Floats

    def stance(self, places: Floats) -> Floats:
        """Turn places (..., 3) on the head."""
        return f32(places @ self.turn.T)

    def trunk(self, places: Floats) -> Floats:
        """Turn places (..., 3) on the body."""
        return f32((places - PIVOT) @ self.body.T + PIVOT @ self.turn.T)

    def vertices(self) -> tuple[Floats, Floats]:
        """The head's grid (R, C, 3) mm: as it is, and turned; the neck goes over into the trunk."""
        h = head()
        local = h.grid(self.offsets)
        turned = self.stance(local)
        low = int(np.searchsorted(h.v, 118))
        follow = np.clip((h.v[low:] - 118) / 75, 0, 1)[:, None, None]
        follow = follow * follow * (3 - 2 * follow)
        turned[low:] += (self.trunk(local[low:]) - turned[low:]) * follow
        return local, turned


def stand(
    person: Person, moves: dict[str, float], pose: tuple[float, float, float], distance: float
) -> Figure:
    """Let a person take a pose (pitch, yaw, roll, degrees) and an expression, `distance` mm from a camera."""
    offsets = express(person, moves)
    turn = rotation(*pose)
    body = rotation(pose[0] * 0.1, pose[1] * CLOTH, pose[2] * 0.2)
    contour, inner = head().landmarks(offsets)
    points = np.concatenate([_outline(contour, turn, distance), inner @ turn.T])
    return Figure(person, moves, offsets, turn, body, f32(points))


def _outline(candidates: Floats, turn: Floats, distance: float) -> Floats:
    """The contour as annotators draw it: of each jaw point's candidates the one farthest out is seen."""
    outward = (candidates[:, 0] - f32([0, 42, 0])) * f32([1, 1, 0]) @ turn.T
    outward[:, 2] = 0
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    turned = candidates @ turn.T
    seen = turned[..., :2] / (1 - turned[..., 2:] / np.float32(distance))
    reach = np.einsum("ijk,ik->ij", seen, outward[:, :2])
    weight = np.exp((reach - reach.max(1, keepdims=True)) / np.float32(0.6))
    weight /= weight.sum(1, keepdims=True)
    return _spread(f32((turned * weight[..., None]).sum(1)), distance)


def _spread(contour: Floats, distance: float) -> Floats:
    """Points (17, 3) moved along the line through them until each half is evenly set in the picture.

    That is how 300-W marks a jaw: between ear and chin by spacing, not by places on the bone; the steps to
    the chin are a little shorter.
    """
    seen = contour[:, :2] / (1 - contour[:, 2:] / np.float32(distance))
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(seen, axis=0), axis=1))])
    wanted = np.concatenate([HALF * along[8], along[16] - HALF[-2::-1] * (along[16] - along[8])])
    return f32(np.stack([np.interp(wanted, along, contour[:, k]) for k in range(3)], 1))
