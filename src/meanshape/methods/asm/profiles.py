"""Descriptors around each point, and measures of how well each candidate position fits.

Two descriptors: `Profiles`, the derivative of grey levels along the contour's normal (Cootes et al. 1995),
and `Patches`, gradient histograms of small cells around the point (like Stasm's HAT). Two measures: the
Mahalanobis distance to the descriptors at the point, and the log odds of point against surroundings
(`contrast`): with a shared covariance these are linear in the descriptor (Fisher's discriminant) and cost
one filter. All K points are processed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from meanshape.core.markup import MarkUp
from meanshape.methods.shared.log_odds import Contrast, Moments
from meanshape.methods.shared.oriented import CHANNELS, orientations, sample

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

POOL, AROUND = 1.5, 8.0
"""Standard deviations of the orientations' smoothing and of their normalisation, pixels of the frame."""


class Reader(Protocol):
    """Reads descriptors at S candidate positions around each of K points."""

    @property
    def size(self) -> int:
        """D, the length of a descriptor."""

    def prepare(self, light: NDArray[np.uint8]) -> Float32:
        """Return the feature maps of a grey frame, from which descriptors are read."""

    def offsets(self, points: Float) -> Float:
        """Return the candidate offsets (K, S, 2), or (1, S, 2) if they are the same for all points."""

    def read(self, picture: Float32, points: Float) -> Float32:
        """Return the sampled values around each point, from which all its descriptors are cut."""

    def windows(self, values: Float32) -> Float32:
        """Return the descriptors (K, S, D)."""

    def filtered(self, values: Float32, filters: Float32) -> Float32:
        """Return windows(values) · filters (K, D), as (K, S)."""


@dataclass(frozen=True)
class Patches:
    """Descriptors of cells x cells orientation histograms.

    Cells lie `apart` steps from each other, the places x places candidates one step; a step is in pixels.
    """

    places: int = 11
    cells: int = 4
    apart: int = 3
    step: float = 1.5

    built_in: ClassVar[Mapping[str, Any]] = {"pool": POOL, "around": AROUND}

    @property
    def size(self) -> int:
        """D."""
        return self.cells**2 * CHANNELS

    @property
    def width(self) -> int:
        """The number of steps that all descriptors of a point span."""
        return self.places + self.apart * (self.cells - 1)

    def prepare(self, light: NDArray[np.uint8]) -> Float32:
        """Return the orientations."""
        return orientations(light, POOL, AROUND)

    def offsets(self, points: Float) -> Float:
        """Return the grid of candidate offsets."""
        line = (np.arange(self.places) - (self.places - 1) / 2) * self.step
        return np.stack(np.meshgrid(line, line), -1).reshape(1, -1, 2)

    def read(self, picture: Float32, points: Float) -> Float32:
        """Return the orientations on a grid about each point, (K, W, W, 8)."""
        line = (np.arange(self.width) - (self.width - 1) / 2) * self.step
        shape = (len(points) * self.width, self.width)
        x = np.broadcast_to(points[:, 0, None, None] + line, (len(points), self.width, self.width))
        y = np.broadcast_to((points[:, 1, None] + line)[..., None], x.shape)
        return sample(picture, x.reshape(shape), y.reshape(shape)).reshape(*x.shape, CHANNELS)

    def windows(self, values: Float32) -> Float32:
        """Return the descriptors at all places."""
        values = np.ascontiguousarray(values)
        count, (a, b, c, d) = len(values), values.strides
        shape = (count, self.places, self.places, self.cells, self.cells, CHANNELS)
        cut = as_strided(values, shape, (a, b, c, b * self.apart, c * self.apart, d), writeable=False)
        return np.ascontiguousarray(cut).reshape(count, self.places**2, self.size)

    def filtered(self, values: Float32, filters: Float32) -> Float32:
        """Return the filter responses, summed cell by cell, without building the descriptors."""
        count, width, n = len(values), self.width, self.places
        by_cell = filters.reshape(count, self.cells**2, CHANNELS).transpose(0, 2, 1)
        answers = (values.reshape(count, width * width, CHANNELS) @ by_cell).reshape(count, width, width, -1)
        total = np.zeros((count, n, n), np.float32)
        for cell in range(self.cells**2):
            y, x = (self.apart * i for i in divmod(cell, self.cells))
            total += answers[:, y : y + n, x : x + n, cell]
        return total.reshape(count, -1)


