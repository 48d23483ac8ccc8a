"""Fit the maps to the canonical face box that `datasets` and its cards hold, and print them as TOML.

    python benchmarks/fit_boxes.py --ibug300w ROOT --mtfl ROOT [--write]

1. `datasets/parts/outline.toml`: jaw and brows as a linear (ridge) function of the five points in the frame
   of their mean, from the training faces of 300-W and their mirror images; `canonical_box_from_five` takes
   the tight box of that.
2. The fractions from the doubled tight box of five points (the box of a face that has none) to the canonical
   one; same file.
3. The fractions from the boxes of CNN_FacePoint's list to the canonical box, which the photos of that list
   do not have: the box of 1 stands in for it. They go to the cards of `cnn_facepoint` and `mtfl` by hand.

Validation faces only measure; none is fitted on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core import geometry
from meanshape.core.box import Box
from meanshape.core.sample import Sample
from meanshape.datasets import cnn_facepoint, ibug300w
from meanshape.datasets.parts import boxes
from meanshape.datasets.parts.cuhk import facepoint_rows

Floats = NDArray[np.float64]
OUTLINE = slice(0, 27)
RIDGE = 1e-4
TOML = Path(boxes.__file__).with_name("outline.toml")


def five_of(samples: list[Sample]) -> list[Floats]:
    return [s.shape.to("mtfl5").points for s in samples if s.shape]


def mirrored(samples: list[Sample]) -> list[Sample]:
    return [Sample(s.id, s.image, s.shape.mirrored(1000), None, {}, s.split) for s in samples if s.shape]


def mean_five(fives: list[Floats]) -> Floats:
    """The mean of the aligned five points: centred, RMS radius 1, upright, and its own mirror image."""
    mean, _ = geometry.procrustes(np.array(fives))
    mean = (mean + (mean * (-1, 1))[[1, 0, 2, 4, 3]]) / 2
    return mean / np.sqrt((mean**2).sum(axis=1).mean())


def fit_outline(samples: list[Sample]) -> tuple[Floats, Floats]:
    fives = five_of(samples)
    mean = mean_five(fives)
    rows, targets = [], []
    for five, sample in zip(fives, samples, strict=True):
        frame = geometry.similarity(five, mean)
        rows.append(np.append(geometry.apply(frame, five).ravel(), 1.0))
        targets.append(geometry.apply(frame, sample.shape.points[OUTLINE]).ravel())
    x, y = np.array(rows), np.array(targets)
    return mean, np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)


def write_outline(mean: Floats, weights: Floats, doubled: tuple[float, ...]) -> None:
    rows = "\n".join(f"  [{', '.join(f'{v:.4f}' for v in row)}]," for row in weights.T)
    TOML.write_text(
        "# Written by benchmarks/fit_boxes.py from the training faces of 300-W and their mirror images.\n"
        "# mean: the five points of mtfl5, centred, RMS radius 1.\n"
        "# weights: one row for x and one for y of each of the points 0 to 26 of ibug68, for x1 y1 …\n"
        "# x5 y5 of the five in that frame and the constant 1.\n"
        "# doubled: the canonical box as a part of the tight box of the five, doubled about its centre.\n"
        f"doubled = [{', '.join(f'{v:.4f}' for v in doubled)}]\n"
        f"mean = [{', '.join(f'[{x:.4f}, {y:.4f}]' for x, y in mean)}]\nweights = [\n{rows}\n]\n",
        "utf-8",
    )


def report(name: str, sources: list[Box], targets: list[Box]) -> tuple[float, ...]:
    """Fit the fractions for Box.part; print them, and how well the boxes fit without and with them."""
    fractions = boxes.fit_part([b.as_list() for b in sources], [b.as_list() for b in targets])
    iou = [s.part(fractions).iou(t) for s, t in zip(sources, targets, strict=True)]
    before = [s.iou(t) for s, t in zip(sources, targets, strict=True)]
    print(f"# {name}: {len(iou)} faces, IoU {np.mean(before):.3f} before, {np.mean(iou):.3f} after")
    print(f"box = [{', '.join(f'{value:.4f}' for value in fractions)}]")
    return fractions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ibug300w", required=True)
    parser.add_argument("--mtfl", required=True)
    parser.add_argument("--write", action="store_true", help="write outline.toml")
    options = parser.parse_args()
    train = ibug300w.samples(options.ibug300w, "train")
    tight = [s.box for s in train if s.box]
    doubled = report("five points, doubled", [Box.around(f).scaled(2) for f in five_of(train)], tight)
    if options.write:
        write_outline(*fit_outline(train + mirrored(train)), doubled)
        boxes._table.cache_clear()
        boxes._outline.cache_clear()
    held_out = ibug300w.samples(options.ibug300w, "validation")
    derived = [boxes.canonical_box_from_five(five) for five in five_of(held_out)]
    iou = [box.iou(sample.box) for box, sample in zip(derived, held_out, strict=True) if sample.box]
    low = np.quantile(iou, 0.05)
    print(f"# from five points, {len(iou)} validation faces: IoU {np.mean(iou):.3f}, 5 % below {low:.3f}")
    kept = {s.id for s in cnn_facepoint.samples(options.mtfl, "train")}
    rows = [r for r in facepoint_rows(Path(options.mtfl) / "trainImageList.txt") if r.id in kept and r.box]
    report(
        "boxes of the list", [r.box for r in rows], [boxes.canonical_box_from_five(r.points) for r in rows]
    )


if __name__ == "__main__":
    main()
