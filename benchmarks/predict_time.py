"""The time of one `predict` on a decoded picture, one thread, models in turns, call by call.

    python benchmarks/predict_time.py dan emotional_dan --data ibug300w:ROOT:validation \
           --json benchmarks/results/predict_time.json

In turns, because a shared machine is at one speed now and at another a minute later: the ratios to the first
model stay where the milliseconds do not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import meanshape as ms
from meanshape.datasets import load_data
from meanshape.evaluation.benchmark import machine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--faces", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=12, help="the first warms up and does not count")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    faces = [(s.pixels(), s.box or s.shape.box()) for s in load_data(given.data)[: given.faces] if s.shape]
    models = {name: ms.load(name) for name in given.models}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for lap in range(given.rounds):
        for pixels, box in faces:
            for name, model in models.items():
                start = time.perf_counter()
                model.predict(pixels, box)
                if lap:
                    taken[name].append(1000 * (time.perf_counter() - start))
    first = statistics.median(taken[given.models[0]])
    figures = {}
    for name, times in taken.items():
        middle = statistics.median(times)
        figures[name] = {
            "median_ms": round(middle, 3), "least_ms": round(min(times), 3), "ratio": round(middle / first, 3)
        }  # fmt: skip
        print(
            f"{name:15} median {middle:.2f} ms, least {min(times):.2f}, {middle / first:.2f} times the first"
        )
    if given.json:
        kept = {"faces": len(faces), "rounds": given.rounds - 1, "machine": machine(), "models": figures}
        given.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
