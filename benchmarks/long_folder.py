"""Memory and open handles of `meanshape detect FOLDER -o FILE` over 100,000 pictures: are they flat?

    python benchmarks/long_folder.py --pictures 100000 --workers 1 2 --json FILE
    python benchmarks/long_folder.py --plot FILE... --svg docs/images/memory.svg

The folder holds 100,000 names of a few hundred rendered pictures of 160x120 (hard links). The command runs in
a process of its own, workers in theirs; what they hold is read from /proc twice a second. `--plot` draws such
files, and those of `long_stream.py`. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from long_stream import growth, picture

from meanshape.core.image import write_image

POINTS = 60
HELD = ("memory_mb", "handles", "threads")


def folder_of(root: Path, count: int, distinct: int) -> Path:
    """Write the pictures, and names for as many as are wanted."""
    folder, drawn = root / "photos", root / "drawn"
    folder.mkdir()
    drawn.mkdir()
    for seed in range(distinct):
        write_image(drawn / f"{seed}.jpg", picture(seed))
    for number in range(count):
        os.link(drawn / f"{number % distinct}.jpg", folder / f"{number:07d}.jpg")
    return folder


def family(first: int) -> Iterator[int]:
    """Yield a process and all that come from it."""
    yield first
    for task in Path(f"/proc/{first}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from family(int(child))


def state(first: int) -> dict[str, float]:
    """Return what the command and its workers hold together."""
    found = {"memory_mb": 0.0, "handles": 0.0, "threads": 0.0}
    for process in family(first):
        place = Path(f"/proc/{process}")
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        found["memory_mb"] += int(status["VmRSS"].split()[0]) / 1024
        found["handles"] += len(list((place / "fd").iterdir()))
        found["threads"] += int(status["Threads"])
    return found


def follow(folder: Path, model: str, workers: int) -> dict[str, Any]:
    """Run the command over a folder; return what it held on the way, and what came out."""
    count, out = len(list(folder.iterdir())), folder.parent / f"points{workers}.jsonl"
    words = ["detect", str(folder), "-o", str(out), "--model", model, "--workers", str(workers)]
    start = time.monotonic()
    running = subprocess.Popen([sys.executable, "-m", "meanshape", *words], stderr=subprocess.DEVNULL)
    rows: list[dict[str, float]] = []
    journal, read, lines = out.with_name(f"{out.name}.part"), 0, 0
    while running.poll() is None:
        time.sleep(0.5)
        try:
            with journal.open("rb") as file:
                file.seek(read)
                new = file.read()
            read, lines = read + len(new), lines + new.count(b"\n")
            rows.append({"frame": lines, "seconds": round(time.monotonic() - start, 1), **state(running.pid)})
        except (OSError, KeyError):  # not begun, or just over
            continue
    with out.open() as file:
        predictions = [json.loads(line) for line in file]
    assert running.returncode == 0
    assert len({prediction["source"] for prediction in predictions}) == count == len(predictions)
    some = [rows[n] for n in np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int)]
    return {
        "what": "folder", "model": model, "workers": workers, "frames": count,
        "faces": sum(len(prediction["faces"]) for prediction in predictions),
        "frames_per_second": round(count / (time.monotonic() - start), 1),
        "growth_per_10000": {key: growth(rows, key) for key in HELD},
        "curve": {key: [round(row[key], 2) for row in some] for key in ("frame", *HELD)},
    }  # fmt: skip


def draw(files: list[Path], svg: Path) -> None:
    """Draw memory over pictures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 3), layout="constrained")
    axes = figure.subplots()
    for path in files:
        stored = json.loads(path.read_text())
        for run in stored if isinstance(stored, list) else [stored]:
            workers = f", {run['workers']} workers" if run.get("workers", 1) > 1 else ""
            label = f"{run['what']}, {run['model']}{workers}"
            axes.plot(run["curve"]["frame"], run["curve"]["memory_mb"], label=label)
    axes.set(xlabel="pictures", ylabel="resident memory, MB", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(svg, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--distinct", type=int, default=200, help="pictures that are rendered")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--model", default="cpr")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, nargs="+")
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    if given.plot:
        draw(given.plot, given.svg)
        return
    with tempfile.TemporaryDirectory() as root:
        folder = folder_of(Path(root), given.pictures, given.distinct)
        found = [follow(folder, given.model, workers) for workers in given.workers]
    print(json.dumps(found))
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
