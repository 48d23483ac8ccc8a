"""Task-wise early stopping (Zhang 2014, section 3.2): a task that has taught what it can is dropped.

With E_tr and E_val a task's training and validation error, checked at times t, a window of k checks and the
task's weight lambda, it stops where

     k med(E_tr)                   E_val(t) - min E_tr
    ----------------------   *   ---------------------   >   epsilon,
    sum(E_tr) - k med(E_tr)         lambda * min E_tr

median and sum over the window, minimum over all checks. The first factor is large where the training error
has stopped falling, the second where the validation error stays behind. As published the rule divides by
a difference that noise makes nothing or negative; so both errors are smoothed, and the rule is asked only
once the window is full and the difference is a positive share of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class TaskWatch:
    """The errors of one task, and whether it should stop.

    Parameters
    ----------
    weight : lambda of the task
    window : checks that the trend is judged by
    threshold : epsilon
    smoothing : weight of the past in the smoothed errors
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
        """Take the errors of one check; the value of the rule, None where it cannot be asked."""
        for values, value in ((self.train, train), (self.valid, valid)):
            keep = self.smoothing if values else 0.0
            values.append(keep * values[-1] + (1 - keep) * value if values else value)
        return self.value()

    def value(self) -> float | None:
        """The left side of the rule."""
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
        """Whether the task has taught what it can."""
        value = self.value()
        return value is not None and value > self.threshold
