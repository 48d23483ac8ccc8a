"""Memory and open handles over a stream of an hour, or over a hundred thousand photos: are they flat?

    python benchmarks/long_stream.py --json benchmarks/results/long_stream.json
    python benchmarks/long_stream.py --what detect --frames 100000 --seconds 720 --json FILE

`track`: a rendered clip of one moving face in 640x480, forth and back, goes through `Tracker` as the frames
of a camera would; 90,000 are an hour at 25 a second. Now and then nobody is there for ten frames, so that
faces are lost and found again. `detect`: rendered pictures of 160x120, each a `Pipeline` call of its own.
Measured: resident memory, open handles and threads, fifty times on the way; their growth is that of a
straight line through the last nine tenths.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic import face
from meanshape.datasets.synthetic.clips import clip
from meanshape.inference import Pipeline
from meanshape.inference.tracking import Tracker

POINTS = 50
GAP = 2000  # frames between two absences


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=["track", "detect"], default="track")
    parser.add_argument("--model", default="cpr")
    parser.add_argument("--frames", type=int, default=90_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so many")
    parser.add_argument("--distinct", type=int, default=200, help="pictures that are rendered")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    work = tracking(given) if given.what == "track" else detecting(given)
    rows, faces, done = [], 0, 0
    start, each = time.monotonic(), given.frames // POINTS
    for done in range(1, given.frames + 1):
        faces += next(work)
        if done % each == 0:
            rows.append(state(done, start))
            print(rows[-1], flush=True)
            if time.monotonic() - start > given.seconds:
                break
    found = {
        "what": given.what, "model": given.model, "frames": done, "faces": faces,
        "frames_per_second": round(done / (time.monotonic() - start), 1),
        "growth_per_10000": {key: growth(rows, key) for key in ("memory_mb", "handles", "threads")},
        "curve": {key: [row[key] for row in rows] for key in ("frame", "memory_mb", "handles", "threads")},
    }  # fmt: skip
    print(json.dumps(found))
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")


def tracking(given: argparse.Namespace) -> Iterator[int]:
    """Follow the face; yields how many there are in each frame."""
    frames = [frame.pixels for frame in clip("moving", given.distinct)]
    empty = np.full_like(frames[0], 110)
    there_and_back = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    tracker: Callable[..., Any] = Tracker(Pipeline(model=given.model))
    for number in count():
        away = number % GAP >= GAP - 10
        pixels = empty if away else frames[there_and_back[number % len(there_and_back)]]
        yield len(tracker(pixels, number / 25).faces)


def detecting(given: argparse.Namespace) -> Iterator[int]:
    """Find the faces in one picture after the other; yields how many."""
    pictures = [picture(seed) for seed in range(given.distinct)]
    pipeline = Pipeline(model=given.model)
    for number in count():
        yield len(pipeline(pictures[number % len(pictures)]).faces)


def picture(seed: int) -> NDArray[np.uint8]:
    """Return a picture of 160x120 with one rendered face."""
    tile, canvas = face(seed, 100, occlusion=0).pixels(), np.full((120, 160, 3), 90, np.uint8)
    x, y = seed % 60, seed % 20
    canvas[y : y + 100, x : x + 100] = tile
    return canvas


def state(frame: int, start: float) -> dict[str, float]:
    """Return what the process holds."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "frame": frame,
        "seconds": round(time.monotonic() - start, 1),
        "memory_mb": round(int(status["VmRSS"].split()[0]) / 1024, 2),
        "handles": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
    }


def growth(rows: list[dict[str, float]], key: str) -> float:
    """Return how much a value grows in ten thousand frames, after the first tenth."""
    later = rows[len(rows) // 10 :]
    slope = np.polyfit([row["frame"] for row in later], [row[key] for row in later], 1)[0]
    return round(1e4 * float(slope), 4)


if __name__ == "__main__":
    main()
