"""docs/images/tcnn_clusters.png: the mean face of tcnn's clusters, made of rendered faces.

    python docs/picture_clusters.py [--faces 1500] [--tiles 16] [--model tcnn]

Each rendered face goes to the cluster that the model chooses for it in its true box; the means of the largest
clusters' crops are shown, in the order of where the nose is, left to right, with the mean of their points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.geometry import apply
from meanshape.core.image import warp, write_image
from meanshape.datasets import synthetic
from meanshape.methods.tcnn import TCNN
from meanshape.training.sampling import square_matrix

SIDE, COLUMNS = 96, 8


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--tiles", type=int, default=16)
    parser.add_argument("--model", default="tcnn")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "tcnn_clusters.png")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    model = ms.load(given.model)
    assert isinstance(model, TCNN)
    members: dict[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for seed in range(given.faces):
        sample = synthetic.face(seed, 128)
        assert sample.box is not None and sample.shape is not None
        matrix = square_matrix(sample.box, 1.3, SIDE)
        pixels = warp(sample.pixels(), matrix, (SIDE, SIDE)).astype(float)
        points = apply(matrix, sample.shape.to("mtfl5").points)
        members.setdefault(model.cluster(sample.image, sample.box), []).append((pixels, points))
    print(len(members), "clusters; the largest:", sorted(map(len, members.values()))[::-1][: given.tiles])
    largest = sorted(members.values(), key=len)[::-1][: given.tiles]
    tiles = []
    for group in sorted(largest, key=lambda group: np.mean([points[2, 0] for _, points in group])):
        tile = np.mean([pixels for pixels, _ in group], 0).round().astype(np.uint8)
        for x, y in np.mean([points for _, points in group], 0):
            cv2.circle(tile, (round(16 * x), round(16 * y)), 24, (255, 220, 0), -1, cv2.LINE_AA, 4)
        tiles.append(tile)
    rows = [np.hstack(tiles[n : n + COLUMNS]) for n in range(0, len(tiles), COLUMNS)]
    given.out.parent.mkdir(exist_ok=True)
    write_image(given.out, np.vstack(rows))


if __name__ == "__main__":
    main()
