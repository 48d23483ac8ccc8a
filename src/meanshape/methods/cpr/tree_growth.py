"""Grow regression trees, compiled by numba; nothing else in the classical methods needs it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_SPLIT_FACES = 1500
"""Largest number of faces that a split is chosen on; more do not choose better."""


@njit(cache=True)
def _split(
    grey: NDArray[np.uint8],
    targets: NDArray[np.float32],
    faces: NDArray[np.int64],
    candidates: NDArray[np.int64],
    uniforms: NDArray[np.float64],
) -> tuple[np.int64, np.int64, np.int64]:
    """Return the pixel pair and threshold of the best split; no candidate splits: threshold 256, one side."""
    width, size = targets.shape[1], len(faces)
    step = 1 + size // MAX_SPLIT_FACES
    best, a, b, limit = -1.0, np.int64(0), np.int64(0), np.int64(256)
    sums, right = np.zeros(width), np.empty(width)
    count = 0
    for i in range(0, size, step):
        count += 1
        for q in range(width):
            sums[q] += targets[faces[i], q]
    for c in range(len(uniforms) if count > 1 else 0):
        x, y = candidates[c]
        at = faces[int(uniforms[c] * size)]
        threshold = np.int64(grey[at, x]) - np.int64(grey[at, y])
        right[:] = 0
        taken = 0
        for i in range(0, size, step):
            j = faces[i]
            if np.int64(grey[j, x]) - np.int64(grey[j, y]) > threshold:
                taken += 1
                for q in range(width):
                    right[q] += targets[j, q]
        if taken == 0 or taken == count:
            continue
        gain = 0.0
        for q in range(width):
            other = sums[q] - right[q]
            gain += right[q] * right[q] / taken + other * other / (count - taken)
        if gain > best:
            best, a, b, limit = gain, x, y, threshold
    return a, b, limit


@njit(cache=True)
def grow(
    grey: NDArray[np.uint8],
    targets: NDArray[np.float32],
    order: NDArray[np.int64],
    candidates: NDArray[np.int64],
    uniforms: NDArray[np.float64],
    depth: int,
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int64]]:
    """Grow one complete tree.

    Parameters
    ----------
    grey : (N, P) grey levels of a pool of pixels
    targets : (N, Q) residuals
    order : indices of the training faces; sorted by leaf in place
    candidates : (nodes, C, 2) candidate pixel pairs of each node
    uniforms : (nodes, C), uniform in 0..1; each picks the face whose difference is the candidate's threshold

    Returns
    -------
    pairs (nodes, 2), thresholds (nodes), and where each leaf begins in `order` (2^depth + 1)
    """
    nodes = len(uniforms)
    pairs, thresholds = np.zeros((nodes, 2), np.int16), np.zeros(nodes, np.int16)
    low, high = np.zeros(2 * nodes + 1, np.int64), np.zeros(2 * nodes + 1, np.int64)
    high[0] = len(order)
    for node in range(nodes):
        first, last = low[node], high[node]
        a, b, limit = _split(grey, targets, order[first:last], candidates[node], uniforms[node])
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
