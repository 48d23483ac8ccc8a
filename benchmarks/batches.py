"""What a second worker brings, and whether memory stays flat over many photos.

    python benchmarks/batches.py --photos 300 [--stream 100000] [--json FILE]

Photos are rendered scenes of 640x480 with one face. `--stream N` follows the memory of one process over N
rendered pictures that are read from a folder of a few hundred by links (nothing is kept between them).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from meanshape.core.image import write_image
from meanshape.datasets.synthetic import scene
from meanshape.inference import Pipeline, batch, workers


def memory() -> float:
    """Resident megabytes of this process."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1e3  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--stream", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for seed in range(min(given.photos, 60)):
            path = Path(folder) / f"{seed}.jpg"
            write_image(path, scene(seed, (640, 480), 1)[0])
            sources.append(str(path))
        many = [sources[n % len(sources)] for n in range(given.photos)]
        for count in (1, 2, 1, 2):
            list(workers.predict({}, many[: 4 * count], count))  # start-up apart
            start = time.perf_counter()
            photos = iter(workers.predict({}, many, count))
            next(photos)
            begun = time.perf_counter()
            rest = sum(1 for _ in photos)
            found.setdefault(f"photos_per_second_{count}", []).append(
                round(rest / (time.perf_counter() - begun), 2)
            )
            found.setdefault(f"start_seconds_{count}", []).append(round(begun - start, 2))
        best = {count: max(found[f"photos_per_second_{count}"]) for count in (1, 2)}
        found["gain_of_two"] = round(best[2] / best[1], 3)
        if given.stream:
            pipeline, rows = Pipeline(), []
            stream = (sources[n % len(sources)] for n in range(given.stream))
            for number, _ in enumerate(batch.predict(pipeline, stream)):
                if number % (given.stream // 20) == 0:
                    rows.append([number, round(memory(), 1)])
            found["memory_mb"] = rows
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
