"""What a face does, in numbers, and what it does over time: eyes, mouth, brows, pupils, blinks.

`of` measures one shape, `relative` a track against its own neutral face, `blinks` counts. Lengths are parts
of the distance of the outer eye corners, or of the eye's own width, so that they hold at any size; all of
them change with the head's turn, for they are measured in the picture. Mark-ups must name lids, lips and
brows: the iBUG ones of 68, 70 and 51 points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import checks
from meanshape.core.box import Points
from meanshape.core.errors import ConfigError, ShapeError
from meanshape.core.shape import Shape
from meanshape.inference.measures import eye_aspect_ratio, mouth_aspect_ratio

CLOSED = 0.6
"""Parts of its own opening below which an eye counts as shut."""
LONGEST = 0.5
"""Seconds from which eyes are shut on purpose: blinks take 0.1 to 0.4."""


class Signals(NamedTuple):
    """What one face does. Right and left are the subject's.

    Attributes
    ----------
    right_eye, left_eye : height by width of the lids' outline, about 0.3 open (Soukupova and Cech 2016)
    mouth : mean height by width of the gap between the lips, 0 shut (the same ratio)
    smile : distance of the mouth corners by that of the outer eye corners: a smile widens it (FACS, action
        unit 12), a pucker narrows it
    right_brow, left_brow : mean height of the brow over the line through its eye's corners, by the distance
        of the outer eye corners (FACS, action units 1, 2 and 4)
    """

    right_eye: float
    left_eye: float
    mouth: float
    smile: float
    right_brow: float
    left_brow: float


class Blink(NamedTuple):
    """Both eyes shut for a moment: from and until (seconds), and their least opening; 1 is as always."""

    start: float
    end: float
    opening: float


def of(shape: Shape) -> Signals:
    """Return the signals of one face; a point that is not annotated makes NaN."""
    scale = _far(_corner(shape, "right_eye_outer"), _corner(shape, "left_eye_outer"))
    mouth = _far(_corner(shape, "right_mouth_corner"), _corner(shape, "left_mouth_corner"))
    brows = (_brow(shape, side) / scale for side in ("right", "left"))
    return Signals(*eye_aspect_ratio(shape), mouth_aspect_ratio(shape), mouth / scale, *brows)


def relative(track: Iterable[Shape]) -> NDArray[np.float64]:
    """Return the signals (T, 6) of one face over time, in the order of `Signals`, against its neutral face.

    The neutral face is the median of each signal over the track: half of the frames at least must be
    without expression. Eyes and smile are parts of the neutral (1 is as always), mouth and brows the
    difference from it (0 is as always), for a mouth that is shut has nothing to divide by.
    """
    found = np.array([of(shape) for shape in track], np.float64).reshape(-1, len(Signals._fields))
    if not len(found):
        return found
    known = [column[np.isfinite(column)] for column in found.T]
    neutral = np.array([np.median(column) if column.size else np.nan for column in known])
    parts = np.isin(Signals._fields, ("right_eye", "left_eye", "smile"))
    return np.asarray(np.where(parts, found / neutral, found - neutral), np.float64)


def blinks(
    times: ArrayLike, openings: ArrayLike, *, closed: float = CLOSED, longest: float = LONGEST
) -> list[Blink]:
    """Return the blinks of one face.

    Parameters
    ----------
    times : seconds of the frames (T,), rising
    openings : how open the eyes are in each: the two eye signals (T, 2), or their mean (T,)
    closed : parts of the median opening of the track below which the eyes are shut
    longest : seconds; what lasts longer is eyes that are shut, not a blink, and so is what the track begins
        or ends with

    Raises
    ------
    ConfigError : times and openings do not fit, times do not rise, or `closed` or `longest` is out of range
    """
    when, opening = np.asarray(times, np.float64), np.asarray(openings, np.float64)
    opening = opening.mean(1) if opening.ndim == 2 else opening
    if when.ndim != 1 or when.shape != opening.shape or (np.diff(when) <= 0).any():
        raise ConfigError(
            f"blinks want rising times (T,) and openings (T,) or (T, 2), not {when.shape} and {opening.shape}"
        )
    if not 0 < checks.number(closed, "closed", ConfigError) < 1:
        raise ConfigError(f"closed is a part of the usual opening, between 0 and 1, not {closed}")
    if checks.number(longest, "longest", ConfigError) <= 0:
        raise ConfigError(f"longest is seconds, above 0, not {longest}")
    if not np.isfinite(opening).any():
        return []
    opening = opening / np.nanmedian(opening)
    shut = np.concatenate([[False], opening < closed, [False]])
    starts, ends = np.flatnonzero(~shut[:-1] & shut[1:]), np.flatnonzero(shut[:-1] & ~shut[1:])
    found = []
    for first, after in zip(starts.tolist(), ends.tolist(), strict=True):
        if first and after < len(when) and when[after] - when[first] <= longest:
            least = float(np.nanmin(opening[first:after]))
            found.append(Blink(float(when[first]), float(when[after]), least))
    return found


def pupil_offsets(shape: Shape) -> tuple[Points, Points]:
    """Return where the right and the left pupil (2,) lie from the middle of their eye's corners.

    In parts of the eye's width, along the line of the corners toward the subject's left, and down from it:
    (0, 0) looks straight ahead, roughly. The default model's mark-up, `ibug70`, has pupils; one without is a
    `ShapeError`.
    """
    right, left = (_pupil(shape, *ends) for ends in (("right", "outer", "inner"), ("left", "inner", "outer")))
    return right, left


def _pupil(shape: Shape, side: str, first: str, last: str) -> Points:
    """Return one pupil's offset; the corners from the subject's right to the left."""
    start, end = _corner(shape, f"{side}_eye_{first}"), _corner(shape, f"{side}_eye_{last}")
    along = end - start
    across = np.array([-along[1], along[0]])  # down where `along` goes to the picture's right
    offset = _corner(shape, f"{side}_pupil") - (start + end) / 2
    return np.array([offset @ along, offset @ across]) / (along @ along)


def _brow(shape: Shape, side: str) -> float:
    """Return the mean height of a brow over the line of its eye's corners, pixels."""
    ends: Sequence[str] = ("outer", "inner") if side == "right" else ("inner", "outer")
    start, end = (_corner(shape, f"{side}_eye_{which}") for which in ends)
    along = (end - start) / _far(start, end)
    name = f"{side}_brow"
    if name not in shape.markup.groups:
        raise ShapeError(f"{shape.markup.name} has no {side} brow")
    away = shape[name] - start
    return float(np.mean(away[:, 0] * along[1] - away[:, 1] * along[0]))


def _corner(shape: Shape, name: str) -> Points:
    """Return a point that the mark-up must have."""
    if name not in shape.markup.points:
        raise ShapeError(f"{shape.markup.name} has no {name.replace('_', ' ')}")
    return shape[name]


def _far(one: Points, other: Points) -> float:
    return float(np.linalg.norm(other - one))
