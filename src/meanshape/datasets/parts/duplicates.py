"""Near-duplicates among photos: a perceptual hash of each, and pairs whose hashes differ in a few bits."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core.sample import Sample

SIDE, BAND = 8, 16
BITS = 2 * SIDE * SIDE
LEVEL = 2.0
"""By so many levels grey must grow to count, lest noise decides on plain grounds."""

ONES = np.array([value.bit_count() for value in range(256)], np.uint8)

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


@dataclass(frozen=True, slots=True)
class Across:
    """Photos of one split that are nearly repeated in another, to learn from.

    `pairs` names the held-out photo and its repetition; `count` is of the photos held out; `photos` says
    where those to learn from lie.
    """

    held_out: str
    learnt: str
    count: int
    pairs: tuple[tuple[str, str], ...]
    photos: Mapping[str, Path]


def near_across(samples: Sequence[Sample], hashes: Mapping[str, int], splits: Sequence[str]) -> list[Across]:
    """Return what is nearly repeated across the splits of a data set: from a later one in an earlier one.

    The splits are in the card's order, which begins with what is learnt from.
    """
    parts: dict[str, dict[str, int]] = defaultdict(dict)
    photos = {}
    for sample in samples:
        if sample.id in hashes and sample.split is not None:
            parts[sample.split][sample.id] = hashes[sample.id]
            if isinstance(sample.image, str | Path):
                photos[sample.id] = Path(os.path.abspath(sample.image))  # noqa: PTH100 - links stay links
    there = [split for split in splits if split in parts]
    return [
        Across(later, earlier, len(parts[later]), tuple(near_between(parts[later], parts[earlier])), photos)
        for earlier, later in combinations(there, 2)
    ]


def near_between(
    ours: Mapping[str, int], others: Mapping[str, int], most: int = NEAR
) -> list[tuple[str, str]]:
    """Return names of ours with names of others, of all pairs whose hashes differ in at most `most` bits."""
    if not ours or not others:
        return []
    names, table = list(others), _bytes(others.values())
    bands = table.view(np.uint16)
    found = []
    for name, value in zip(ours, _bytes(ours.values()), strict=True):
        alike = np.flatnonzero((bands == value.view(np.uint16)).any(axis=1))  # near ones share a band
        differ = ONES[table[alike] ^ value].sum(axis=1)
        found += [(name, names[i]) for i in alike[differ <= most]]
    return found


def _bytes(hashes: Iterable[int]) -> NDArray[np.uint8]:
    """Return hashes as bytes (N, 16)."""
    whole = b"".join(value.to_bytes(BITS // 8, "big") for value in hashes)
    return np.frombuffer(whole, np.uint8).reshape(-1, BITS // 8)
