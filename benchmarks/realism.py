"""How well models trained on photos find rendered faces and their points: the renderer's realism in numbers.

    python benchmarks/realism.py [--count 500] [--size 160] [--scenes 60]
        [--photos ibug300w:ROOT:validation] [--json FILE]

`mtcnn` looks for one face in each of COUNT pictures and for all faces in SCENES cluttered scenes (640x480,
up to six faces each). A face is found where a canonical box overlaps its tight box by at least 0.5
(intersection over union); a box that overlaps none by 0.3 is false. `dan` places 68 points in the true
box; errors are in percent of the distance of the outer eye corners, all and by part of the face, with the
median signed error of each point in the frame of the mean shape: what is left there is how far the
renderer's points lie from where photos are marked, or from where `dan` expects a face. With --photos the
same is measured on photos. Rendered faces are those of the split "test".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.geometry import apply, procrustes, similarity
from meanshape.core.markup import markup
from meanshape.core.registry import detector
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.datasets.synthetic import scene

PARTS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
Points = NDArray[np.float64]


def points_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Errors of `dan` in the true box."""
    model = ms.load("dan")
    truth = np.array([sample.shape.points for sample in samples if sample.shape])
    placed = np.array([model.predict(s.pixels(), s.box).points for s in samples])
    apart = np.hypot(*(truth[:, 45] - truth[:, 36]).T)
    errors = 100 * np.hypot(*(placed - truth).transpose(2, 0, 1)) / apart[:, None]
    signed = signed_errors(placed, truth)
    return {
        "faces": len(truth),
        "nme_inter_ocular_percent": float(errors.mean()),
        "median_percent": float(np.median(errors.mean(1))),
        "above_8_percent": 100 * float((errors.mean(1) > 8).mean()),
        "parts": {name: float(errors[:, a:b].mean()) for name, (a, b) in PARTS.items()},
        "signed_rms_percent": float(np.sqrt((signed**2).sum(1).mean())),
        "signed_percent": np.round(signed, 2).tolist(),
    }


def signed_errors(placed: Points, truth: Points) -> Points:
    """Median error (68, 2) of each point, upright, symmetric, in percent of the eye corners' distance."""
    mean = np.asarray(procrustes(truth)[0])
    mean = 100 * mean / np.hypot(*(mean[45] - mean[36]))
    upright = np.array(
        [apply(m := similarity(t, mean), p) - apply(m, t) for p, t in zip(placed, truth, strict=True)]
    )
    middle = np.median(upright, 0)
    return np.asarray((middle + middle[list(markup("ibug68").mirror)] * (-1, 1)) / 2)


def boxes_of(pictures: Sequence[tuple[NDArray[np.uint8], Sequence[Shape]]]) -> dict[str, Any]:
    """What `mtcnn` finds of the faces, and what it takes for one."""
    finder = detector("mtcnn")()
    found, overlap, false, faces = 0, [], 0, 0
    for pixels, shapes in pictures:
        boxes = [finder.canonical(face.box) for face in finder.detect(pixels)]
        for shape in shapes:
            best = max((box.iou(shape.box()) for box in boxes), default=0.0)
            faces, found = faces + 1, found + (best >= 0.5)
            overlap += [best] if best >= 0.5 else []
        false += sum(all(box.iou(shape.box()) < 0.3 for shape in shapes) for box in boxes)
    return {
        "faces": faces,
        "found_percent": 100 * found / max(faces, 1),
        "mean_overlap": float(np.mean(overlap)) if overlap else None,
        "false_boxes": false,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--photos")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    samples = load_data(f"synthetic:{asked.count}@{asked.size}:test")
    crowds = [scene((1, seed), (640, 480), faces=6) for seed in range(asked.scenes)]
    found: dict[str, Any] = {
        "dan": points_of(samples),
        "mtcnn": boxes_of([(s.pixels(), [s.shape]) for s in samples if s.shape]),
        "mtcnn_scenes": boxes_of(crowds),
    }
    if asked.photos:
        photos = load_data(asked.photos)
        found["dan_photos"] = points_of(photos)
    shown = {key: {k: v for k, v in part.items() if k != "signed_percent"} for key, part in found.items()}
    print(json.dumps(shown, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found) + "\n", "utf-8")


if __name__ == "__main__":
    main()
