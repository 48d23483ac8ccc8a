"""Train TCNN's heads in parallel: fine-tuning by gradient descent, then FC6 in closed form.

After each of the two, every head is interpolated towards its previous weights as far as validation asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meanshape.methods.tcdcn.network import FaceCrops
from meanshape.methods.tcnn.network import Heads, placed
from meanshape.methods.tcnn.training.clusters import Views
from meanshape.training.losses import LOSSES, masked_mean, point_distances

if TYPE_CHECKING:
    from meanshape.methods.tcnn.config import Config

INTERPOLATIONS = (0.25, 0.5, 0.75, 1.0)
"""Candidate interpolations from the previous weights (0) to the new ones (1)."""
ROUNDS = 3
"""Rounds of iteratively reweighted least squares."""
MIN_DISTANCE = 0.02
"""Added to distances in the reweighting, as a share of the eye distance."""

RATE = 3e-4
Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


def train_heads(
    config: Config,
    face_crops: FaceCrops,
    heads: Heads,
    head: Whole,
    views: Views,
    validation: Views,
    seed: int,
) -> Floats:
    """Train all heads but the first; `head` (K,) is the head of each cluster.

    Returns the interpolations (2, H - 1) chosen after fine-tuning and after the closed-form FC6.
    """
    before = copy_parameters(heads)
    fine_tune(config, face_crops, heads, head, views, seed)
    shares = [interpolate_to_validation(face_crops, heads, head, validation, before)]
    before = copy_parameters(heads)
    if config.pull:
        solve_fc6(config.pull, face_crops, heads, head, views)
    shares.append(interpolate_to_validation(face_crops, heads, head, validation, before))
    return np.stack(shares)


def copy_parameters(heads: Heads) -> list[Tensor]:
    """Return copies of all parameters."""
    return [parameter.detach().clone() for parameter in heads.parameters()]


def fine_tune(
    config: Config, face_crops: FaceCrops, heads: Heads, head: Whole, views: Views, seed: int
) -> None:
    """Train all heads but the first in parallel, each on the views of its clusters."""
    rng = np.random.default_rng((seed, 10))
    rows = [np.flatnonzero(head[views.cluster] == h) for h in range(1, len(heads.w5))]
    features, points, norm = (torch.from_numpy(a) for a in (views.features, views.points, views.norm))
    optimiser = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    for step in range(1, config.tweak_steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / config.tweak_steps))
        chosen = torch.from_numpy(np.stack([rng.choice(r, config.tweak_batch) for r in rows]))
        flat = chosen.flatten()
        own = torch.cat([features[chosen[:1]], features[chosen]])  # head 0 stays as it is
        answers = heads.grouped(own)[1:].flatten(0, 1)
        distances, known = point_distances(placed(face_crops, answers), points[flat], norm[flat])
        loss = masked_mean(LOSSES[config.loss](distances), known) * len(rows)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for parameter in heads.parameters():
            assert parameter.grad is not None
            parameter.grad[0] = 0
        optimiser.step()


def solve_fc6(pull: float, face_crops: FaceCrops, heads: Heads, head: Whole, views: Views) -> None:
    """Solve each head's FC6 on its views by iteratively reweighted least squares on the outputs of FC5.

    The reweighting minimises distances instead of their squares. `pull` is the ridge penalty towards the
    current FC6, in views.
    """
    goal = (torch.from_numpy(views.points) - face_crops.target()) / (face_crops.size / 10)
    norm, features = torch.from_numpy(views.norm), torch.from_numpy(views.features)
    for h in range(1, len(heads.w5)):
        rows = torch.from_numpy(np.flatnonzero(head[views.cluster] == h))
        with torch.no_grad():
            hidden = heads.activation(features[rows] @ heads.w5[h] + heads.b5[h])
            inputs = torch.cat([hidden, torch.ones(len(rows), 1)], 1)
            size = inputs.square().mean(0).sqrt() + 1e-3
            inputs /= size
            weights = torch.cat([heads.w6[h], heads.b6[h]]) * size[:, None]
            weights = robust_ridge(inputs, goal[rows], norm[rows] / (face_crops.size / 10), weights, pull)
            weights /= size[:, None]
            heads.w6[h], heads.b6[h] = weights[:-1], weights[-1:]


def robust_ridge(inputs: Tensor, goal: Tensor, norm: Tensor, start: Tensor, pull: float) -> Tensor:
    """Return the linear map (D, 2 K) from inputs (N, D) to points (N, K, 2), missing ones NaN.

    It minimises the mean distance over the normaliser (N,), with a ridge penalty towards `start`.
    """
    now, eye = start.clone(), pull * torch.eye(len(start))
    for _ in range(ROUNDS):
        residual = goal - (inputs @ now).reshape(goal.shape)
        known = torch.isfinite(residual).all(2)
        residual = torch.where(known[..., None], residual, 0.0)
        weight = known / norm[:, None] ** 2 / (residual.norm(dim=2) / norm[:, None] + MIN_DISTANCE)
        weight /= weight.mean().clamp(min=1e-9)
        for point in range(goal.shape[1]):
            columns = slice(2 * point, 2 * point + 2)
            weighed = inputs * weight[:, point, None]
            side = weighed.T @ (residual[:, point] + inputs @ now[:, columns]) + pull * start[:, columns]
            now[:, columns] = torch.linalg.solve(weighed.T @ inputs + eye, side)
    return now


def interpolate_to_validation(
    face_crops: FaceCrops, heads: Heads, head: Whole, validation: Views, before: Sequence[Tensor]
) -> Floats:
    """Interpolate every head between its previous and its new weights, by the error on held-out faces.

    It stands in for early stopping: clusters have few faces, and part of an update generalises better than
    all of it. One of `INTERPOLATIONS` is chosen for all clusters together; heads that it does not improve
    keep their previous weights. Returns the interpolation (H - 1,) of each; 1 without held-out faces.
    """
    if not len(validation):
        return np.ones(len(heads.w5) - 1)
    tuned = copy_parameters(heads)

    def apply_shares(shares: Floats) -> None:
        part = torch.from_numpy(shares).float()[:, None, None]
        with torch.no_grad():
            for parameter, start, new in zip(heads.parameters(), before, tuned, strict=True):
                parameter.copy_(torch.lerp(start, new, part))

    which, count = head[validation.cluster], len(heads.w5)
    apply_shares(np.zeros(count))
    errors = view_errors(face_crops, heads, head, validation)
    best, chosen = 0.0, np.zeros(count)
    for share in INTERPOLATIONS:
        apply_shares(np.full(count, share))
        gain = np.bincount(which, errors - view_errors(face_crops, heads, head, validation), minlength=count)
        gain[0] = 0.0  # of the vanilla head
        if gain.sum() > best:
            best, chosen = gain.sum(), np.where(gain > 0, share, 0.0)
    apply_shares(chosen)
    return chosen[1:]


def view_errors(face_crops: FaceCrops, heads: Heads, head: Whole, views: Views) -> Floats:
    """Return the error (N,) of each view over its inter-pupil distance, by the head of its cluster."""
    which, answers = head[views.cluster], torch.zeros(len(views), heads.w6.shape[2])
    with torch.no_grad():
        for h in np.unique(which):
            rows = torch.from_numpy(np.flatnonzero(which == h))
            answers[rows] = heads.alone(torch.from_numpy(views.features)[rows], int(h))
        points, norm = torch.from_numpy(views.points), torch.from_numpy(views.norm)
        distances, known = point_distances(placed(face_crops, answers), points, norm)
        errors = (distances * known).sum(1) / known.sum(1).clamp(min=1)
    return np.asarray(errors.double().numpy())
