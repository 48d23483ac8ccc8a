"""`cpr` against dlib's trees (`train_shape_predictor`), taught by the same faces in the same boxes.

    python benchmarks/classical_vs_dlib.py --data ibug300w:ROOT --peer VENV --json
    benchmarks/results/classical_vs_dlib.json

Both learn from the HELEN-train faces of 300-W's training part and are measured on its validation faces that
are not HELEN's (LFPW-train and AFW), from true boxes. dlib-bin lives in a virtual environment of its own:
VENV is made if it is not there. dlib gets its default settings (10 x 500 trees of depth 4, 20 starts a face);
its rectangles are whole pixels. Errors are in percent of the distance of the outer eye corners. Speed: one
thread each, by turns of all test faces, the one waiting while the other works, so that other load meets both
alike; the median of all calls, and that of the quickest turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from meanshape.core import config
from meanshape.core.image import write_image
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.methods.cpr import CPR

TURNS = 9
"""The first of them warms up."""

PEER = r"""
import json, os, sys, time
import dlib

folder, threads = sys.argv[1], int(sys.argv[2])
job = json.load(open(os.path.join(folder, "job.json")))
load = lambda face: dlib.load_rgb_image(os.path.join(folder, face["file"]))

def detection(face):
    parts = [dlib.point(round(x), round(y)) for x, y in face["points"]]
    return dlib.full_object_detection(dlib.rectangle(*face["box"]), parts)

options = dlib.shape_predictor_training_options()
options.num_threads = threads
options.be_verbose = False
images = [load(face) for face in job["train"]]
started, used = time.perf_counter(), time.process_time()
model = dlib.train_shape_predictor(images, [[detection(face)] for face in job["train"]], options)
wall, cpu = time.perf_counter() - started, time.process_time() - used
path = os.path.join(folder, "model.dat")
model.save(path)
model = dlib.shape_predictor(path)
tests = [(load(face), dlib.rectangle(*face["box"])) for face in job["test"]]
found = [[[p.x, p.y] for p in model(image, box).parts()] for image, box in tests]
answer = {"points": found, "bytes": os.path.getsize(path),
          "training_seconds": wall, "training_cpu_seconds": cpu, "version": dlib.__version__}
json.dump(answer, open(os.path.join(folder, "answer.json"), "w"))
print("READY", flush=True)
for line in sys.stdin:
    times = []
    for image, box in tests:
        started = time.perf_counter()
        model(image, box)
        times.append(time.perf_counter() - started)
    print(json.dumps(times), flush=True)
"""


def main() -> None:
    """Run both, print one table, store it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="ibug300w:ROOT")
    parser.add_argument("--peer", type=Path, required=True, help="the virtual environment with dlib-bin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of cpr's Config")
    parser.add_argument("--threads", type=int, default=1, help="that training may use")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    train = [s for s in load_data(f"{given.data}:trainval") if "helen" in s.id.lower()]
    test = [s for s in load_data(f"{given.data}:validation") if "helen" not in s.id.lower()]
    print(f"{len(train)} HELEN faces to learn from, {len(test)} others to measure", flush=True)
    ours, turn = run_cpr(train, test, dict(pair.split("=", 1) for pair in given.set))
    print("cpr is done", flush=True)
    theirs = run_dlib(train, test, python_of(given.peer), given.threads, turn, ours)
    rows = {"cpr": summed(ours, test), "dlib": summed(theirs, test)}
    print(
        f"\n{'':6}{'NME %':>8}{'median':>8}{'ms/face':>9}{'least':>7}{'MB':>7}{'training s':>12}{'of CPU':>8}"
    )
    for name, row in rows.items():
        print(
            f"{name:6}{row['nme']:8.2f}{row['nme_median']:8.2f}{row['ms_per_face']:9.2f}{row['ms_quickest_turn']:7.2f}"
            f"{row['bytes'] / 1e6:7.1f}{row['training_seconds']:12.0f}{row['training_cpu_seconds']:8.0f}"
        )
    if given.json:
        result = {"train": len(train), "test": len(test), "threads": given.threads, "results": rows}
        given.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def run_cpr(
    train: Sequence[Sample], test: Sequence[Sample], settings: dict[str, str]
) -> tuple[dict[str, Any], Callable[[], list[float]]]:
    """Train and measure cpr, read back from its file; also return what times one turn of all faces."""
    started, used = perf_counter(), process_time()
    fitted = CPR(config.override(CPR.Config(), settings)).fit(train)
    wall, cpu = perf_counter() - started, process_time() - used
    with tempfile.TemporaryDirectory() as folder:
        where = fitted.save(Path(folder) / "cpr")
        model, size = CPR.load(where), sum(path.stat().st_size for path in where.glob("*.npz"))
    faces = [(sample.pixels(), sample.box) for sample in test]

    def turn() -> list[float]:
        times = []
        for pixels, box in faces:
            started = perf_counter()
            model.predict(pixels, box)
            times.append(perf_counter() - started)
        return times

    points = [model.predict(pixels, box).points.tolist() for pixels, box in faces]
    known = {"points": points, "bytes": size, "training_seconds": wall, "training_cpu_seconds": cpu}
    return known, turn