@dataclass(frozen=True)
class Profiles:
    """Profiles of 2 half + 1 derivatives along the contour's normal, at 2 reach + 1 candidate positions.

    Derivatives are a pixel apart and normalised to an absolute sum of 1.
    """

    before: tuple[int, ...]  # by point, its neighbours on the contour
    after: tuple[int, ...]
    half: int = 4
    reach: int = 4

    @property
    def size(self) -> int:
        """D."""
        return 2 * self.half + 1

    def prepare(self, light: NDArray[np.uint8]) -> Float32:
        """Return the grey levels (H, W, 1)."""
        return light.astype(np.float32)[..., None]

    def normals(self, points: Float) -> Float:
        """Return unit normals (K, 2) of the contour through each point's neighbours."""
        along = points[list(self.after)] - points[list(self.before)]
        length = np.hypot(*along.T)[:, None]
        along = np.where(length > 1e-6, along / np.maximum(length, 1e-6), (1.0, 0.0))
        normals: Float = along @ [[0, 1], [-1, 0]]
        return normals

    def offsets(self, points: Float) -> Float:
        """Return the candidate offsets along the normals."""
        line = np.arange(-self.reach, self.reach + 1, dtype=np.float64)
        found: Float = self.normals(points)[:, None] * line[:, None]
        return found

    def read(self, picture: Float32, points: Float) -> Float32:
        """Return the derivative along each normal (K, W)."""
        far = self.half + self.reach + 1
        line = np.arange(-far, far + 1, dtype=np.float64)
        place = points[:, None] + self.normals(points)[:, None] * line[:, None]
        light = sample(picture, place[..., 0], place[..., 1])[..., 0]
        return np.asarray((light[:, 2:] - light[:, :-2]) / 2, np.float32)

    def windows(self, values: Float32) -> Float32:
        """Return the descriptors at all places."""
        cut = sliding_window_view(values, self.size, axis=1)
        return np.asarray(cut / np.maximum(np.abs(cut).sum(-1, keepdims=True), 1.0), np.float32)

    def filtered(self, values: Float32, filters: Float32) -> Float32:
        """Return the filter responses."""
        return np.asarray((self.windows(values) @ filters[..., None])[..., 0], np.float32)


def neighbours(markup: MarkUp) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return each point's neighbours before and after it on the mark-up's contours, else itself."""
    before, after = list(range(len(markup))), list(range(len(markup)))
    for a, b in reversed(markup.edges):
        after[a], before[b] = b, a
    return tuple(before), tuple(after)


@dataclass(frozen=True)
class Mahalanobis:
    """Minus half the squared Mahalanobis distance to the descriptors at the point."""

    mean: Float32  # (K, D)
    whitening: Float32  # (K, D, D); its square is the inverse covariance

    @classmethod
    def train(cls, moments: Moments, ridge: float) -> Self:
        """Fit to descriptors at the points."""
        inverse = np.linalg.inv(moments.covariance(0, ridge))
        whitening = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
        return cls(moments.mean(0).astype(np.float32), whitening.astype(np.float32))

    def score(self, reader: Reader, values: Float32) -> Float:
        """Return the scores (K, S) of each place."""
        white = (reader.windows(values) - self.mean[:, None]) @ self.whitening
        return np.asarray(-(white**2).sum(-1) / 2, np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps."""
        return {"mean": self.mean, "whitening": self.whitening}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what `arrays` describes."""
        return cls(arrays["mean"], arrays["whitening"])


Measure = Contrast | Mahalanobis
MEASURES: dict[str, type[Contrast] | type[Mahalanobis]] = {"contrast": Contrast, "mahalanobis": Mahalanobis}
