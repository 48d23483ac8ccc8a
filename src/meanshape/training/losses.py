"""Losses on points. All in float32; NaN in the target means not annotated and costs nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def point_distances(predicted: Tensor, target: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (N, K) over the normaliser (N,), and the mask (N, K) of annotated points."""
    known = ~torch.isnan(target).any(-1)
    offset = torch.where(known[..., None], predicted - target, 0.0)
    return torch.sqrt((offset * offset).sum(-1) + 1e-12) / norm[:, None], known


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean over known points of each sample, then over samples that have any."""
    per_sample = (values * known).sum(1) / known.sum(1).clamp(min=1)
    return per_sample.sum() / known.any(1).sum().clamp(min=1)


def point_loss(distances: Tensor) -> Tensor:
    """The DAN paper's loss: the error itself."""
    return distances


def wing_loss(distances: Tensor, width: float = 0.10, curvature: float = 0.02) -> Tensor:
    """Wing loss (Feng 2018) of the point distance: logarithmic near zero, linear beyond ``width``."""
    offset = width - width * math.log(1 + width / curvature)
    return torch.where(distances < width, width * torch.log1p(distances / curvature), distances - offset)


def squared_loss(distances: Tensor) -> Tensor:
    """Half the squared distance."""
    return 0.5 * distances * distances


LOSSES = {"point": point_loss, "wing": wing_loss, "squared": squared_loss}
