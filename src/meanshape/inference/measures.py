"""Numbers people derive from a shape: how open eyes and mouth are, how far apart eyes are, how tilted a face.

All need the lids or lips one by one: the 68, 51 or 49 iBUG points. Ratios have no unit, distances are pixels,
angles degrees; a point that is not annotated makes NaN.
"""

from __future__ import annotations

import numpy as np

from meanshape.core.box import Points
from meanshape.core.errors import ShapeError
from meanshape.core.shape import Shape


def eye_aspect_ratio(shape: Shape) -> tuple[float, float]:
    """Return how open the right and the left eye (the subject's) are: height by width of the lids' outline.

    About 0.3 open and below 0.2 shut, by person and pose; a blink is a dip (Soukupova and Cech, Real-time eye
    blink detection using facial landmarks, CVWW 2016).
    """
    right, left = _group(shape, "right_eye", 6), _group(shape, "left_eye", 6)
    return _openness(right), _openness(left)


def mouth_aspect_ratio(shape: Shape) -> float:
    """Return how open the mouth is: mean height of the gap between the lips by its width; 0 is shut.

    The eye's ratio applied to the inner lips, as yawn detectors do (three heights; after Soukupova and Cech
    2016).
    """
    lips = _group(shape, "inner_lips", 8)
    heights = np.linalg.norm(lips[1:4] - lips[:4:-1], axis=1)
    return float(heights.mean() / np.linalg.norm(lips[0] - lips[4]))


def inter_ocular(shape: Shape) -> float:
    """Return the distance of the outer eye corners in pixels (300-W's normaliser, Sagonas et al. 2013)."""
    pair = shape.markup.inter_ocular
    if pair is None:
        raise ShapeError(f"{shape.markup.name} does not say where the outer eye corners are")
    return float(np.linalg.norm(shape.points[pair[0]] - shape.points[pair[1]]))


def inter_pupil(shape: Shape) -> float:
    """Return the distance of the eye centres in pixels (D_IOD of the older papers)."""
    left, right = shape.markup.eye_centers(shape.points)
    return float(np.linalg.norm(left - right))


def roll(shape: Shape) -> float:
    """Return how far the line through the eyes is tilted, in degrees, + toward the subject's right.

    `inference.pose` measures the head's roll in space; the two agree where the head is not turned.
    """
    left, right = shape.markup.eye_centers(shape.points)
    return float(np.degrees(np.arctan2(right[1] - left[1], left[0] - right[0])))


def _openness(lids: Points) -> float:
    """Mean of the two heights by the width of six points round an eye, corner first."""
    heights = np.linalg.norm(lids[1] - lids[5]) + np.linalg.norm(lids[2] - lids[4])
    return float(heights / (2 * np.linalg.norm(lids[0] - lids[3])))


def _group(shape: Shape, name: str, count: int) -> Points:
    """The points of a group that must have so many."""
    if len(shape.markup.groups.get(name, ())) != count:
        raise ShapeError(f"{shape.markup.name} has no {name.replace('_', ' ')} of {count} points")
    return shape[name]
