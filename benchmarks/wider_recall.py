"""Measure a face detector on faces unlike portraits: small, hidden, turned, infants; and on photos of nobody.

    python benchmarks/wider_recall.py DETECTOR [--set min_face=20] [--wider FOLDER [--split validation]]
        [--boxes canonical] [--negatives FOLDER …] [--facepoint mtfl:ROOT:validation] [--infants FOLDER]
        [--turned FOLDER] [--folds K --weights FOLDER …] [--json FILE]

- `--wider`: photos with `faces.txt` (file and number of faces, then left top width height blur occlusion
  invalid for each) and `validation.txt` (names without suffix). Boxes are matched by falling score, a pair
  needs an intersection over union of 0.4. Faces marked invalid and those below 10 px (root of the area) are
  neither hits nor misses. Recall and false boxes are those at the detector's own threshold; the average
  precision sees what it returns, so it ends there. Intervals: 95 %, by drawing photos.
  With `--folds K`, photo i counts with the i-mod-K-th of the `--weights`, which must not have seen it; all
  are pooled.
- `--negatives`: photos of nobody; every box is false.
- `--facepoint`: photos of which one face is labelled; canonical boxes.
- `--infants`: crops with `.pts` of 68 points, to measure with only; canonical boxes.
- `--turned`: photos with `.pts` of 68 points, one face each, turned by 0, 45 … 315 degrees on a grey canvas:
  how many are found (IoU 0.4 of canonical boxes), and the error of five points by the eye centres' distance.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import Pixels, read_image
from meanshape.core.registry import detector
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.detectors.base import FaceDetector
from meanshape.formats import pts

Floats = NDArray[np.float64]
SIZES = (10, 20, 30, 40, 60, 100, 1e9)
OVERLAP, SMALLEST = 0.4, 10
DRAWS = 1000
PICTURES = {".jpg", ".jpeg", ".png"}
GREY = (127, 127, 127)


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Return the intersection over union of boxes (N, 4) and others (M, 4)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9))


def read_wider(folder: Path) -> dict[str, Floats]:
    """Return the faces (N, 7) of each photo: left top width height blur occlusion invalid."""
    lines = [s for s in (folder / "faces.txt").read_text("utf-8").splitlines() if not s.startswith("#")]
    found, at = {}, 0
    while at < len(lines):
        name, count = lines[at].rsplit(" ", 1)
        rows = [[float(word) for word in line.split()] for line in lines[at + 1 : at + 1 + int(count)]]
        found[name] = np.array(rows, float).reshape(-1, 7)
        at += 1 + int(count)
    return found


def match(boxes: Floats, faces: Floats, ignored: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Match boxes, best first, to faces; returns which boxes count, and the face of each (-1: none)."""
    counts, owner = np.ones(len(boxes), bool), np.full(len(boxes), -1)
    overlap, beside = overlaps(boxes, faces), overlaps(boxes, ignored)
    for i in range(len(boxes)):
        best = int(overlap[i].argmax()) if len(faces) else -1
        if best >= 0 and overlap[i, best] >= OVERLAP:
            owner[i] = best
            overlap[:, best] = 0  # a face is found once
        elif len(ignored) and beside[i].max() >= OVERLAP:
            counts[i] = False
    return counts, owner


