"""Rasterise meshes that are grids: every pixel gets the place on the grid that it shows.

Because all meshes here are rectangular grids of vertices, a pixel needs only two numbers (its grid column and row);
whatever lives on the grid, or on a picture laid over it, then follows with one `cv2.remap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats

FAR = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Layer:
    """One mesh seen by the camera, in a window of the picture.

    `column`, `row` (h, w): the place on the grid, -1 where the mesh is not; `depth` (h, w): mm toward the viewer.
    `left`, `top`: the window's place in the picture.
    """

    column: Floats
    row: Floats
    depth: Floats
    left: int
    top: int


@cache
def _triangles(rows: int, columns: int, wrap: bool) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Corner indices (T, 3) and their grid columns and rows (T, 3)."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns - (0 if wrap else 1)]
    r, c = r.ravel(), c.ravel()
    corners = []
    for (r0, c0), (r1, c1), (r2, c2) in (((0, 0), (0, 1), (1, 0)), ((1, 1), (1, 0), (0, 1))):
        corners.append(
            np.stack([np.stack([r + r0, r + r1, r + r2], 1), np.stack([c + c0, c + c1, c + c2], 1)])
        )
    row, column = np.concatenate(corners, axis=1)
    return row * columns + column % columns, column.astype(np.float32), row.astype(np.float32)


def _runs(first: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Owner and value of first, first+1, …: `counts` values for each owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - start[owner] + first[owner]


def rasterise(xy: Floats, depth: Floats, size: tuple[int, int], *, wrap: bool = False,
              both_sides: bool = False) -> Layer | None:  # fmt: skip
    """Draw a grid of vertices into a picture of `size` (width, height).

    Parameters
    ----------
    xy : (R, C, 2) pixels (x, y), pixel centres on whole numbers.
    depth : (R, C) mm, larger is nearer.
    wrap : the last column joins the first.
    both_sides : draw triangles that face away, too.

    Returns None where nothing falls inside the picture.
    """
    rows, columns = depth.shape
    index, column, row = _triangles(rows, columns, wrap)
    width, height = size
    p = xy.reshape(-1, 2)
    x, y = p[:, 0][index], p[:, 1][index]
    low_y, high_y = y.min(1), y.max(1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    keep = np.abs(area) > 1e-6 if both_sides else area > 1e-6
    keep &= (np.floor(high_y) >= np.ceil(low_y)) & (high_y >= 0) & (low_y <= height - 1)
    keep &= (x.max(1) >= 0) & (x.min(1) <= width - 1)
    chosen = np.flatnonzero(keep)
    if not len(chosen):
        return None
    z = depth.ravel()[index[chosen]]
    order = np.argsort(z.sum(1))  # the farthest first: the last one written to a pixel stays
    chosen, z = chosen[order], z[order]
    x, y, area = x[chosen], y[chosen], area[chosen]
    top = np.maximum(np.ceil(y.min(1)), 0).astype(np.int64)
    bottom = np.minimum(np.floor(y.max(1)), height - 1).astype(np.int64)
    window_left = max(int(np.ceil(x.min())), 0)
    window_right = min(int(np.floor(x.max())), width - 1)
    window_top, window_bottom = int(top.min()), int(bottom.max())
    w, h = window_right - window_left + 1, window_bottom - window_top + 1
    if w <= 0 or h <= 0:
        return None
    owner, pixel, px, py = _fill(x, y, area, top, bottom, (window_left, window_top, w))
    out = []
    for values, empty in ((column[chosen], -1.0), (row[chosen], -1.0), (z, FAR)):
        buffer = np.full(h * w, empty, np.float32)
        v0, gx, gy = _plane(x, y, area, values)
        buffer[pixel] = v0[owner] + gx[owner] * px + gy[owner] * py
        out.append(buffer.reshape(h, w))
    np.clip(out[0], -1, columns if wrap else columns - 1, out=out[0])
    np.clip(out[1], -1, rows - 1, out=out[1])
    return Layer(out[0], out[1], out[2], window_left, window_top)


def _plane(x: Floats, y: Floats, area: Floats, v: Floats) -> tuple[Floats, Floats, Floats]:
    """Value at each triangle's first corner and its slope along x and y."""
    a, b = v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]
    gx = (a * (y[:, 2] - y[:, 0]) - b * (y[:, 1] - y[:, 0])) / area
    gy = (b * (x[:, 1] - x[:, 0]) - a * (x[:, 2] - x[:, 0])) / area
    return v[:, 0], gx, gy


def _fill(
    x: Floats,
    y: Floats,
    area: Floats,
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    window: tuple[int, int, int],
) -> tuple[NDArray[np.intp], NDArray[np.int64], Floats, Floats]:
    """Pixels of each triangle: owner, flat index in the window, and offset from the triangle's first corner."""
    left, up, width = window
    owner, line = _runs(top, bottom - top + 1)
    low = np.full(len(owner), left, np.float32)
    high = np.full(len(owner), left + width - 1, np.float32)
    sign = np.sign(area)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        dx, dy = (x[:, j] - x[:, i]) * sign, (y[:, j] - y[:, i]) * sign
        slope = np.where(dy == 0, np.float32(0), dx / np.where(dy == 0, np.float32(1), dy))
        crossing = x[:, i][owner] + slope[owner] * (line - y[:, i][owner])
        up_edge, down_edge = (dy < 0)[owner], (dy > 0)[owner]
        # inside is where the cross product is positive: x below the crossing of an edge that runs down
        np.maximum(low, np.where(up_edge, crossing - 1e-3, low), out=low)
        np.minimum(high, np.where(down_edge, crossing + 1e-3, high), out=high)
    first = np.ceil(low).astype(np.int64)
    count = np.maximum(np.floor(high).astype(np.int64) - first + 1, 0)
    span, column = _runs(first, count)
    owner, line = owner[span], line[span]
    pixel = (line - up) * width + column - left
    return (
        owner,
        pixel,
        (column - x[:, 0][owner]).astype(np.float32),
        (line - y[:, 0][owner]).astype(np.float32),
    )
