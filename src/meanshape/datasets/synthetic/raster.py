"""Rasterise meshes that are grids: every pixel gets the place on the grid that it shows.

Because all meshes here are rectangular grids of vertices, a pixel needs only two numbers (its grid column and
row); whatever lives on the grid, or on a picture laid over it, then follows with one `cv2.remap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats, f32

FAR = np.float32(-1e9)
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Layer:
    """The pixels (N,) that a mesh covers: flat index in the picture, place on the grid, depth in mm."""

    pixel: NDArray[np.intp]
    column: Floats
    row: Floats
    depth: Floats


@cache
def _triangles(rows: int, columns: int) -> tuple[NDArray[np.intp], Floats, Floats, Floats]:
    """Of all triangles, the upper ones of each cell first: vertices (3, T); grid column and row of the first.

    The last array is the direction in which the second corner lies from there along the row, and the third
    along the column: +1 or -1.
    """
    r, c = (a.ravel() for a in np.mgrid[0 : rows - 1, 0 : columns - 1])
    row = np.stack([np.concatenate([r, r + 1]), np.concatenate([r, r + 1]), np.concatenate([r + 1, r])])
    column = np.stack([np.concatenate([c, c + 1]), np.concatenate([c + 1, c]), np.concatenate([c, c + 1])])
    ahead = np.repeat(f32([1, -1]), len(r))
    return row * columns + column, f32(column[0]), f32(row[0]), ahead


def _facing(x: Floats, y: Floats, size: tuple[int, int], both_sides: bool) -> NDArray[np.intp]:
    """Indices of the triangles that face the viewer, touch the picture and cross the middle of a line.

    Worked out on the grid (R, C) of the vertices, without gathering the corners of every triangle.
    """
    width, height = size
    right, down = np.diff(x, axis=1), np.diff(x, axis=0)
    right_y, down_y = np.diff(y, axis=1), np.diff(y, axis=0)
    area = np.stack(
        [
            right[:-1] * down_y[:, :-1] - down[:, :-1] * right_y[:-1],
            right[1:] * down_y[:, 1:] - down[:, 1:] * right_y[1:],
        ]
    )
    keep = np.abs(area) > 1e-6 if both_sides else area > 1e-6
    shared_low = np.minimum(y[:-1, 1:], y[1:, :-1]), np.minimum(x[:-1, 1:], x[1:, :-1])
    shared_high = np.maximum(y[:-1, 1:], y[1:, :-1]), np.maximum(x[:-1, 1:], x[1:, :-1])
    for k, (corner_y, corner_x) in enumerate(((y[:-1, :-1], x[:-1, :-1]), (y[1:, 1:], x[1:, 1:]))):
        low = np.ceil(np.minimum(shared_low[0], corner_y))
        high = np.floor(np.maximum(shared_high[0], corner_y))
        keep[k] &= (high >= np.maximum(low, 0)) & (low <= height - 1)
        keep[k] &= (np.maximum(shared_high[1], corner_x) >= 0) & (
            np.minimum(shared_low[1], corner_x) <= width - 1
        )
    return np.flatnonzero(keep)


def _runs(first: Ints, counts: Ints) -> tuple[NDArray[np.intp], Ints]:
    """Owner and value of first, first+1, …: `counts` values for each owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return owner, np.arange(len(owner), dtype=np.int32) + (first - start.astype(np.int32))[owner]


