"""Growing trees, compiled by numba: nothing else in the classical methods needs it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MOST = 1500
"""Faces that a split is chosen on; more do not choose better."""


@njit(cache=True)
def grow(
    grey: NDArray[np.uint8],
    targets: NDArray[np.float32],
    order: NDArray[np.int64],
    candidates: NDArray[np.int64],
    chances: NDArray[np.float64],
    depth: int,
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int64]]:
    """Grow one complete tree.

    Parameters
    ----------
    grey : (N, P) grey levels of a pool of pixels
    targets : (N, Q)
    order : the faces to learn from; it is sorted by leaf in place
    candidates : (nodes, C, 2) pairs of pixels that each node may choose from
    chances : (nodes, C), even in 0..1, that say which face's difference is a candidate's threshold

    Returns
    -------
    pairs (nodes, 2), thresholds (nodes), and where each leaf begins in `order` (2^depth + 1)
    """
    nodes, tries = chances.shape
    width = targets.shape[1]
    pairs, thresholds = np.zeros((nodes, 2), np.int16), np.zeros(nodes, np.int16)
    low, high = np.zeros(2 * nodes + 1, np.int64), np.zeros(2 * nodes + 1, np.int64)
    high[0] = len(order)
    everything, right = np.empty(width), np.empty(width)
    for node in range(nodes):
        first, last = low[node], high[node]
        step = 1 + (last - first) // MOST
        best, a, b, limit = -1.0, np.int64(0), np.int64(0), np.int64(256)
        everything[:] = 0
        count = 0
        for i in range(first, last, step):
            count += 1
            for q in range(width):
                everything[q] += targets[order[i], q]
        for c in range(tries if count > 1 else 0):
            x, y = candidates[node, c]
            at = order[first + int(chances[node, c] * (last - first))]
            threshold = np.int64(grey[at, x]) - np.int64(grey[at, y])
            right[:] = 0
            some = 0
            for i in range(first, last, step):
                j = order[i]
                if np.int64(grey[j, x]) - np.int64(grey[j, y]) > threshold:
                    some += 1
                    for q in range(width):
                        right[q] += targets[j, q]
            if some == 0 or some == count:
                continue
            gain = 0.0
            for q in range(width):
                rest = everything[q] - right[q]
                gain += right[q] * right[q] / some + rest * rest / (count - some)
            if gain > best:
                best, a, b, limit = gain, x, y, threshold
        pairs[node, 0], pairs[node, 1], thresholds[node] = a, b, limit
        i, end = first, last
        while i < end:
            j = order[i]
            if np.int64(grey[j, a]) - np.int64(grey[j, b]) > limit:
                end -= 1
                order[i], order[end] = order[end], j
            else:
                i += 1
        low[2 * node + 1], high[2 * node + 1] = first, i
        low[2 * node + 2], high[2 * node + 2] = i, last
    begins = np.empty(nodes + 2, np.int64)
    begins[:-1], begins[-1] = low[nodes:], len(order)
    return pairs, thresholds, begins
