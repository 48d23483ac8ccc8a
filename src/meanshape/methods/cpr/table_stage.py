"""What stages of ferns and of trees share: pixel differences lead to rows of tables, and these add up."""

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
    """Pairs of pixels (T, n, 2), thresholds (T, n), tables (T, rows, q), what their numbers mean (q, 2 K)."""

    pool: Pool
    margin: int
    pairs: NDArray[np.int64]
    thresholds: NDArray[np.int16]
    tables: Float
    basis: Float

    stored: ClassVar[str]
    """What the tables are called in a file."""

    @abstractmethod
    def rows(self, grey: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the row (T,) of each table that the grey levels (P,) of the pool lead to."""

    def see(self, frame: Pixels) -> Pixels:
        """Return what the stage looks at: the frame."""
        return frame

    def __call__(self, frame: Pixels, shape: Points) -> Points:
        """Return the points (K, 2), in frame pixels without the margin, after this stage."""
        rows = self.rows(self.pool.values(frame, shape, self.margin))
        return np.asarray(shape + self.move(rows).reshape(shape.shape))

    def move(self, rows: NDArray[np.int64]) -> Float:
        """Return how far the rows (T,) move the points (2 K,)."""
        moves: Float = self.tables[np.arange(len(rows)), rows].sum(0) @ self.basis
        return moves

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is stored."""
        return {
            **self.pool.arrays(),
            "pairs": self.pairs.astype(np.int16),
            "thresholds": self.thresholds,
            self.stored: self.tables.astype(np.float16),
            "basis": self.basis.astype(np.float16),
        }

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], settings: Any) -> Self:
        """Return the stage that was stored."""
        tables, basis = arrays[cls.stored].astype(np.float32), arrays["basis"].astype(np.float32)
        pairs = arrays["pairs"].astype(np.int64)
        return cls(Pool.read(arrays), settings.margin(), pairs, arrays["thresholds"], tables, basis)
