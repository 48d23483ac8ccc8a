"""Measure how many faces are found, and how far their points are off, in photos turned in the plane.

    python benchmarks/turned_photos.py --data ibug300w:ROOT:validation [--detector NAME]... [--save]

Each photo is turned about its centre by 0 to 315 degrees, the corners filled grey, and goes through the whole
pipeline with `turns="auto"` and with "none". A face is found if the mean error of its 68 points is less than
30 % of the distance of the outer eye corners.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.face import Face
from meanshape.core.geometry import apply
from meanshape.core.image import Pixels
from meanshape.core.sample import Sample
from meanshape.datasets import load_data

RESULTS = Path(__file__).parent / "results" / "turned_photos.json"
DEGREES = range(0, 360, 45)
FOUND = 30.0  # percent


def main() -> None:
    options = _options()
    samples = load_data(options.data)
    told: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    told |= {"photos": len(samples), "degrees": list(DEGREES), "model": ms.Pipeline().name}
    for detector in options.detector or ["mtcnn", "glance", "both"]:
        for turns in ("none", "auto"):
            pipeline = ms.Pipeline(detector, turns=turns)
            rows = [measured(pipeline, samples, degrees) for degrees in DEGREES]
            told.setdefault(detector, {})[turns] = {key: [row[key] for row in rows] for key in rows[0]}
            print(detector, turns, told[detector][turns], flush=True)
    if options.save:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def measured(pipeline: ms.Pipeline, samples: Iterable[Sample], degrees: float) -> dict[str, float]:
    """Return how many faces of the turned photos are found, and the mean and median error of these."""
    errors = []
    for sample in samples:
        assert sample.shape is not None
        pixels, matrix = turned(sample.pixels(), degrees)
        best = min((error(face, sample, matrix) for face in pipeline(pixels).faces), default=np.inf)
        errors += [best] if best < FOUND else []
    middle = round(float(np.median(errors)), 2) if errors else None
    return {
        "found": len(errors),
        "mean": round(float(np.mean(errors)), 2) if errors else None,
        "median": middle,
    }


def error(face: Face, sample: Sample, matrix: NDArray[np.float64]) -> float:
    """Return the mean error of a face's points in percent of the distance of the outer eye corners."""
    assert face.shape is not None and sample.shape is not None
    true = apply(matrix, sample.shape.points)
    apart = np.linalg.norm(face.shape.to("ibug68").points - true, axis=1).mean()
    return float(100 * apart / np.linalg.norm(true[36] - true[45]))


def turned(pixels: Pixels, degrees: float) -> tuple[Pixels, NDArray[np.float64]]:
    """Return the whole picture turned anticlockwise, and the map (2, 3) to it."""
    high, wide = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = round(wide * cos + high * sin), round(wide * sin + high * cos)
    matrix[:, 2] += (np.array(size) - (wide, high)) / 2
    return np.asarray(cv2.warpAffine(pixels, matrix, size, borderValue=(127, 127, 127)), np.uint8), matrix


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, metavar="NAME:ROOT:SPLIT")
    parser.add_argument("--detector", action="append")
    parser.add_argument("--save", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
