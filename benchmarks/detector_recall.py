"""What a detector finds, and what it takes for a face.

    python benchmarks/detector_recall.py mtcnn_synthetic [--data mtfl:ROOT:validation] [--step 1]
        [--negatives FOLDER] [--json FILE]

Of each photo of --data one face is labelled; it is found where a canonical box overlaps the labelled one
(intersection over union) by at least 0.4, and 0.5. Every box in the pictures of --negatives, which show
nobody, is false. --step N takes every N-th photo of both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from meanshape.core.image import read_image
from meanshape.core.registry import detector
from meanshape.datasets import load_data

PICTURES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector")
    parser.add_argument("--data")
    parser.add_argument("--negatives", type=Path)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    finder = detector(asked.detector)()
    found: dict[str, Any] = {"detector": asked.detector}
    if asked.data:
        best = []
        for sample in load_data(asked.data)[:: asked.step]:
            if sample.box is not None:
                boxes = [finder.canonical(face.box) for face in finder.detect(sample.pixels())]
                best.append(max((box.iou(sample.box) for box in boxes), default=0.0))
        overlap = np.array(best)
        found |= {
            "photos": len(overlap),
            "found_percent_iou_0_4": 100 * float((overlap >= 0.4).mean()),
            "found_percent_iou_0_5": 100 * float((overlap >= 0.5).mean()),
            "mean_overlap": float(overlap[overlap >= 0.4].mean()) if (overlap >= 0.4).any() else None,
        }
    if asked.negatives:
        paths = [p for p in sorted(asked.negatives.rglob("*")) if p.suffix.lower() in PICTURES]
        counts = [len(finder.detect(read_image(path))) for path in paths[:: asked.step]]
        found |= {
            "people_free_photos": len(counts),
            "false_boxes": sum(counts),
            "photos_with_false_boxes": sum(count > 0 for count in counts),
        }
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