def average_precision(scores: Floats, hit: NDArray[np.bool_], faces: int) -> float:
    """Return the area under the precision envelope."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(hit[order])
    precision = np.maximum.accumulate((hits / np.arange(1, len(order) + 1))[::-1])[::-1]
    return float((np.diff(np.concatenate([[0], hits])) / max(faces, 1)) @ precision)


class Tally:
    """What was found in each photo, so that photos can be drawn again for intervals."""

    def __init__(self) -> None:
        self.photos: list[dict[str, Floats]] = []

    def add(self, boxes: Floats, scores: Floats, rows: Floats) -> None:
        """Add a photo's answer (best first) and its labels (N, 7)."""
        truth = np.concatenate([rows[:, :2] - 0.5, rows[:, :2] + rows[:, 2:4] - 0.5], 1)
        size = np.sqrt(rows[:, 2] * rows[:, 3])
        wanted = (rows[:, 6] == 0) & (size >= SMALLEST)
        counts, owner = match(boxes, truth[wanted], truth[~wanted])
        seen = np.zeros(int(wanted.sum()), bool)
        seen[owner[owner >= 0]] = True
        fit = overlaps(boxes, truth[wanted])[owner >= 0, owner[owner >= 0]]
        self.photos.append(
            {
                "size": size[wanted], "seen": seen, "scores": scores[counts], "hit": (owner >= 0)[counts],
                "fit": fit[size[wanted][owner[owner >= 0]] >= 40],
            }
        )  # fmt: skip

    def figures(self, photos: Iterable[int] | None = None) -> dict[str, float]:
        """Return recall by size, average precision, false boxes per photo and the mean overlap."""
        taken = [self.photos[i] for i in (range(len(self.photos)) if photos is None else photos)]
        all_ = {key: np.concatenate([photo[key] for photo in taken]) for key in taken[0]}
        found = {}
        for low, high in itertools.pairwise(SIZES):
            among = (all_["size"] >= low) & (all_["size"] < high)
            name = f"recall_{low}_{'' if high == SIZES[-1] else int(high)}"
            found[name] = float(all_["seen"][among].mean()) if among.any() else float("nan")
        hit = all_["hit"].astype(bool)
        found["average_precision"] = average_precision(all_["scores"], hit, len(all_["size"]))
        found["false_per_photo"] = float((~hit).sum() / len(taken))
        found["overlap_of_found_from_40"] = float(all_["fit"].mean()) if len(all_["fit"]) else float("nan")
        return found

    def with_intervals(self) -> dict[str, Any]:
        """Return the figures as (value, low, high), and the numbers of faces."""
        rng = np.random.default_rng(0)
        count = len(self.photos)
        drawn = [self.figures(rng.integers(0, count, count)) for _ in range(DRAWS)]
        sizes = np.concatenate([photo["size"] for photo in self.photos])
        table: dict[str, Any] = {"photos": count, "faces": np.histogram(sizes, SIZES)[0].tolist()}
        for key, value in self.figures().items():
            low, high = np.nanpercentile([one[key] for one in drawn], (2.5, 97.5))
            table[key] = [round(float(v), 4) for v in (value, low, high)]
        return table


def wider(finders: list[FaceDetector], folder: Path, split: str | None, canonical: bool) -> dict[str, Any]:
    """Measure on WIDER's photos, photo i with finder i modulo their number."""
    held = set((folder / "validation.txt").read_text("utf-8").split())
    tally = Tally()
    for i, (name, rows) in enumerate(sorted(read_wider(folder).items())):
        if split and (Path(name).stem in held) != (split == "validation"):
            continue
        finder = finders[i % len(finders)]
        faces = finder.detect(read_image(folder / name))
        boxes = [finder.canonical(face.box) if canonical else face.box for face in faces]
        scores = np.array([face.score or 0.0 for face in faces])
        tally.add(np.array([box.as_list() for box in boxes]).reshape(-1, 4), scores, rows)
    return tally.with_intervals()


def negatives(finder: FaceDetector, folders: list[Path]) -> dict[str, Any]:
    """Count the boxes in photos of nobody."""
    paths = [p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix.lower() in PICTURES]
    counts = {str(path): len(finder.detect(read_image(path))) for path in paths}
    wrong = [Path(path).name for path, count in counts.items() if count]
    return {
        "photos": len(paths),
        "photos_with_a_box": len(wrong),
        "boxes": sum(counts.values()),
        "which": wrong,
    }


def labelled(folder: Path) -> list[tuple[Path, Shape]]:
    """Return the photos of a folder that have 68 points beside them."""
    found = []
    for path in sorted(folder.rglob("*.pts")):
        shape = pts.read(path, "ibug68")[0].faces[0].shape
        assert shape is not None
        found.append((path.with_suffix(".jpg"), shape))
    return found


def best(finder: FaceDetector, faces: Iterable[Face], box: Box) -> tuple[float, Face | None]:
    """Return the face whose canonical box overlaps a box most, and how much."""
    pairs = [(finder.canonical(face.box).iou(box), face) for face in faces]
    return max(pairs, key=lambda pair: pair[0], default=(0.0, None))