def rasterise(
    xy: Floats,
    depth: Floats,
    size: tuple[int, int],
    *,
    both_sides: bool = False,
    hidden: NDArray[np.bool_] | None = None,
) -> Layer | None:
    """Draw a grid of vertices into a picture of `size` (width, height).

    Parameters
    ----------
    xy : (R, C, 2) pixels (x, y), pixel centres on whole numbers.
    depth : (R, C) mm, larger is nearer.
    both_sides : draw triangles that face away, too.
    hidden : (R, C), vertices where nothing is; triangles of three such vertices are left out.

    Returns None where nothing falls inside the picture.
    """
    rows, columns = depth.shape
    index, column, row, ahead = _triangles(rows, columns)
    width, height = size
    all_x, all_y = (np.ascontiguousarray(xy[..., k]) for k in (0, 1))
    chosen = _facing(all_x, all_y, size, both_sides)
    if hidden is not None:
        chosen = chosen[~hidden.ravel()[index[:, chosen]].all(0)]
    if not len(chosen):
        return None
    corners = np.take(index, chosen, axis=1)
    z = depth.ravel()[corners]
    order = np.argsort(z[0] + z[1] + z[2])  # the farthest first: the last one written to a pixel stays
    chosen, z, corners = chosen[order], np.take(z, order, axis=1), np.take(corners, order, axis=1)
    x, y = all_x.ravel()[corners], all_y.ravel()[corners]
    dx1, dx2, dy1, dy2 = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0]
    area = dx1 * dy2 - dx2 * dy1
    owner, pixel, px, py = _fill(x, y, np.sign(area), size)
    last = np.full(width * height, -1, np.int32)
    last[pixel] = np.arange(len(pixel), dtype=np.int32)  # who wrote last is who is seen
    seen = np.flatnonzero(last >= 0)
    if not len(seen):
        return None
    writer = last[seen]
    owner, px, py = owner[writer], px[writer], py[writer]
    inverse = 1 / area
    table = np.stack(
        [dy2 * inverse, dx2 * inverse, dx1 * inverse, dy1 * inverse, z[0], z[1] - z[0], z[2] - z[0]]
    )
    a, b, c, d, z0, z1, z2 = np.take(table, owner, axis=1)
    first, second = a * px - b * py, c * py - d * px  # shares of the second and the third corner
    triangle = chosen[owner]
    way = ahead[triangle]
    return Layer(
        seen,
        np.clip(column[triangle] + way * first, 0, columns - 1),
        np.clip(row[triangle] + way * second, 0, rows - 1),
        z0 + z1 * first + z2 * second,
    )


def _least(v: Floats) -> Floats:
    return f32(np.minimum(np.minimum(v[0], v[1]), v[2]))


def _most(v: Floats) -> Floats:
    return f32(np.maximum(np.maximum(v[0], v[1]), v[2]))


def _fill(
    x: Floats, y: Floats, sign: Floats, size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Pixels of triangles (3, T): whose, flat index in the picture, offset from the triangle's first corner.

    `sign` (T,): +1 or -1 by the way round in which the corners come.
    """
    width, height = size
    top = np.maximum(np.ceil(_least(y)), 0).astype(np.int32)
    bottom = np.minimum(np.floor(_most(y)), height - 1).astype(np.int32)
    owner, line = _runs(top, np.maximum(bottom - top + 1, 0))
    level = line.astype(np.float32)
    low, high = np.zeros(len(owner), np.float32), np.full(len(owner), width - 1, np.float32)
    far = np.float32(1e9)
    edges = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        dx, dy = (x[j] - x[i]) * sign, (y[j] - y[i]) * sign
        slope = dx / np.where(dy == 0, np.float32(1), dy)
        # inside is where the cross product is positive: left of an edge that runs down
        slack = np.where(dy < 0, np.float32(-2e-3), -far), np.where(dy > 0, np.float32(2e-3), far)
        edges += [slope, x[i] - slope * y[i], *slack]
    table = np.take(np.stack(edges), owner, axis=1)
    for k in (0, 4, 8):
        crossing = table[k] * level
        crossing += table[k + 1]
        np.maximum(low, crossing + table[k + 2], out=low)
        np.minimum(high, crossing + table[k + 3], out=high)
    first = np.ceil(low).astype(np.int32)
    count = np.maximum(np.floor(high).astype(np.int32) - first + 1, 0)
    span, column = _runs(first, count)
    owner, line = owner[span], line[span]
    return owner, line * width + column, column - x[0][owner], line - y[0][owner]
