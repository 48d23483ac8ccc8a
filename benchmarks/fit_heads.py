"""Fit where the canonical face box lies in the box from forehead to chin that WIDER FACE labels.

    python benchmarks/fit_heads.py WIDER_FOLDER

`mtcnn` looks at the photos that are not for validation. Of each upright face that it finds and that the
list calls neither hidden nor invalid, the canonical box that its five points let expect is compared with
the labelled one. The line printed goes to the cards of the detectors (medians, left and right made alike,
since nobody's left is special) and, inverted, to `detectors/glance/photos.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from wider_recall import read_wider

from meanshape.core.box import Box
from meanshape.core.image import read_image
from meanshape.core.registry import detector
from meanshape.datasets.parts.boxes import canonical_box_from_five, fit_part

NEAR, UPRIGHT, LEAST = 0.3, 12, 30


def main() -> None:
    """Fit, and print the fractions and how well they fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    held = set((folder / "validation.txt").read_text("utf-8").split())
    finder = detector("mtcnn")(min_face=16)
    pairs = []
    for name, rows in read_wider(folder).items():
        if Path(name).stem in held:
            continue
        clear = (rows[:, 5] == 0) & (rows[:, 6] == 0) & (rows[:, 2:4].min(1) > 0)
        labelled = [Box(x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5) for x, y, w, h in rows[clear, :4]]
        for face in finder.detect(read_image(folder / name)):
            assert face.shape is not None
            across, down = face.shape.points[1] - face.shape.points[0]
            canonical = canonical_box_from_five(face.shape.points)
            head = max(labelled, key=canonical.iou, default=None)
            if head is None or canonical.iou(head) < NEAR or head.width < LEAST:
                continue
            if abs(np.degrees(np.arctan2(down, across))) < UPRIGHT:
                pairs.append((head, canonical))
    heads, canonicals = zip(*pairs, strict=True)
    left, top, right, bottom = fit_part([b.as_list() for b in heads], [b.as_list() for b in canonicals])
    beyond = (-left + right - 1) / 2
    part = (-beyond, top, 1 + beyond, bottom)
    print(f"canonical = [{', '.join(f'{value:.4f}' for value in part)}]")
    wide, high = 1 + 2 * beyond, bottom - top
    back = (beyond / wide, -top / high, (1 + beyond) / wide, (1 - top) / high)
    fit = [canonical.part(back).iou(head) for head, canonical in pairs]
    print(
        f"# {len(fit)} faces; the other way: {[round(v, 4) for v in back]}, mean overlap {np.mean(fit):.3f}"
    )


if __name__ == "__main__":
    main()
