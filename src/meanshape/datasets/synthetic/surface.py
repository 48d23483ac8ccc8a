"""Pixels of one mesh as a list: where each lies on the mesh's grid, and what lies there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.atlas import PACKS, TEXELS, noise, packs, unrolled

_WIDE = 256  # cv2.remap wants its places as a picture, of less than 32768 rows


@dataclass(frozen=True, slots=True)
class Spots:
    """N pixels of a mesh: grid column and row of each, (N,) rounded up to whole lines of 256."""

    column: Floats
    row: Floats
    count: int

    @classmethod
    def at(cls, column: Floats, row: Floats) -> Spots:
        """Take places (N,) on a grid."""
        count = len(column)
        lines = -(-count // _WIDE)
        padded = np.zeros((2, lines * _WIDE), np.float32)
        padded[0, :count], padded[1, :count] = column, row
        return cls(padded[0].reshape(lines, _WIDE), padded[1].reshape(lines, _WIDE), count)

    def of(self, grid: Floats | NDArray[np.uint8], scale: float = 1.0) -> Floats:
        """Values (k, N), or (N,), of a picture (R, C[, k]) that lies over the grid, `scale` pixels a cell."""
        x, y = (self.column, self.row) if scale == 1 else (self.column * f32(scale), self.row * f32(scale))
        found = np.asarray(cv2.remap(grid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        if found.ndim == 2:
            return f32(found.reshape(-1)[: self.count])
        return np.ascontiguousarray(found.reshape(-1, found.shape[-1])[: self.count].T, np.float32)

    def unrolled(self) -> Floats:
        """Places (2, lines, 256) mm on the unrolled head, of a head's pixels."""
        found = cv2.remap(
            unrolled(), self.column, self.row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.ascontiguousarray(np.moveaxis(np.asarray(found), -1, 0), np.float32)

    def masks(self) -> dict[str, Floats]:
        """The atlas' masks (N,), 0..1."""
        result: dict[str, Floats] = {}
        for names, picture in zip(PACKS, packs(), strict=True):
            values = self.of(picture, TEXELS) * np.float32(1 / 255)
            result |= dict(zip(names, values, strict=True))
        return result

    def grain(
        self, kind: str, seed: int, across: float, along: float, places: Floats | None = None
    ) -> Floats:
        """Noise (N,) that sticks to the surface, elsewhere for each seed.

        `across`, `along`: pixels of noise a cell of the grid, or a unit of `places` (2, lines, 256).
        """
        column, row = (self.column, self.row) if places is None else places
        x = column * np.float32(across) + np.float32(seed % 509)
        y = row * np.float32(along) + np.float32(seed // 509 % 503)
        found = cv2.remap(noise(kind), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return f32(np.asarray(found).reshape(-1)[: self.count])


def normals(vertices: Floats) -> Floats:
    """Outward unit normals (R, C, 3) of a grid."""
    v = [np.ascontiguousarray(vertices[..., k]) for k in range(3)]
    across, down = [_slope(a.T).T for a in v], [_slope(a) for a in v]
    n = [across[i] * down[j] - across[j] * down[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + np.float32(1e-9)
    return np.stack([a / length for a in n], -1)


def _slope(values: Floats) -> Floats:
    """Differences along the first axis, central inside."""
    out = np.empty_like(values)
    np.subtract(values[2:], values[:-2], out=out[1:-1])
    out[0], out[-1] = values[1] - values[0], values[-1] - values[-2]
    return out


def unit(vectors: Floats) -> Floats:
    """Vectors (3, N) or (3,) of length one."""
    length = np.sqrt(vectors[0] ** 2 + vectors[1] ** 2 + vectors[2] ** 2 + np.float32(1e-9))
    return f32(vectors / length)


def mix(colour: Floats, other: Floats, share: Floats) -> None:
    """Move colours (3, N) toward others, (3, N) or (3, 1), in place."""
    for k in range(3):
        colour[k] += (other[k] - colour[k]) * share