def one_face(finder: FaceDetector, photos: Iterable[tuple[Pixels, Box]]) -> dict[str, Any]:
    """Measure how many labelled faces, one in each photo, are found."""
    overlap = np.array([best(finder, finder.detect(pixels), box)[0] for pixels, box in photos])
    found = overlap >= OVERLAP
    return {
        "faces": len(overlap), "missed_percent": round(100 * float((~found).mean()), 2),
        "overlap_of_found": round(float(overlap[found].mean()), 4) if found.any() else None,
    }  # fmt: skip


def turned(finder: FaceDetector, folder: Path, count: int = 30) -> dict[str, Any]:
    """Turn upright photos in the plane: which share is found, and how far the five points are off."""
    upright = []
    for path, shape in labelled(folder):
        eyes = np.subtract(*shape.to("mtfl5").points[[1, 0]])
        if abs(np.degrees(np.arctan2(eyes[1], eyes[0]))) < 8:
            upright.append((path, shape))
    table: dict[str, Any] = {"photos": len(upright[:: max(len(upright) // count, 1)][:count])}
    for degrees in range(0, 360, 45):
        errors = []
        for path, shape in upright[:: max(len(upright) // count, 1)][:count]:
            pixels, move = turn(read_image(path), degrees)
            points = shape.points @ move[:, :2].T + move[:, 2]
            overlap, face = best(finder, finder.detect(pixels), Box.around(points))
            true = shape.with_points(points).to("mtfl5").points
            if face is not None and overlap >= OVERLAP and face.shape is not None:
                off = np.linalg.norm(face.shape.points - true, axis=1).mean()
                errors.append(off / np.linalg.norm(true[1] - true[0]))
        median = round(100 * float(np.median(errors)), 2) if errors else None
        table[str(degrees)] = {"found": len(errors), "median_error_percent": median}
    return table


def turn(image: Pixels, degrees: float) -> tuple[Pixels, Floats]:
    """Return a picture turned clockwise, on a canvas that holds it, and the map there (2, 3)."""
    high, wide = image.shape[:2]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    corners = np.array([[0, 0], [wide - 1, 0], [0, high - 1], [wide - 1, high - 1]]) @ matrix[:, :2].T
    size = np.ceil(np.ptp(corners, axis=0) + 1).astype(int)
    matrix[:, 2] = -corners.min(0)
    out = cv2.warpAffine(image, matrix, (int(size[0]), int(size[1])), borderValue=GREY)
    return np.asarray(out, np.uint8), matrix


def options_of(pairs: list[str]) -> dict[str, Any]:
    """Return the options of a detector from KEY=VALUE, values as JSON where they are."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector")
    parser.add_argument("--set", action="append", default=[], help="an option of the detector, KEY=VALUE")
    parser.add_argument("--wider", type=Path)
    parser.add_argument("--split", choices=("train", "validation"))
    parser.add_argument("--boxes", choices=("own", "canonical"), default="own")
    parser.add_argument("--negatives", type=Path, action="append", default=[])
    parser.add_argument("--facepoint")
    parser.add_argument("--infants", type=Path)
    parser.add_argument("--turned", type=Path)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--weights", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    if asked.folds > 1 and len(asked.weights) != asked.folds:
        parser.error(f"{asked.folds} folds want as many --weights, got {len(asked.weights)}")
    options = options_of(asked.set)
    folders: list[dict[str, Any]] = [{"weights": path} for path in asked.weights] or [{}]
    finders = [detector(asked.detector)(**options, **folder) for folder in folders]
    finder = finders[0]
    table: dict[str, Any] = {"detector": asked.detector, "options": options}
    parts: dict[str, tuple[Any, Callable[[], dict[str, Any]]]] = {
        "wider": (
            asked.wider,
            lambda: wider(finders, asked.wider, asked.split, asked.boxes == "canonical"),
        ),
        "negatives": (asked.negatives, lambda: negatives(finder, asked.negatives)),
        "facepoint": (
            asked.facepoint,
            lambda: one_face(finder, ((s.pixels(), s.box) for s in load_data(asked.facepoint) if s.box)),
        ),
        "infants": (
            asked.infants,
            lambda: one_face(finder, ((read_image(p), s.box()) for p, s in labelled(asked.infants))),
        ),
        "turned": (asked.turned, lambda: turned(finder, asked.turned)),
    }
    for name, (wanted, measure) in parts.items():
        if wanted:
            table[name] = measure()
            print(name, json.dumps(table[name], indent=1), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
