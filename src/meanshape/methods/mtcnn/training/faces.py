"""Labelled faces as patches of one scale, and the one box convention that all of them follow.

Data sets disagree on what a face box is, and boxes drawn by hand scatter. So every face gets its box by
rule: 68 points give their tight box; 5 points give the tight box that a linear rule, fitted on the faces
with 68 points, expects around them. The detector's box is that box about a tenth smaller and a little
higher (`TO_CANONICAL` undoes it), where boxes of detection data sets lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.parts.boxes import canonical_box_from_five

Floats = NDArray[np.float64]
Bytes = NDArray[Any]  # uint8
Rule = Callable[[Floats], Floats]  # five points (N, 5, 2) to tight boxes (N, 4)

FACE = 64  # the face's longer side in a patch, pixels
REACH = 3.2  # the patch's side, in faces
GREY = (127, 127, 127)  # what lies outside the photo
# where the tight box's left, top, right and bottom lie relative to the detector's box (`Box.part`)
TO_CANONICAL = (-0.05, 0.047, 1.05, 1.127)


def five_of_68(points: Floats) -> Floats:
    """Return eye centres, nose tip and mouth corners, shape (..., 5, 2), of (..., 68, 2) points."""
    eyes = [points[..., 36:42, :].mean(-2), points[..., 42:48, :].mean(-2)]
    return np.stack([*eyes, points[..., 30, :], points[..., 48, :], points[..., 54, :]], axis=-2)


def tight(points: Floats) -> Floats:
    """Return the tight boxes (N, 4) as left, top, right, bottom of points (N, K, 2)."""
    return np.concatenate([points.min(1), points.max(1)], axis=1)


def to_canonical(boxes: Floats, part: Sequence[float] = TO_CANONICAL) -> Floats:
    """Return the canonical boxes (N, 4) of the detector's boxes (N, 4)."""
    corner, size = np.tile(boxes[:, :2], 2), np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(corner + size * np.asarray(part))


def from_canonical(boxes: Floats, part: Sequence[float] = TO_CANONICAL) -> Floats:
    """Return the detector's boxes (N, 4) of canonical boxes (N, 4): the inverse of `to_canonical`."""
    low, high = np.asarray(part[:2]), np.asarray(part[2:])
    size = (boxes[:, 2:] - boxes[:, :2]) / (high - low)
    corner = boxes[:, :2] - size * low
    return np.concatenate([corner, corner + size], axis=1)


@dataclass(frozen=True)
class BoxRule:
    """The linear rule from 5 points, freed of place and scale, to their expected tight box."""

    weights: Floats  # (11, 4)

    @staticmethod
    def _frame(five: Floats) -> tuple[Floats, Floats, Floats]:
        centre = five.mean(1)
        spread = np.sqrt(((five - centre[:, None]) ** 2).sum(2).mean(1))[:, None]
        free = ((five - centre[:, None]) / spread[:, None]).reshape(-1, 10)
        return centre, spread, np.concatenate([free, np.ones((len(free), 1))], axis=1)

    @classmethod
    def fit(cls, points68: Floats) -> BoxRule:
        """Fit the rule to faces with 68 points, shape (N, 68, 2)."""
        centre, spread, free = cls._frame(five_of_68(points68))
        boxes = tight(points68)
        middle = ((boxes[:, :2] + boxes[:, 2:]) / 2 - centre) / spread
        target = np.concatenate([middle, np.log((boxes[:, 2:] - boxes[:, :2]) / spread)], axis=1)
        return cls(np.linalg.solve(free.T @ free + 0.01 * np.eye(11), free.T @ target))

    def __call__(self, five: Floats) -> Floats:
        """Return the expected tight boxes (N, 4) of five points (N, 5, 2)."""
        centre, spread, free = self._frame(five)
        out = free @ self.weights
        middle, half = centre + out[:, :2] * spread, np.exp(out[:, 2:]) * spread / 2
        return np.concatenate([middle - half, middle + half], axis=1)


def expected_boxes(five: Floats) -> Floats:
    """Return the tight boxes (N, 4) of five points where the training set has no 68 points to learn from."""
    return np.array([canonical_box_from_five(points).as_list() for points in five]).reshape(-1, 4)


@dataclass
class Faces:
    """N faces: patches of one scale with their outlines (5 or 68 points) in patch coordinates."""

    patches: list[Bytes]
    outlines: list[Floats]
    rule: Rule

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.patches)

    def turned(self, index: NDArray[np.int64], angles: Floats, mirror: NDArray[np.bool_]) -> View:
        """Return the faces of `index` turned about the patch's centre by `angles` degrees, some mirrored."""
        middle = (FACE * REACH - 1) / 2
        turn = np.array([_turn(a, m, middle) for a, m in zip(angles, mirror, strict=True)]).reshape(-1, 2, 3)
        five = np.empty((len(index), 5, 2))
        boxes = np.empty((len(index), 4))
        many = np.zeros(len(index), dtype=bool)
        for row, i in enumerate(index):
            points = self.outlines[i] @ turn[row, :, :2].T + turn[row, :, 2]
            many[row] = len(points) == 68
            five[row] = five_of_68(points) if many[row] else points
            if many[row]:
                boxes[row] = tight(points[None])[0]
        five[mirror] = five[mirror][:, [1, 0, 2, 4, 3]]
        if not many.all():
            boxes[~many] = self.rule(five[~many])
        return View(index, turn, five, from_canonical(boxes))


@dataclass
class View:
    """Faces under a turn: the affine maps from their patches, five points and boxes after it."""

    index: NDArray[np.int64]
    turn: Floats  # (N, 2, 3)
    points: Floats  # (N, 5, 2)
    boxes: Floats  # (N, 4)


def _turn(angle: float, mirror: bool, middle: float) -> Floats:
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = np.array([[c, -s], [s, c]])
    if mirror:
        linear = linear @ np.array([[-1.0, 0.0], [0.0, 1.0]])
    return np.concatenate([linear, (middle - linear @ [middle, middle])[:, None]], axis=1)


def make_faces(
    images: Sequence[Callable[[], Bytes]], outlines: Sequence[Floats], rule: Rule | None = None
) -> Faces:
    """Cut the patches of faces from photos; `images` are called one by one, so that few are in memory."""
    full = [p for p in outlines if len(p) == 68]
    rule = rule or (BoxRule.fit(np.stack(full)) if len(full) >= 20 else expected_boxes)
    patches, moved = [], []
    side = round(FACE * REACH)
    for image, outline in zip(images, outlines, strict=True):
        box = from_canonical(tight(outline[None]) if len(outline) == 68 else rule(outline[None]))[0]
        centre, size = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
        scale = FACE / size
        pixels = image()
        matrix = np.array(
            [[scale, 0, (side - 1) / 2 - scale * centre[0]], [0, scale, (side - 1) / 2 - scale * centre[1]]]
        )
        patches.append(shrink_warp(pixels, matrix, side))
        moved.append(outline * scale + matrix[:, 2])
    return Faces(patches, moved, rule)


def shrink_warp(image: Bytes, matrix: Floats, side: int) -> Bytes:
    """Warp `image` by `matrix` (image to patch) into a square patch, area-averaged where it reduces."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    height, width = image.shape[:2]
    if scale < 0.75:
        small = cv2.resize(
            image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
        )
        fx, fy = small.shape[1] / width, small.shape[0] / height
        back = np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1.0]])
        image, matrix = small, matrix @ back
    out: Bytes = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=GREY
    )
    return out
