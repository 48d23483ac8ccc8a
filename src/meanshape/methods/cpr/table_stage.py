"""Base of fern and tree stages: pixel differences select one row of each table, and the rows are summed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Points
from meanshape.core.image import Pixels
from meanshape.methods.cpr.pixel_pool import Float, Pool


@dataclass(slots=True)
class TableStage:
    """T tables addressed by pixel differences.

    Attributes
    ----------
    pairs : (T, n, 2), indices of pixels of the pool
    thresholds : (T, n), grey levels
    tables : (T, rows, q), updates in coordinates along the basis
    basis : (q, 2 K), frame pixels
    """

    pool: Pool
    margin: int
    pairs: NDArray[np.int64]
    thresholds: NDArray[np.int16]
    tables: Float
    basis: Float

    stored: ClassVar[str]
    """Name of the tables in a file."""

    @abstractmethod
    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the row (T,) of each table that the pool's grey levels (P,) select."""

    def prepare(self, frame: Pixels) -> Pixels:
        """Return the frame itself; grey levels need no preparation."""
        return frame

    def __call__(self, frame: Pixels, shape: Points) -> Points:
        """Return the points (K, 2), in frame pixels without the margin, after this stage."""
        rows = self.rows(self.pool.values(frame, shape, self.margin))
        return np.asarray(shape + self.move(rows).reshape(shape.shape))

    def move(self, rows: NDArray[np.int64]) -> Float:
        """Return the update of the points (2 K,) for rows (T,)."""
        moves: Float = self.tables[np.arange(len(rows)), rows].sum(0) @ self.basis
        return moves

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        return {
            **self.pool.arrays(),
            "pairs": self.pairs.astype(np.int16),
            "thresholds": self.thresholds,
            self.stored: self.tables.astype(np.float16),
            "basis": self.basis.astype(np.float16),
        }

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], settings: Any) -> Self:
        """Return the stage from its stored arrays."""
        tables, basis = arrays[cls.stored].astype(np.float32), arrays["basis"].astype(np.float32)
        pairs = arrays["pairs"].astype(np.int64)
        return cls(Pool.read(arrays), settings.margin(), pairs, arrays["thresholds"], tables, basis)
