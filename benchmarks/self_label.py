"""Label photos that have five points with a model of our own, where it agrees with itself and with them.

    python benchmarks/self_label.py runs/dan --data mtfl:ROOT:train --out ROOT/labels.jsonl
    meanshape train dan --data ibug300w:ROOT:train --data folder:ROOT/labels.jsonl --init runs/dan …

Each face is seen from two boxes and in the mirror. The mean of the four shapes is kept, with a confidence
for each point, when the four differ little and their eyes, nose and mouth lie where the photo's own labels
have them (up to what the two mark-ups differ by in the median). Training takes points with a confidence for
self-labelled (`soft_share` of dan, `pseudo_labelled` of integral). The terms of model and photos go into a
file beside the labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.config import dump
from meanshape.core.face import Face
from meanshape.core.origin import joined
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import load_data, origin

SPREAD, FIVE = 0.04, 0.08  # of the inter-pupil distance: how far views may differ, and the five points
BATCH = 16


def views(model: object, samples: list[Sample]) -> NDArray[np.float64]:
    """Shapes (N, 4, K, 2): two boxes, each also mirrored."""
    pictures = [sample.pixels() for sample in samples]
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    found = []
    for factor, lift in ((1.0, 0.0), (1.08, 0.02)):
        boxes = [s.box.scaled(factor).shifted(0, -lift * s.box.height) for s in samples if s.box is not None]
        found.append([shape.points for shape in model.predict_batch(pictures, boxes)])
        widths = [picture.shape[1] for picture in pictures]
        there = [box.mirrored(width) for box, width in zip(boxes, widths, strict=True)]
        shapes = model.predict_batch(mirrored, there)
        found.append([shape.mirrored(width).points for shape, width in zip(shapes, widths, strict=True)])
    return np.stack([np.stack(view) for view in found], 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    root = given.out.parent.absolute()
    model = ms.load(given.model)
    samples = [s for s in load_data(given.data) if s.shape is not None and s.box is not None]
    names = {id(s): Path(s.image).absolute() for s in samples}
    if not all(path.is_relative_to(root) for path in names.values()):
        parser.error(f"the photos must lie below {root}, the folder of --out: labels name no others")
    shapes = np.concatenate([views(model, samples[i : i + BATCH]) for i in range(0, len(samples), BATCH)])
    mean = shapes.mean(1)
    five = model.markup.convert(mean, "mtfl5")
    truth = np.stack([sample.shape.points for sample in samples])
    size = np.array([sample.box.size for sample in samples])
    norm = np.maximum(np.linalg.norm(five[:, 0] - five[:, 1], axis=-1), 0.25 * size)[:, None]
    spread = np.linalg.norm(shapes - mean[:, None], axis=-1).mean(1) / norm
    offset = (five - truth) / norm[..., None]
    apart = np.linalg.norm(offset - np.median(offset, 0), axis=-1).mean(1)
    keep = (spread.mean(1) < SPREAD) & (apart < FIVE)
    medians = f"spread {np.median(spread):.4f}, five points {np.median(apart):.4f}"
    print(f"{keep.sum()} of {len(keep)} faces kept; medians: {medians}")
    kept = [
        Prediction(
            (Face(Box.around(points), Shape(points, model.markup, confidence=np.exp(-far / 0.03))),),
            (0, 0), names[id(sample)].relative_to(root).as_posix(), given.model, 0.0,
        )
        for sample, points, far, good in zip(samples, mean, spread, keep, strict=True)
        if good
    ]  # fmt: skip
    formats.write(given.out, kept)
    beside = joined([model.origin, origin(given.data)])
    given.out.with_suffix(".origin").write_text(dump(beside.to_dict()), "utf-8")


if __name__ == "__main__":
    main()
