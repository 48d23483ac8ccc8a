"""Quieter points over time: filters that follow each point of a tracked face.

Sizes are in parts of the face and times in seconds, so that one setting serves all resolutions and frame
rates. Smoothing trades jitter on a still face for lag on a moving one; `meanshape jitter` shows the trade.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, UnknownName

Points = NDArray[np.float64]


class Smoother(ABC):
    """Follows the points of one face."""

    def __init__(self) -> None:
        self._time: float | None = None

    def __call__(self, points: Points, time: float, size: float) -> Points:
        """Return the smoothed points.

        Parameters
        ----------
        points : (K, 2) as they were found, pixels
        time : of the frame, seconds; one that does not come after the last starts anew
        size : of the face, pixels
        """
        if self._time is None or time <= self._time or not np.isfinite(points).all():
            out = self._start(points)
        else:
            out = self._go_on(points, time - self._time, max(size, 1.0))
        self._time = time if np.isfinite(points).all() else None
        return out

    @abstractmethod
    def _start(self, points: Points) -> Points:
        """Take the first points."""

    @abstractmethod
    def _go_on(self, points: Points, seconds: float, size: float) -> Points:
        """Take the next points."""


class Raw(Smoother):
    """No smoothing."""

    def _start(self, points: Points) -> Points:
        return points

    def _go_on(self, points: Points, seconds: float, size: float) -> Points:
        return points


class OneEuro(Smoother):
    """The 1-euro filter (Casiez, Roussel, Vogel; CHI 2012): a low-pass that opens with speed.

    Speed is the median over the points of the face, so that a moving head opens the filter of all points at
    once and the noise of a single one does not.

    Parameters
    ----------
    cutoff : of a still face, Hz; lower is quieter
    beta : how much the cutoff rises, Hz per face size a second; higher lags less
    """

    def __init__(self, cutoff: float = 1.2, beta: float = 24.0, speed_cutoff: float = 6.0) -> None:
        super().__init__()
        if min(cutoff, speed_cutoff) <= 0 or beta < 0:
            raise ConfigError(
                f"cutoffs must be positive and beta not negative: {cutoff}, {speed_cutoff}, {beta}"
            )
        self.cutoff, self.beta, self.speed_cutoff = cutoff, beta, speed_cutoff

    def _start(self, points: Points) -> Points:
        self._out, self._last, self._speed = points, points, np.zeros_like(points)
        return points

    def _go_on(self, points: Points, seconds: float, size: float) -> Points:
        moved = (points - self._last) / (seconds * size)
        self._speed = self._speed + _alpha(self.speed_cutoff, seconds) * (moved - self._speed)
        self._last = points
        order, last = np.sort(self._speed, axis=0), len(points) - 1
        speed = float(np.hypot(*(order[last // 2] + order[(last + 1) // 2]))) / 2  # the median, sooner
        alpha = _alpha(self.cutoff + self.beta * speed, seconds)
        self._out = self._out + alpha * (points - self._out)
        return self._out


class Kalman(Smoother):
    """A Kalman filter of constant velocity for each coordinate, all with the same gain.

    Parameters
    ----------
    noise : standard deviation of a found point, face sizes
    motion : standard deviation of the acceleration, face sizes per second squared
    """

    def __init__(self, noise: float = 0.01, motion: float = 3.0) -> None:
        super().__init__()
        if min(noise, motion) <= 0:
            raise ConfigError(f"noise and motion must be positive, not {noise} and {motion}")
        self.noise, self.motion = noise, motion

    def _start(self, points: Points) -> Points:
        self._state = np.stack([points, np.zeros_like(points)])  # place, and speed in pixels a second
        self._doubt = np.diag([self.noise**2, 1.0])
        return points

    def _go_on(self, points: Points, seconds: float, size: float) -> Points:
        step = np.array([[1, seconds], [0, 1]])
        push = np.array([[seconds**2 / 2], [seconds]]) * self.motion
        self._state = np.tensordot(step, self._state, 1)
        self._doubt = step @ self._doubt @ step.T + push @ push.T
        gain = self._doubt[:, 0] / (self._doubt[0, 0] + self.noise**2)
        self._state = self._state + gain[:, None, None] * (points - self._state[0])
        self._doubt = self._doubt - np.outer(gain, self._doubt[0])
        return np.asarray(self._state[0])


SMOOTHERS: dict[str, type[Smoother]] = {"none": Raw, "one_euro": OneEuro, "kalman": Kalman}


def smoother(name: str) -> Smoother:
    """Return a new smoother: none, one_euro or kalman."""
    if name not in SMOOTHERS:
        raise UnknownName.of("smoothing", name, SMOOTHERS)
    return SMOOTHERS[name]()


def _alpha(cutoff: float, seconds: float) -> float:
    """Return how much of a new value a low-pass of this cutoff takes."""
    rate = 2 * math.pi * cutoff * seconds
    return rate / (1 + rate)
