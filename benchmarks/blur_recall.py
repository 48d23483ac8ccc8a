"""How many labelled faces `meanshape blur` hides, by settings, and how often it hides something else.

    python benchmarks/blur_recall.py --wider FOLDER [--infants FOLDER] [--negatives FOLDER]
        [--step 1] [--json benchmarks/results/blur_recall.json]

A face is hidden where at least 80 % of the ellipse in its labelled box lies in a hidden region. WIDER's faces
that are marked invalid, or below 10 pixels, do not count. `--infants`: crops with 68 points beside them, of
which the tight box counts. `--negatives`: photos of nobody.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from wider_recall import PICTURES, SIZES, SMALLEST, labelled, read_wider

from meanshape.core.box import Box
from meanshape.core.image import Pixels, read_image
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.regions import ROUND, regions
from meanshape.inference.thorough import Thorough

SETTINGS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "as detect finds them": (None, {}),
    "as detect, min_face 20": (None, {"min_face": 20}),
    "threshold 0.5": ({"threshold": 0.5}, {"turns": "all"}),
    "threshold 0.3, turns auto": ({"threshold": 0.3}, {}),
    "threshold 0.3": ({"threshold": 0.3}, {"turns": "all"}),
    "threshold 0.3, box": ({"threshold": 0.3}, {"turns": "all"}),
    "threshold 0.15": ({"threshold": 0.15}, {"turns": "all"}),
    "threshold 0.3, min_face 12": ({"threshold": 0.3, "min_face": 12}, {"turns": "all"}),
}
"""By name: what the thorough detector is made with (None: the default one), and the pipeline."""
HIDDEN = 0.8


def mask(pixels: Pixels, pipeline: Pipeline, kind: str) -> tuple[NDArray[np.uint8], int]:
    """Return where a picture is hidden, and how many faces that was for."""
    faces = pipeline(pixels).faces
    out = np.zeros(pixels.shape[:2], np.uint8)
    for one in regions(faces, kind):
        cv2.fillConvexPoly(out, np.rint(one.points).astype(np.int32), (1,))
    return out, len(faces)


def hidden(out: NDArray[np.uint8], box: Box) -> bool:
    """Tell whether most of the ellipse in a box is hidden, of what lies in the picture."""
    turn = np.linspace(0, 2 * np.pi, ROUND, endpoint=False)
    ring = box.absolute(np.column_stack([np.cos(turn), np.sin(turn)]) / 2 + 0.5)
    face = np.zeros_like(out)
    cv2.fillConvexPoly(face, np.rint(ring).astype(np.int32), (1,))
    return bool(out[face > 0].mean() >= HIDDEN) if face.any() else True


def measure(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one setting."""
    finder, options = SETTINGS[name]
    pipeline = Pipeline(detector=None if finder is None else Thorough(**finder), **options)
    kind = "box" if name.endswith("box") else "outline"
    row: dict[str, Any] = {"setting": name}
    held = set((given.wider / "validation.txt").read_text("utf-8").split())
    photos = [item for item in sorted(read_wider(given.wider).items()) if Path(item[0]).stem in held]
    sizes: list[float] = []
    seen: list[bool] = []
    for file, rows in photos[:: given.step]:
        out, _ = mask(read_image(given.wider / file), pipeline, kind)
        for left, top, width, height, _, _, invalid in rows.tolist():
            if not invalid and (width * height) ** 0.5 >= SMALLEST:
                sizes.append((width * height) ** 0.5)
                seen.append(hidden(out, Box(left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5)))
    size, found = np.array(sizes), np.array(seen)
    for low, high in itertools.pairwise(SIZES):
        among = (size >= low) & (size < high)
        key = f"hidden_{low}_{'' if high == SIZES[-1] else int(high)}"
        row[key] = round(100 * float(found[among].mean()), 1)
    row |= {"photos": len(photos[:: given.step]), "faces": np.histogram(size, SIZES)[0].tolist()}
    if given.infants:
        crops = labelled(given.infants)[:: given.step]
        missed = [not hidden(mask(read_image(p), pipeline, kind)[0], Box.around(s.points)) for p, s in crops]
        row["infants"], row["infants_missed"] = len(missed), round(100 * float(np.mean(missed)), 1)
    if given.negatives:
        paths = [p for p in sorted(given.negatives.rglob("*")) if p.suffix.lower() in PICTURES]
        counts = [mask(read_image(path), pipeline, kind)[1] for path in paths[:: given.step]]
        row["without_people"] = len(counts)
        row["false_per_photo"] = round(float(np.mean(counts)), 3)
    return row


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wider", type=Path, required=True)
    parser.add_argument("--infants", type=Path)
    parser.add_argument("--negatives", type=Path)
    parser.add_argument("--step", type=int, default=1, help="measure every so many-th photo")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for name in SETTINGS:
        rows.append(measure(name, given))
        print(rows[-1], flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
