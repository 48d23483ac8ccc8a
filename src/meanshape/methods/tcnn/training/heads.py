"""How the heads of a tweaked network learn, side by side: by gradients, then FC6 in closed form.

Either time a head keeps what faces set aside agree to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meanshape.methods.tcdcn.network import Looking
from meanshape.methods.tcnn.network import Heads, placed
from meanshape.methods.tcnn.training.clusters import Views
from meanshape.training.losses import LOSSES, masked_mean, point_distances

if TYPE_CHECKING:
    from meanshape.methods.tcnn.config import Config

SHARES = (0.25, 0.5, 0.75, 1.0)
"""How much of what it learnt a head may keep."""
ROUNDS = 3
"""Of least squares, each weighed by what the one before left."""
CLOSE = 0.02
"""Of the eye distance: points this close weigh no more for being closer."""

RATE = 3e-4
Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


def learn(
    config: Config, looking: Looking, heads: Heads, head: Whole, views: Views, stop: Views, seed: int
) -> Floats:
    """Let all heads but the first learn; `head` says which head each cluster has.

    Returns the shares (2, H - 1) that each kept of its way by gradients, and then of FC6's to the best.
    """
    before = state(heads)
    fine_tune(config, looking, heads, head, views, seed)
    shares = [hold_back(looking, heads, head, stop, before)]
    before = state(heads)
    if config.pull:
        settle(config.pull, looking, heads, head, views)
    shares.append(hold_back(looking, heads, head, stop, before))
    return np.stack(shares)


def state(heads: Heads) -> list[Tensor]:
    """Copies of all parameters."""
    return [parameter.detach().clone() for parameter in heads.parameters()]


def fine_tune(config: Config, looking: Looking, heads: Heads, head: Whole, views: Views, seed: int) -> None:
    """Train all heads but the first side by side, each on the views of its clusters."""
    rng = np.random.default_rng((seed, 10))
    rows = [np.flatnonzero(head[views.cluster] == h) for h in range(1, len(heads.w5))]
    features, points, norm = (torch.from_numpy(a) for a in (views.features, views.points, views.norm))
    optimiser = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    for step in range(1, config.tweak_steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / config.tweak_steps))
        chosen = torch.from_numpy(np.stack([rng.choice(r, config.tweak_batch) for r in rows]))
        flat = chosen.flatten()
        own = torch.cat([features[chosen[:1]], features[chosen]])  # head 0 learns nothing
        answers = heads.grouped(own)[1:].flatten(0, 1)
        distances, known = point_distances(placed(looking, answers), points[flat], norm[flat])
        loss = masked_mean(LOSSES[config.loss](distances), known) * len(rows)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for parameter in heads.parameters():
            assert parameter.grad is not None
            parameter.grad[0] = 0
        optimiser.step()


def settle(pull: float, looking: Looking, heads: Heads, head: Whole, views: Views) -> None:
    """Give each head the FC6 that is best for its views, by least squares on what its FC5 says to them.

    Reweighted, so that it is the distances that become small, not their squares. `pull` holds FC6 where it
    is, as so many views would.
    """
    goal = (torch.from_numpy(views.points) - looking.target()) / (looking.size / 10)
    norm, features = torch.from_numpy(views.norm), torch.from_numpy(views.features)
    for h in range(1, len(heads.w5)):
        rows = torch.from_numpy(np.flatnonzero(head[views.cluster] == h))
        with torch.no_grad():
            hidden = heads.activation(features[rows] @ heads.w5[h] + heads.b5[h])
            inputs = torch.cat([hidden, torch.ones(len(rows), 1)], 1)
            size = inputs.square().mean(0).sqrt() + 1e-3
            inputs /= size
            weights = torch.cat([heads.w6[h], heads.b6[h]]) * size[:, None]
            weights = best_linear(inputs, goal[rows], norm[rows] / (looking.size / 10), weights, pull)
            weights /= size[:, None]
            heads.w6[h], heads.b6[h] = weights[:-1], weights[-1:]


def best_linear(inputs: Tensor, goal: Tensor, norm: Tensor, start: Tensor, pull: float) -> Tensor:
    """The map (D, 2 K) from inputs (N, D) to points (N, K, 2), missing ones NaN, near that to start from.

    What becomes small is the mean distance over the normaliser (N,).
    """
    now, eye = start.clone(), pull * torch.eye(len(start))
    for _ in range(ROUNDS):
        left = goal - (inputs @ now).reshape(goal.shape)
        known = torch.isfinite(left).all(2)
        left = torch.where(known[..., None], left, 0.0)
        weight = known / norm[:, None] ** 2 / (left.norm(dim=2) / norm[:, None] + CLOSE)
        weight /= weight.mean().clamp(min=1e-9)
        for point in range(goal.shape[1]):
            columns = slice(2 * point, 2 * point + 2)
            weighed = inputs * weight[:, point, None]
            side = weighed.T @ (left[:, point] + inputs @ now[:, columns]) + pull * start[:, columns]
            now[:, columns] = torch.linalg.solve(weighed.T @ inputs + eye, side)
    return now


def hold_back(looking: Looking, heads: Heads, head: Whole, stop: Views, before: Sequence[Tensor]) -> Floats:
    """Let every head keep the share of its way from what it was before that is best on faces set aside.

    It stands for stopping early: a cluster has few faces, and half of what its head learnt from them serves
    others better than all of it. One of `SHARES` is best for all clusters together; a head that is no better
    there than before stays. Returns the share (H - 1,) of each: 1 if nothing is set aside.
    """
    if not len(stop):
        return np.ones(len(heads.w5) - 1)
    tuned = state(heads)

    def go(shares: Floats) -> None:
        part = torch.from_numpy(shares).float()[:, None, None]
        with torch.no_grad():
            for parameter, near, far in zip(heads.parameters(), before, tuned, strict=True):
                parameter.copy_(torch.lerp(near, far, part))

    which, count = head[stop.cluster], len(heads.w5)
    go(np.zeros(count))
    errors = view_errors(looking, heads, head, stop)
    best, chosen = 0.0, np.zeros(count)
    for share in SHARES:
        go(np.full(count, share))
        gain = np.bincount(which, errors - view_errors(looking, heads, head, stop), minlength=count)
        gain[0] = 0.0  # the vanilla one's own
        if gain.sum() > best:
            best, chosen = gain.sum(), np.where(gain > 0, share, 0.0)
    go(chosen)
    return chosen[1:]


def view_errors(looking: Looking, heads: Heads, head: Whole, views: Views) -> Floats:
    """Error (N,) of each view over its inter-pupil distance, by the head of its cluster."""
    which, answers = head[views.cluster], torch.zeros(len(views), heads.w6.shape[2])
    with torch.no_grad():
        for h in np.unique(which):
            rows = torch.from_numpy(np.flatnonzero(which == h))
            answers[rows] = heads.alone(torch.from_numpy(views.features)[rows], int(h))
        points, norm = torch.from_numpy(views.points), torch.from_numpy(views.norm)
        distances, known = point_distances(placed(looking, answers), points, norm)
        errors = (distances * known).sum(1) / known.sum(1).clamp(min=1)
    return np.asarray(errors.double().numpy())
