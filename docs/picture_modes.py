"""Pictures of what ASM and AAM have learnt and how they search, from models of rendered faces alone.

No picture of a mean or a mode of real faces is shown: it would be made of photos that may not be shown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from meanshape.core.config import override
from meanshape.core.face import Face
from meanshape.core.image import write_image
from meanshape.core.markup import markup
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.inference.overlay import Style, draw
from meanshape.methods.aam import AAM
from meanshape.methods.asm import ASM
from meanshape.methods.shared.shape_model import ShapeModel

Pixels = NDArray[np.uint8]

TILE, SHOWN, FAR = 150, 4, 2.5
"""Pixels of a tile; modes; how many deviations they are shown at."""
FACES = "synthetic:300@128:train"
LOOK = Style(box=False, score=False)


def main(folder: Path) -> None:
    """Train both on rendered faces and draw all pictures."""
    train, test = load_data(FACES), load_data("synthetic:6@256:test")
    asm = ASM().fit(train)
    aam = AAM(override(AAM.Config(), {"ridge": "1.0"})).fit(train)
    write_image(folder / "asm_modes.png", shape_modes(asm.shape_model, asm.markup.name if asm.markup else ""))
    write_image(folder / "asm_search.jpg", np.vstack([search(asm, test[n], (0, 2, 3)) for n in (1, 4)]), 88)
    write_image(folder / "aam_modes.png", appearance_modes(aam))
    write_image(folder / "aam_portraits.jpg", portraits(aam, test[:4]), 88)


def shape_modes(model: ShapeModel, kind: str) -> Pixels:
    """Return the mean between the first modes' two extremes, a column for each mode."""
    columns = []
    for mode in range(min(SHOWN, len(model.variances))):
        weights = np.zeros(mode + 1)
        tiles = []
        for far in (-FAR, 0.0, FAR):
            weights[mode] = far
            tiles.append(outline(model.shape_from(weights, deviations=True), kind))
        columns.append(np.vstack(tiles))
    return np.hstack(columns)


def outline(points: NDArray[np.float64], kind: str) -> Pixels:
    """Return a tile with the lines of a shape, drawn at twice the size for smooth lines."""
    image = Image.new("RGB", (2 * TILE, 2 * TILE), "white")
    placed = points * 0.3 * 2 * TILE + TILE
    pen = ImageDraw.Draw(image)
    for a, b in markup(kind).edges:
        pen.line([*placed[a], *placed[b]], fill=(40, 70, 120), width=3)
    return np.asarray(image.resize((TILE, TILE), Image.Resampling.LANCZOS))


def appearance_modes(model: AAM) -> Pixels:
    """Return the face between the first appearance modes' two extremes, a column for each mode."""
    columns = []
    for mode in range(SHOWN):
        weights = np.zeros(mode + 1)
        tiles = []
        for far in (-FAR, 0.0, FAR):
            weights[mode] = far
            tiles.append(model.reconstruct(weights.tolist()))
        columns.append(np.vstack(tiles))
    return np.hstack(columns)


def search(model: ASM | AAM, face: Sample, shown: tuple[int, ...]) -> Pixels:
    """Return a face with some of the shapes on the way, then the answer, side by side."""
    way = model.iterations(face.image, face.box)
    return np.hstack([with_points(face, way[n]) for n in (*shown, len(way) - 1)])


def portraits(model: AAM, faces: list[Sample]) -> Pixels:
    """Return faces with the points that were found, above what the model makes of them."""
    columns = []
    for face in faces:
        shape = model.predict(face.image, face.box)
        made = model.reconstruct(model.describe(face.image, shape).tolist())
        seen = with_points(face, shape)
        large = Image.fromarray(made).resize((seen.shape[1], seen.shape[1]), Image.Resampling.BICUBIC)
        columns.append(np.vstack([seen, np.asarray(large)]))
    return np.hstack(columns)


def with_points(face: Sample, shape: Shape) -> Pixels:
    """Return the face with a shape drawn on it."""
    pixels = face.pixels()
    seen = Prediction((Face(shape.box(), shape),), (pixels.shape[1], pixels.shape[0]))
    return np.asarray(draw(pixels, seen, LOOK))
