"""How well faces are followed where everything is known: error, lost frames, numbers that change or are kept.

    python benchmarks/video_labelled.py [--models dan cpr] [--kinds cut flash …] [--json FILE]

The clips are those of `labelled_clips.py`: rendered heads that move, turn, are hidden, leave, and are cut
from one to another; flashes, fades, pans and changed backdrops, which are no cuts. Unsmoothed points. A
person counts in a frame who has half of the 68 points seen. In the table, by kind of clip:

error     mean distance of the points that are seen, percent of the outer eye corners, of the faces found
off       faces found whose error is above 10 %
lost      people without a face, percent
extra     faces where nobody is, per 100 frames
switches  times that somebody's number changed within a shot
kept      people who were given the number of somebody else
first     of the five frames after each cut: percent off or lost
looks     of the detector, per 100 frames
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from labelled_clips import KINDS, Person, Shown, clip

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.inference import Pipeline
from meanshape.inference.tracking import Tracker, assign

OFF = 10.0  # percent
FIRST = 5  # frames after a cut


@dataclass
class Tally:
    """What happened over some clips."""

    frames: int = 0
    people: int = 0
    lost: int = 0
    extra: int = 0
    switches: int = 0
    kept: int = 0
    looks: int = 0
    errors: list[float] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Return the figures as the table has them."""
        errors, people = np.array(self.errors), max(self.people, 1)
        return {
            "frames": self.frames,
            "error": round(float(errors.mean()), 2) if len(errors) else None,
            "off": int((errors > OFF).sum()),
            "lost": round(100 * self.lost / people, 2),
            "extra": round(100 * self.extra / self.frames, 2),
            "switches": self.switches,
            "kept": self.kept,
            "first": round(100 * float(np.mean(self.first)), 1) if self.first else None,
            "looks": round(100 * self.looks / self.frames, 1),
        }


def follow(frames: Iterable[Shown], tracker: Tracker, tally: Tally) -> None:
    """Follow one clip and add what happened."""
    numbers: dict[tuple[int, int], int] = {}  # of somebody in a shot
    owners: dict[int, int] = {}
    wrong: set[tuple[int, int]] = set()
    shots: dict[int, int] = defaultdict(int)  # frames of each so far
    for shown in frames:
        found = tracker(shown.pixels, shown.time)
        matched = match(shown.people, found)
        tally.frames += 1
        tally.extra += len(found.faces) - len(matched)
        visit = next(iter(shown.people.values())).visit
        shots[visit] += 1
        for person, known in shown.people.items():
            face = matched.get(person)
            if face is not None:
                assert face.track is not None
                before = numbers.setdefault((person, visit), face.track)
                tally.switches += before != face.track
                numbers[person, visit] = face.track
                if owners.setdefault(face.track, person) != person:
                    wrong.add((person, face.track))
            if known.seen.sum() < len(known.seen) / 2:
                continue
            tally.people += 1
            tally.lost += face is None
            error = np.inf if face is None else error_of(face, known)
            if face is not None:
                tally.errors.append(error)
            if visit and shots[visit] <= FIRST:
                tally.first.append(error > OFF)
    tally.kept += len(wrong)
    tally.looks += tracker.looks


def match(people: dict[int, Person], found: Prediction) -> dict[int, Face]:
    """Return the face of each person that was found, as the boxes of the points overlap most."""
    names, faces = list(people), [face for face in found.faces if face.shape is not None]
    known = [Box.around(people[name].points) for name in names]
    pairs = assign(known, [face.shape.box() for face in faces if face.shape is not None])
    return {names[n]: faces[m] for n, m in pairs.items()}


def error_of(face: Face, person: Person) -> float:
    """Return the mean distance of the points that are seen, percent of the outer eye corners."""
    assert face.shape is not None
    apart = np.linalg.norm(face.shape.points - person.points, axis=1)[person.seen].mean()
    return float(100 * apart / np.linalg.norm(person.points[36] - person.points[45]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["dan", "cpr"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--clips", type=int, help="at most so many of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first seed: other people and places")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pipelines = {name: Pipeline(model=name, markup="ibug68") for name in given.models}
    rows = []
    for kind in given.kinds:
        tallies = {name: Tally() for name in pipelines}
        for number in range(min(KINDS[kind][1], given.clips or KINDS[kind][1])):
            frames = list(clip(kind, given.first + number))
            for name, pipeline in pipelines.items():
                follow(frames, Tracker(pipeline, smoothing="none"), tallies[name])
        for name, tally in tallies.items():
            rows.append({"kind": kind, "model": name} | tally.row())
            print(rows[-1], flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
