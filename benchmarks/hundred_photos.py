"""A hundred photos, a model: `cpr`, `asm`, `aam` and `dan` against dlib's trees, taught by the same hundred.

    python benchmarks/hundred_photos.py --data ibug300w:ROOT --init RUN --peer VENV
    --json benchmarks/results/hundred_photos.json

A hundred faces are drawn from 300-W's training part and written into a folder as `meanshape annotate` leaves
it: photos, labels.jsonl, and for the second half of the table mine.toml, a mark-up of twelve points. Then run
the commands that a person would run, `meanshape train … --data folder:FOLDER`, and dlib's trainer with its
default settings in a virtual environment of its own (VENV, made if it is not there; its rectangles are whole
pixels). Measured on the 300 validation faces, in true boxes, in percent of the distance of the outer eye
corners.

RUN is what `dan` starts from: weights that have seen none of these people, else the figure means nothing. The
shipped `dan` has seen them all; `dan_synthetic` has seen rendered faces alone, and the commands on its card
make it anew with the torch weights that the package leaves out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from classical_vs_dlib import python_of, run_dlib

import meanshape as ms
from meanshape.core.face import Face
from meanshape.core.image import write_image
from meanshape.core.markup import load_markup
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.formats import jsonl

TWELVE = {
    "right_eye_outer": 36, "right_eye_inner": 39, "left_eye_inner": 42, "left_eye_outer": 45,
    "right_nostril": 31, "nose_tip": 30, "left_nostril": 35,
    "right_mouth_corner": 48, "upper_lip": 51, "left_mouth_corner": 54, "lower_lip": 57, "chin": 8,
}  # fmt: skip
MINE = f"""points = {json.dumps(list(TWELVE))}
inter_ocular = [0, 3]
right_eye = [0, 1]
left_eye = [2, 3]
paths = [[0, 1], [2, 3], [4, 5, 6], [7, 8, 9, 10, 7]]
"""
FEW = ["--preset", "few"]


def main() -> None:
    """Train and measure all, print one table, store it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="ibug300w:ROOT")
    parser.add_argument("--init", type=Path, help="the run that dan starts from; none: no dan")
    parser.add_argument("--peer", type=Path, help="the virtual environment with dlib-bin; none: no dlib")
    parser.add_argument("--methods", nargs="+", default=["cpr", "asm", "aam", "dan"])
    parser.add_argument("--points", nargs="+", type=int, default=[68, 12], choices=[68, 12])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of dan's Config")
    parser.add_argument("--seed", type=int, default=0, help="other photos")
    parser.add_argument("--threads", type=int, default=1, help="that training may use")
    parser.add_argument("--keep", type=Path, help="where folders and runs stay; default: nowhere")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    everybody = load_data(f"{given.data}:train")
    chosen = np.random.default_rng(given.seed).choice(len(everybody), 100, replace=False)
    train, test = [everybody[n] for n in sorted(chosen)], load_data(f"{given.data}:validation")
    found: dict[str, Any] = {"train": len(train), "test": len(test), "threads": given.threads, "results": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for count in given.points:
            root = (given.keep or Path(scratch)) / f"{count}"
            found["results"][str(count)] = compared(root, count, train, test, given)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def compared(
    root: Path, count: int, train: Sequence[Sample], test: Sequence[Sample], given: argparse.Namespace
) -> dict[str, Any]:
    """Return what each method makes of the same photos with so many points."""
    rows: dict[str, Any] = {}
    lengths = [outer_corners(sample) for sample in test]
    folder = root / "photos"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(MINE, "utf-8")
    if count == 12:
        kind = load_markup(folder / "mine.toml")
        train, test = ([reduced(sample, kind) for sample in part] for part in (train, test))
    else:
        (folder / "mine.toml").unlink()
    write(folder, train)
    for method in given.methods:
        if method == "dan" and given.init is None:
            continue
        more = [*FEW, "--init", str(given.init)] if method == "dan" else FEW if method == "cpr" else []
        for pair in given.set if method == "dan" else []:
            more = [*more, "--set", pair]
        rows[method] = {**run(method, folder, root / method, given.threads, more)}
        model = ms.load(str(root / method))
        points = [model.predict(sample.pixels(), sample.box).points for sample in test]
        rows[method] |= summed(points, test, lengths)
        print(count, method, rows[method], flush=True)
    if given.peer is not None:
        answer = run_dlib(train, test, python_of(given.peer), given.threads, lambda: [0.0], {})
        points = [np.asarray(shape) for shape in answer["points"]]
        rows["dlib"] = {
            "training_seconds": round(answer["training_seconds"], 1),
            "training_cpu_seconds": round(answer["training_cpu_seconds"], 1),
            **summed(points, test, lengths),
            "version": answer["version"],
        }
        print(count, "dlib", rows["dlib"], flush=True)
    return rows


def write(folder: Path, samples: Sequence[Sample]) -> None:
    """Write photos and labels as `meanshape annotate` leaves them: boxes are canonical."""
    lines = []
    for number, sample in enumerate(samples):
        assert sample.box is not None
        name, pixels = f"{number:03}.png", sample.pixels()
        write_image(folder / name, pixels)
        face, size = Face(sample.box, sample.shape), (pixels.shape[1], pixels.shape[0])
        lines.append(Prediction((face,), size, name, "corrected by hand"))
    jsonl.write(folder / "labels.jsonl", lines)


def run(method: str, folder: Path, out: Path, threads: int, more: Sequence[str]) -> dict[str, Any]:
    """Run the command and return what time it took."""
    command = [
        *("meanshape", "train", method, "--data", f"folder:{folder}", "--out", str(out)),
        *("--threads", str(threads), *more),
    ]
    started, used = perf_counter(), cpu()
    subprocess.run([sys.executable, "-m", *command], check=True, stderr=subprocess.DEVNULL)
    return {
        "training_seconds": round(perf_counter() - started, 1),
        "training_cpu_seconds": round(cpu() - used, 1),
    }


def cpu() -> float:
    """Return the processor's seconds that processes started from here have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def outer_corners(sample: Sample) -> float:
    """Return the distance of the outer eye corners in pixels."""
    assert sample.shape is not None
    return float(np.hypot(*(sample.shape.points[36] - sample.shape.points[45])))


def reduced(sample: Sample, kind: ms.MarkUp) -> Sample:
    """Return a sample with the twelve points alone, in the box of the face."""
    assert sample.shape is not None
    return replace(sample, shape=Shape(sample.shape.points[list(TWELVE.values())], kind))


def summed(points: Sequence[Any], test: Sequence[Sample], lengths: Sequence[float]) -> dict[str, float]:
    """Return the errors."""
    errors = []
    for found, sample, length in zip(points, test, lengths, strict=True):
        assert sample.shape is not None
        errors.append(100 * float(np.linalg.norm(found - sample.shape.points, axis=1).mean()) / length)
    return {"nme": round(float(np.mean(errors)), 3), "nme_median": round(float(np.median(errors)), 3)}


if __name__ == "__main__":
    main()
