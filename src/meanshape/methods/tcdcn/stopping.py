"""Task-wise early stopping (Zhang 2014, section 3.2): drop auxiliary tasks that no longer help.

With E_tr and E_val a task's training and validation error, checked at times t, a window of k checks and the
task's weight lambda, it stops where

     k med(E_tr)                   E_val(t) - min E_tr
    ----------------------   *   ---------------------   >   epsilon,
    sum(E_tr) - k med(E_tr)         lambda * min E_tr

median and sum over the window, minimum over all checks. The first factor is large where the training error
has stopped falling, the second where the generalisation gap is large. The published rule divides by a
difference that noise can make zero or negative; so both errors are smoothed, and the rule is evaluated only
once the window is full and the difference is a positive share of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class EarlyStopping:
    """The stopping rule of one task.

    Parameters
    ----------
    weight : lambda of the task
    window : number of checks k
    threshold : epsilon
    smoothing : weight of the previous value in the exponential smoothing of errors
    least : share of the window's sum that the denominator must exceed
    """

    weight: float
    window: int = 8
    threshold: float = 4.0
    smoothing: float = 0.5
    least: float = 1e-4
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)

    def add(self, train: float, valid: float) -> float | None:
        """Add the errors of one check and return the rule's value; None where it is undefined."""
        for values, value in ((self.train, train), (self.valid, valid)):
            keep = self.smoothing if values else 0.0
            values.append(keep * values[-1] + (1 - keep) * value if values else value)
        return self.value()

    def value(self) -> float | None:
        """Return the left side of the rule; None where it is undefined."""
        if len(self.train) < self.window or self.weight <= 0:
            return None
        recent = np.array(self.train[-self.window :])
        middle = self.window * float(np.median(recent))
        falling = float(recent.sum()) - middle
        best = min(self.train)
        if falling <= self.least * recent.sum() or best <= 0:
            return None
        return middle / falling * (self.valid[-1] - best) / (self.weight * best)

    def should_stop(self) -> bool:
        """Return whether the rule's value exceeds the threshold."""
        value = self.value()
        return value is not None and value > self.threshold
