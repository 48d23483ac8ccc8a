"""Linear regression with a ridge, for many outputs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]


def ridge(seen: Float32, wanted: Float, strength: float = 0.2) -> tuple[Float32, Float]:
    """Return weights (D, M) and bias (M,), with which seen @ weights + bias is nearest to wanted.

    Parameters
    ----------
    seen : (N, D)
    wanted : (N, M)
    strength : of the ridge, relative to the mean variance of what is seen
    """
    from scipy.linalg import solve

    mean, goal = seen.mean(0, dtype=np.float64), wanted.mean(0)
    centred = seen - mean.astype(np.float32)
    left, right = centred.T @ centred, centred.T @ (wanted - goal).astype(np.float32)
    left[np.diag_indices(len(left))] += max(strength * float(np.trace(left)) / len(left), 1e-12)
    weights = np.asarray(solve(left, right, assume_a="pos", overwrite_a=True), np.float32)
    return weights, goal - mean @ weights


def out_of_fold(
    seen: Float32, wanted: Float, groups: NDArray[np.int64], folds: int = 3, strength: float = 0.2
) -> Float:
    """Return what regressions say of rows that they did not learn from; one group stays together."""
    fold, found = groups % folds, np.empty_like(wanted)
    for k in range(folds):
        own = fold == k
        if own.all() or not own.any():
            weights, bias = ridge(seen, wanted, strength)
        else:
            weights, bias = ridge(seen[~own], wanted[~own], strength)
        found[own] = seen[own] @ weights + bias
    return found
