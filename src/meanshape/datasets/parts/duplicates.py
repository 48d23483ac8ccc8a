"""Near-duplicates among photos: a perceptual hash of each, and pairs whose hashes differ in a few bits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SIDE, BAND = 8, 16
BITS = 2 * SIDE * SIDE
LEVEL = 2.0
"""By so many levels grey must grow to count, lest noise decides on plain grounds."""

NEAR = 6
"""Hashes that differ in so many of their 128 bits at most are near; fewer than there are bands, so that near
ones always have a band in common.
"""


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """A hash of 128 bits of a picture (H, W, 3): where grey grows to the right, and where downward, on 8 x 8
    places. It hardly changes with size, compression or brightness.
    """
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (SIDE + 1, SIDE + 1), interpolation=cv2.INTER_AREA)
    right = small[:SIDE, 1:] - small[:SIDE, :-1] > LEVEL
    down = small[1:, :SIDE] - small[:-1, :SIDE] > LEVEL
    return int.from_bytes(np.packbits(np.concatenate([right.ravel(), down.ravel()])).tobytes(), "big")


def near_pairs(hashes: Mapping[str, int], most: int = NEAR) -> list[tuple[str, str, int]]:
    """Pairs of names whose hashes differ in at most `most` bits, and in how many; the nearest first.

    Of more than two photos with the very same hash, each is paired with the first alone.
    """
    same: dict[int, list[str]] = defaultdict(list)
    for name, value in hashes.items():
        same[value].append(name)
    pairs = [(many[0], other, 0) for many in same.values() for other in many[1:]]
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for value in same:
        for band in range(BITS // BAND):
            buckets[band, value >> (band * BAND) & ((1 << BAND) - 1)].append(value)
    seen = set()
    for many in buckets.values():
        for one, other in combinations(many, 2):
            differ = (one ^ other).bit_count()
            if differ <= most and (one, other) not in seen:
                seen.add((one, other))
                pairs.append((same[one][0], same[other][0], differ))
    return sorted(pairs, key=lambda pair: pair[2])