def run_dlib(
    train: Sequence[Sample],
    test: Sequence[Sample],
    python: Path,
    threads: int,
    turn: Callable[[], list[float]],
    ours: dict[str, Any],
) -> dict[str, Any]:
    """Train and measure dlib in an interpreter of its own; then both take turns, `ours` gets its times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job_of(train, test, folder)), "utf-8")
        command = [python, "-c", PEER, str(folder), str(threads)]
        times: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            assert peer.stdin and peer.stdout
            if peer.stdout.readline() != "READY\n":
                raise SystemExit("dlib ended early")
            for _ in range(TURNS):
                times["ours"].append(turn())
                print("turn", file=peer.stdin, flush=True)
                times["theirs"].append(json.loads(peer.stdout.readline()))
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text("utf-8"))
    for known, turns in ((ours, times["ours"][1:]), (answer, times["theirs"][1:])):
        known["ms_per_face"] = 1e3 * statistics.median(time for turn in turns for time in turn)
        known["ms_quickest_turn"] = 1e3 * min(map(statistics.median, turns))
    return answer


def job_of(train: Sequence[Sample], test: Sequence[Sample], folder: Path) -> dict[str, Any]:
    """Write the pictures for dlib, and return its job."""
    job: dict[str, Any] = {part: [] for part in ("train", "test")}
    for part, samples in (("train", train), ("test", test)):
        for number, sample in enumerate(samples):
            assert sample.shape is not None and sample.box is not None
            file = f"{part}{number}.png"
            write_image(folder / file, sample.pixels())
            left, top, right, bottom = (round(edge) for edge in sample.box.as_list())
            face = {"file": file, "points": sample.shape.points.tolist()}
            job[part].append({**face, "box": [left, top, right, bottom]})
    return job


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment with dlib-bin, which is made if need be."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "dlib-bin", "numpy"], check=True)
    return python


def summed(answer: dict[str, Any], test: Sequence[Sample]) -> dict[str, Any]:
    """Return what was measured, with the errors in place of the points."""
    errors = []
    for points, sample in zip(answer.pop("points"), test, strict=True):
        assert sample.shape is not None
        truth = sample.shape.points
        length = float(np.hypot(*(truth[36] - truth[45])))
        errors.append(100 * float(np.linalg.norm(np.asarray(points) - truth, axis=1).mean()) / length)
    rounded = {key: round(v, 3) if isinstance(v, float) else v for key, v in answer.items()}
    return {
        "nme": round(float(np.mean(errors)), 3),
        "nme_median": round(float(np.median(errors)), 3),
        **rounded,
    }


if __name__ == "__main__":
    main()
