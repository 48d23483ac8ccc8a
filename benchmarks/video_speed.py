"""Frames per second of tracking, decoding apart, against mediapipe's FaceMesh in video mode in the same run.

    python benchmarks/video_speed.py [--models dan cpr] [--mediapipe PYTHON] [--frames 100] [--json FILE]

The clip is rendered: one moving face of 130 pixels in 640x480. `--mediapipe` is the interpreter of an
environment with mediapipe 0.10.21, one thread; its weights never ship with Meanshape. All take turns over the
same frames, so that other load on the machine meets them alike. FaceMesh follows one face and looks for no
other (max_num_faces=1), and so do we (max_faces=1); `all_faces` is with a look for newcomers every 15 frames.
Pose included. Also measured: jitter and lag.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.datasets.synthetic.clips import clip
from meanshape.evaluation import jitter
from meanshape.inference import Pipeline
from meanshape.inference.tracking import Tracker

TURN = 10  # frames per turn
PEER = """
import json, os, sys, time
if hasattr(os, "sched_setaffinity"): os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, mediapipe
frames = np.load(sys.argv[1])
mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1)
at = 0
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start, used = time.perf_counter(), time.process_time()
        mesh.process(frames[at % len(frames)]); at += 1
        times.append((time.perf_counter() - start, time.process_time() - used))
    print("TIMES", json.dumps(times), flush=True)
"""


class Peer:
    """FaceMesh in an interpreter of its own."""

    def __init__(self, python: str, frames: Path) -> None:
        self.times: list[tuple[float, float]] = []
        self.process = subprocess.Popen(
            [python, "-c", PEER, str(frames)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def turn(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{TURN}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("TIMES "):
                self.times += json.loads(line[6:])
                return
        raise SystemExit("mediapipe ended early")


class Ours:
    """One of our models, tracking."""

    def __init__(self, model: str, frames: np.ndarray, **options: Any) -> None:
        self.tracker, self.frames, self.at = Tracker(Pipeline(model=model, **options)), frames, 0
        self.times: list[tuple[float, float]] = []

    def turn(self) -> None:
        for _ in range(TURN):
            start, used = time.perf_counter(), time.process_time()
            self.tracker(self.frames[self.at % len(self.frames)], self.at / 25)
            self.times.append((time.perf_counter() - start, time.process_time() - used))
            self.at += 1


def summed(times: np.ndarray) -> dict[str, float]:
    """Return what wall and processor's seconds (N, 2) of frames amount to; the second bears other load."""
    wall, cpu = 1e3 * times.T
    return {
        "ms_median": round(float(np.median(wall)), 2),
        "ms_mean": round(float(wall.mean()), 2),
        "frames_per_second": round(1e3 / float(wall.mean()), 1),
        "cpu_ms_median": round(float(np.median(cpu)), 2),
        "cpu_ms_mean": round(float(cpu.mean()), 2),
        "frames_per_cpu_second": round(1e3 / float(cpu.mean()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["dan", "cpr"])
    parser.add_argument("--first-stage", nargs="*", default=["dan"], help="models, also with one stage")
    parser.add_argument("--mediapipe")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pictures = np.stack([frame.pixels for frame in clip("moving", given.frames + 2 * TURN)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, pictures)
        sides: dict[str, Any] = {}
        for model in given.models:
            sides[model] = Ours(model, pictures, max_faces=1)
            sides[f"{model}, all_faces"] = Ours(model, pictures)
        for name in given.first_stage:
            sides[f"{name}, stages=1"] = Ours(name, pictures, max_faces=1, stages=1)
        if given.mediapipe:
            sides["mediapipe"] = Peer(given.mediapipe, path)
        for _ in range(2 + given.frames // TURN):
            for side in sides.values():
                side.turn()
    found: dict[str, Any] = {name: summed(np.array(side.times[2 * TURN :])) for name, side in sides.items()}
    for model in given.models:
        still = jitter.follow(jitter.rendered("still"), Pipeline(model=model))
        moving = jitter.follow(jitter.rendered("moving"), Pipeline(model=model))
        for smoothing in ("none", "one_euro", "kalman"):
            quiet, late = jitter.measure(still, smoothing), jitter.measure(moving, smoothing)
            found[model][smoothing] = {
                "jitter_still": round(quiet.jitter, 3), "lag_frames": round(late.lag, 2),
                "error_moving": round(late.error or 0, 2),
            }  # fmt: skip
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
