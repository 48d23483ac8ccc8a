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


def localisation_loss(logits: Tensor, points: Tensor, size: int) -> Tensor:
    """Cross entropy of maps (N, K, H, W) over where points (N, K, 2) of a size x size frame lie.

    The target is shared by the four cells around a point, as bilinear interpolation would. Points outside
    the frame and NaN cost nothing.
    """
    height, width = logits.shape[-2:]
    scale = torch.tensor([width / size, height / size], dtype=points.dtype)
    cells = (points + 0.5) * scale - 0.5
    inside = ((cells > -0.5) & (cells < torch.tensor([width - 0.5, height - 0.5]))).all(-1)
    cells = torch.where(inside[..., None], cells, 0.0)
    cells = torch.minimum(cells.clamp(min=0), torch.tensor([width - 1.001, height - 1.001]))
    corner = cells.floor()
    share, corner = cells - corner, corner.long()
    log = torch.log_softmax(logits.flatten(2).float(), -1)
    total = torch.zeros_like(cells[..., 0])
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (share[..., 0] if dx else 1 - share[..., 0]) * (
                share[..., 1] if dy else 1 - share[..., 1]
            )
            place = (corner[..., 1] + dy) * width + corner[..., 0] + dx
            total = total - weight * log.gather(2, place[..., None])[..., 0]
    return masked_mean(total, inside)


LOSSES = {"point": point_loss, "wing": wing_loss, "squared": squared_loss}
