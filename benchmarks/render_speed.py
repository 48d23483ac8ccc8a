"""Time the rendering of faces on one core.

    python benchmarks/render_speed.py [--count 300] [--sizes 96,128,160,256] [--json FILE]

Every face has a seed of its own and is rendered once, by `meanshape.datasets.synthetic.face` with its
default options, in one thread on one core. CPU time (of this process) and wall time are given, because other
load on the machine adds mostly to the latter; the 10th percentile is nearest to an idle machine. A fixed
piece of work of the same kind (numpy and OpenCV on small arrays) is timed between the faces as a yardstick of
that load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from meanshape.datasets.synthetic import face


def yardstick() -> float:
    """CPU seconds of 20 rounds of gathering, sorting and warping 20,000 numbers."""
    rng = np.random.default_rng(0)
    values = rng.random(20_000, np.float32)
    places = rng.integers(0, len(values), len(values))
    x, y = (values[:19_600].reshape(140, 140) * 139 for _ in range(2))
    begun = time.process_time()
    for _ in range(20):
        gathered = np.maximum(values[places] * 2 - 1, 0)
        np.argsort(gathered[:4000])
        cv2.remap(gathered[:19_600].reshape(140, 140), x, y, cv2.INTER_LINEAR)
    return time.process_time() - begun


def measure(size: int, count: int) -> dict[str, float]:
    """Milliseconds a face and faces a second at `size` pixels."""
    for seed in range(5):
        face((9, seed), size)
    wall, cpu, stick = [], [], []
    for seed in range(count):
        if seed % 20 == 0:
            stick.append(yardstick())
        begun = time.perf_counter(), time.process_time()
        face(seed, size)
        wall.append(time.perf_counter() - begun[0])
        cpu.append(time.process_time() - begun[1])
    return {
        "cpu_ms_mean": 1e3 * float(np.mean(cpu)),
        "cpu_ms_median": 1e3 * float(np.median(cpu)),
        "cpu_ms_10th_percentile": 1e3 * float(np.quantile(cpu, 0.1)),
        "wall_ms_mean": 1e3 * float(np.mean(wall)),
        "faces_per_cpu_second": count / float(np.sum(cpu)),
        "faces_per_second_least_load": 1 / float(np.quantile(cpu, 0.1)),
        "yardstick_ms_median": 1e3 * float(np.median(stick)),
        "yardstick_ms_least": 1e3 * float(np.min(stick)),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--sizes", default="96,128,160,256")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found: dict[str, Any] = {
        "faces": asked.count,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "sizes": {size: measure(int(size), asked.count) for size in asked.sizes.split(",")},
    }
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
