"""Faces hidden in a video: every frame is searched, and what was found is held over the frames around it.

The whole film is searched before the first frame is written, so that a face can be hidden before the first
frame in which it was found, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING

from meanshape.core.errors import FormatError
from meanshape.core.image import Pixels
from meanshape.inference.blur import hide
from meanshape.inference.blur_record import Entry, Gap
from meanshape.inference.following import moment
from meanshape.inference.regions import Region, joined

if TYPE_CHECKING:
    from meanshape.inference.clip import Clip
    from meanshape.inference.recorder import Recorder

HOLD = 0.5
"""Seconds that a region stays before and after the frames in which its face was found."""
NEAR, ALIKE = 0.8, 2.0
"""Sizes that a face's centre moves, and times that its size grows, at most from one find to the next."""

Find = Callable[[Pixels, str], Sequence[Region]]


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found in each frame, and when the frames are, in seconds."""

    entries: list[Entry]
    times: list[float]


def search(clip: Clip, find: Find, step: Callable[[], None] = lambda: None) -> Searched:
    """Return what `find` answers to each frame of a clip; `step` is called after each."""
    entries, times = [], []
    for frame in clip.frames():
        height, width = frame.pixels.shape[:2]
        source = moment(clip.path, frame.time)
        entries.append(Entry(source, (width, height), tuple(find(frame.pixels, source))))
        times.append(frame.time)
        step()
    return Searched(entries, times)


def held(found: Searched, seconds: float = HOLD) -> tuple[list[Entry], list[Gap]]:
    """Return the frames with numbered faces, each held over the frames around, and where faces were lost.

    Between two finds of a face at most twice `seconds` apart, the way from one to the other is hidden.
    """
    tracks = _tracks(found, 2 * seconds)
    more: list[list[Region]] = [[] for _ in found.entries]
    gaps = []
    for number, finds in enumerate(tracks):
        for at, part in finds:
            more[at].append(replace(part, track=number))
        for (before, one), (after, two) in pairwise(finds):
            if after - before > 1:
                way = replace(joined([one, two]), track=number, held=True)
                for at in range(before + 1, after):
                    more[at].append(way)
                gaps.append(Gap(number, found.times[before + 1], found.times[after - 1], after - before - 1))
        _around(more, found.times, finds, number, seconds)
    entries = [replace(e, regions=tuple(r)) for e, r in zip(found.entries, more, strict=True)]
    return entries, sorted(gaps, key=lambda gap: gap.begin)


def write(
    clip: Clip,
    recorder: Recorder,
    entries: Sequence[Entry],
    mode: str,
    blocks: int,
    seen: Callable[[int, Pixels], None] = lambda number, pixels: None,
) -> None:
    """Write a clip with the regions of its frames hidden; `seen` is given each frame as it is written.

    Raises
    ------
    FormatError : the record has fewer or more frames than the film
    ImageError : a frame has another size than the record says
    """
    count = 0
    for frame in clip.frames(recorder.add_audio):
        if frame.number >= len(entries):
            raise FormatError(
                f"the record has {len(entries)} frames, and {clip.path} has more: it is of another film"
            )
        hidden = hide(frame.pixels, entries[frame.number].fit(frame.pixels), mode, blocks)
        recorder.add(hidden, frame.time)
        seen(frame.number, hidden)
        count += 1
    if count != len(entries):
        raise FormatError(
            f"the record has {len(entries)} frames, and {clip.path} has {count}: it is of another film"
        )


def _tracks(found: Searched, memory: float) -> list[list[tuple[int, Region]]]:
    """Return the finds of each face, (frame, region), in order."""
    tracks: list[list[tuple[int, Region]]] = []
    for at, entry in enumerate(found.entries):
        live = [
            n
            for n, finds in enumerate(tracks)
            if found.times[at] - found.times[finds[-1][0]] <= memory or finds[-1][0] == at - 1
        ]
        pairs = sorted(
            (apart, n, k)
            for n in live
            for k, part in enumerate(entry.regions)
            if (apart := _apart(tracks[n][-1][1], part)) is not None
        )
        taken: set[int] = set()
        busy: set[int] = set()
        for _, n, k in pairs:
            if n not in busy and k not in taken:
                tracks[n].append((at, entry.regions[k]))
                busy.add(n)
                taken.add(k)
        tracks += [[(at, part)] for k, part in enumerate(entry.regions) if k not in taken]
    return tracks


def _apart(one: Region, other: Region) -> float | None:
    """Return how far two regions lie apart, in sizes; None where they are not of one face."""
    a, b = one.box, other.box
    size = (a.size + b.size) / 2
    away = hypot(a.center[0] - b.center[0], a.center[1] - b.center[1]) / size
    alike = 1 / ALIKE <= a.size / b.size <= ALIKE
    return away if away <= NEAR and alike else None


def _around(
    more: list[list[Region]],
    times: Sequence[float],
    finds: Sequence[tuple[int, Region]],
    number: int,
    seconds: float,
) -> None:
    """Hold a face before its first and after its last find, in place."""
    first, last = finds[0][0], finds[-1][0]
    ways = ((finds[0], range(first - 1, -1, -1)), (finds[-1], range(last + 1, len(times))))
    for (at, part), way in ways:
        for other in way:
            if abs(times[other] - times[at]) > seconds + 1e-6:
                break
            more[other].append(replace(part, track=number, held=True))


def shown(entries: Sequence[Entry], gaps: Iterable[Gap], most: int) -> list[int]:
    """Return the frames of a contact sheet: the middle of each gap, then as many as fit, evenly."""
    if len(entries) <= most:
        return list(range(len(entries)))
    times = [float(entry.source.rpartition("=")[2]) for entry in entries] if (gaps := list(gaps)) else []
    middles = [(gap.begin + gap.end) / 2 for gap in gaps][: most // 2]
    chosen = {min(range(len(times)), key=lambda n: abs(times[n] - middle)) for middle in middles}
    rest = max(0, min(most, len(entries)) - len(chosen))
    chosen |= {n * len(entries) // rest for n in range(rest)} if rest else set()
    return sorted(chosen)
