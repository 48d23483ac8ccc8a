"""The picture of how `cpr` moves the points of rendered faces, stage by stage, from the mean shape on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import crop, write_image
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic import face
from meanshape.inference.overlay import Style, draw
from meanshape.methods.cpr import CPR

TILE = 190
LOOK = Style(box=False, score=False)


def main(folder: Path) -> None:
    """Draw three faces, each with the start, every second stage and the answer."""
    model = ms.load("cpr")
    assert isinstance(model, CPR)
    faces = [face(seed, 256) for seed in (4, 11, 23)]
    write_image(folder / "cpr_stages.png", np.vstack([stages(model, sample) for sample in faces]))


def stages(model: CPR, sample: Sample) -> NDArray[np.uint8]:
    """Return one row: the mean shape in the box, then the points after some of the stages."""
    assert sample.box is not None and model.markup is not None
    box, pixels = sample.box, sample.pixels()
    total = model.config.count
    shown = sorted({1, 2, total})
    start = model.mean * box.size + box.center
    points = [start, *(model.predict(pixels, box, stages=n).points for n in shown)]
    side = 1.4 * max(box.width, box.height)
    (x, y), half = box.center, side / 2
    view = Box(x - half, y - half, x + half, y + half)
    tiles = []
    for shape in points:
        found = Prediction((Face(box, Shape(shape, model.markup)),), (pixels.shape[1], pixels.shape[0]))
        tiles.append(crop(draw(pixels, found, LOOK), view, TILE)[0])
    return np.hstack(tiles)


if __name__ == "__main__":
    main(Path(__file__).parent / "images")
