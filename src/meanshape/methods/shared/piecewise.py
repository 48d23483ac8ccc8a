"""The piecewise affine warp: a mesh on the mean shape carries every pixel along with the points.

Within a triangle a pixel is a fixed mixture of its three corners, so the whole warp is one matrix:
pixels = weights @ points. A ring of further corners, the hull pushed outwards from the centre, brings in what
lies just outside the shape; it too is a mixture of the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ShapeError

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PiecewiseAffine:
    """The warp of a mesh.

    Attributes
    ----------
    mean : (K, 2), the points in the frame where textures are compared
    corners : (V, K), the mesh's corners as mixtures of the points; the first K are the points
    triangles : (T, 3), indices of corners
    pixels : (P, 2), where the texture is sampled on the mean shape
    weights : (P, K), each of them as a mixture of the points
    """

    mean: Float
    corners: Float
    triangles: NDArray[np.int64]
    pixels: Float
    weights: Float

    @classmethod
    def over(cls, mean: Float, stride: float = 1.0, margin: float = 0.0) -> Self:
        """Return the warp of the mesh over a mean shape (K, 2).

        Parameters
        ----------
        stride : distance of the sampled pixels
        margin : how far the ring lies outside the hull, as a share of the distance from the centre
        """
        from scipy.spatial import Delaunay, QhullError

        count = len(mean)
        corners = np.eye(count)
        try:
            if margin > 0:
                hull = np.unique(Delaunay(mean).convex_hull)
                ring = (1 + margin) * np.eye(count)[hull] - margin / count
                corners = np.concatenate([corners, ring])
            mesh = Delaunay(corners @ mean)
        except (QhullError, ValueError) as error:
            raise ShapeError("a mesh needs three points or more that are not on a line") from error
        pixels = _grid(corners @ mean, stride)
        inside = mesh.find_simplex(pixels)
        pixels, inside = pixels[inside >= 0], inside[inside >= 0]
        part = mesh.transform[inside]
        two = np.einsum("pij,pj->pi", part[:, :2], pixels - part[:, 2])
        mixture = np.zeros((len(pixels), len(corners)))
        rows = np.arange(len(pixels))[:, None]
        mixture[rows, mesh.simplices[inside]] = np.column_stack([two, 1 - two.sum(1)])
        triangles = mesh.simplices.astype(np.int64)
        return cls(np.asarray(mean, np.float64), corners, triangles, pixels, mixture @ corners)

    def places(self, points: Float) -> Float:
        """Return where the pixels lie (P, 2) when the points lie at `points` (K, 2)."""
        placed: Float = self.weights @ points
        return placed

    def stretch(self, points: Float) -> Float:
        """Return how the warp to `points` turns and stretches about each point, (K, 2, 2).

        It is the mean of the triangles that meet there.
        """
        there = (self.corners @ points)[self.triangles]
        edges = there[:, 1:] - there[:, :1]
        linear = np.einsum("tij,tik->tjk", edges, self._inverse_edges())
        summed = np.zeros((len(self.corners), 2, 2))
        np.add.at(summed, self.triangles, linear[:, None])
        met = np.bincount(self.triangles.ravel(), minlength=len(self.corners))
        mean: Float = (summed / np.maximum(met, 1)[:, None, None])[: len(self.mean)]
        return mean

    def _inverse_edges(self) -> Float:
        """Return, by triangle, the transposed inverse of its edges on the mean shape (T, 2, 2)."""
        here = (self.corners @ self.mean)[self.triangles]
        return np.asarray(np.linalg.inv(here[:, 1:] - here[:, :1]).transpose(0, 2, 1), np.float64)


def _grid(points: Float, stride: float) -> Float:
    """Return a grid of points over the bounding box, symmetric about its middle."""
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, np.floor((high - low) / 2 / stride) * stride
    x, y = (np.arange(-h, h + stride / 2, stride) for h in half)
    return np.asarray(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2) + middle)
