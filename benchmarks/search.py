"""Measure what the whole search finds: detectors with and without quarter turns, on plain and hard photos.

    python benchmarks/search.py --plain ibug300w:ROOT:validation --infants ROOT --negatives FOLDER
        [--detector NAME]... [--save]

Faces missed (no canonical box with an intersection over union of 0.4; of faces tilted by more than 45 degrees
0.3, for theirs are boxes of the upright face), photos without people in which something is found, and the
seconds for all photos of each kind.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import meanshape as ms
from meanshape.core.box import Box
from meanshape.core.image import Pixels, read_image
from meanshape.datasets import load_data
from meanshape.datasets.parts.files import photos_below

RESULTS = Path(__file__).parent / "results" / "search.json"
DETECTORS = ("mtcnn", "glance", "both")
Faces = Sequence[tuple[Pixels, Box]]


def main() -> None:
    options = _options()
    plain, infants = faces(options.plain), faces(f"infanface:{options.infants}")
    nobody = [read_image(path) for path in photos_below(options.negatives).values()]
    told: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    told |= {"plain": len(plain), "infants": len(infants), "nobody": len(nobody)}
    for detector in options.detector or DETECTORS:
        for turns in ("none", "auto"):
            pipeline = ms.Pipeline(detector, turns=turns)
            row: dict[str, Any] = {}
            start = time.perf_counter()
            for name, photos in (("plain", plain), ("infants", infants)):
                row[f"{name}_missed"] = sum(not found(pipeline, *one) for one in photos)
                row[f"{name}_seconds"] = round(time.perf_counter() - start, 1)
                start = time.perf_counter()
            row["false"] = sum(bool(pipeline.search(pixels)) for pixels in nobody)
            row["nobody_seconds"] = round(time.perf_counter() - start, 1)
            told.setdefault(detector, {})[turns] = row
            print(detector, turns, row, flush=True)
    if options.save:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def faces(data: str) -> Faces:
    """Return each photo with the canonical box of its face."""
    samples = load_data(data)
    return [(s.pixels(), s.box or s.shape.box()) for s in samples if s.shape is not None]


def found(pipeline: ms.Pipeline, pixels: Pixels, box: Box) -> bool:
    """Tell whether the search finds the face in this box."""
    return any(one.box.iou(box) >= (0.4 if abs(one.roll) < 45 else 0.3) for one in pipeline.search(pixels))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plain", required=True, metavar="NAME:ROOT:SPLIT")
    parser.add_argument("--infants", required=True, metavar="ROOT")
    parser.add_argument("--negatives", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--detector", action="append", choices=DETECTORS)
    parser.add_argument("--save", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
