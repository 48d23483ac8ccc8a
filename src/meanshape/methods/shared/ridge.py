"""Linear regression with a ridge, for many outputs at once, and what it says of rows it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]


def ridge(
    seen: Float32,
    wanted: Float,
    strength: float,
    groups: NDArray[np.int64] | None = None,
    weights: Float | None = None,
) -> tuple[Float32, Float, Float]:
    """Return weights (D, M), bias (M,), and the answers (N, M) for `seen`.

    Parameters
    ----------
    seen : (N, D)
    wanted : (N, M); seen @ weights + bias comes nearest to it
    strength : of the ridge, relative to the mean variance of what is seen
    groups : (N,), if given, the answers are of regressions that have not learnt from the row's group: in
        closed form, (1 - H)^-1 times the group's residuals, H being its block of the hat matrix. Only the
        means and the size of the ridge are those of all rows.
    weights : (N,), if given, how much each row counts
    """
    from scipy.linalg import cho_solve, cholesky, solve_triangular

    if weights is None:
        mean, goal = seen.mean(0, dtype=np.float64), wanted.mean(0)
    else:
        mean, goal = (weights @ rows / weights.sum() for rows in (seen, wanted))
    centred, target = seen - mean.astype(np.float32), (wanted - goal).astype(np.float32)
    if weights is not None:
        root = np.sqrt(weights)[:, None].astype(np.float32)
        centred, target = centred * root, target * root
    left = centred.T @ centred
    left[np.diag_indices(len(left))] += max(strength * float(np.trace(left)) / len(left), 1e-12)
    factor = cholesky(left, lower=True, overwrite_a=True, check_finite=False)
    solved = np.asarray(cho_solve((factor, True), centred.T @ target, check_finite=False), np.float32)
    answers = (centred @ solved).astype(np.float64)
    if groups is not None:
        half = solve_triangular(factor, centred.T, lower=True, check_finite=False)
        answers = target - _unseen(half.T, target - answers, groups)
    if weights is not None:
        answers = answers / root
    return solved, goal - mean @ solved, answers + goal


def _unseen(half: Float32, residuals: Float, groups: NDArray[np.int64]) -> Float:
    """Return residuals (N, M) as they are when a row's group is left out; half @ half.T is the hat matrix."""
    order = np.argsort(groups, kind="stable")
    _, first, count = np.unique(groups[order], return_index=True, return_counts=True)
    found = np.empty_like(residuals)
    for size in np.unique(count):
        rows = order[first[count == size][:, None] + np.arange(size)]
        hat = (half[rows] @ half[rows].transpose(0, 2, 1)).astype(np.float64)
        found[rows] = np.linalg.solve((1 + 1e-6) * np.eye(size) - hat, residuals[rows])
    return found
