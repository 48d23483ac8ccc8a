"""Evaluate the trained joint stage, and fit the damping of its updates, the shape head and the temperature.

The shape alone tells much about an expression; a small network learns that at once, while the joint stage
learns it from a heatmap only slowly.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.dan.network import prepared
from meanshape.methods.emotional_dan.network import EmotionalDANNet
from meanshape.methods.emotional_dan.training.data import EmotionBank
from meanshape.training.losses import masked_mean, point_distances
from meanshape.training.sampling import CropSampler

EPOCHS, BATCH, RATE = 30, 256, 1e-3
SMOOTHING = 0.1
WEIGHTS = tuple(step / 10 for step in range(13))
SPREADS = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)  # temperatures to try with each weight


def fit_point_damping(module: EmotionalDANNet, sampler: CropSampler) -> float:
    """Set and return the factor (0 to 1) of the points' updates that minimises the validation error.

    With few training faces the last stage's updates are noisy; the paper has no such step.
    """
    before, after, truth, norm = [], [], [], []
    module.trust.fill_(1)
    with torch.no_grad():
        for start in range(0, len(sampler.bank), 50):
            batch = sampler.plain(start, min(50, len(sampler.bank) - start))
            shapes = module(torch.from_numpy(batch["image"]))
            before.append(shapes[-3])
            after.append(shapes[-2])
            truth.append(torch.from_numpy(batch["points"]))
            norm.append(torch.from_numpy(batch["norm"]))
        first, last = torch.cat(before), torch.cat(after)
        factors = [step / 20 for step in range(21)]
        errors = []
        for factor in factors:
            distances, known = point_distances(
                first + factor * (last - first), torch.cat(truth), torch.cat(norm)
            )
            errors.append(float(masked_mean(distances, known)))
    best = factors[int(np.argmin(errors))]
    module.trust.fill_(best)
    return best


def train_shape_head(module: EmotionalDANNet, bank: EmotionBank, seed: int) -> None:
    """Train the shape head alone, on the shapes of labelled faces and their mirror images."""
    torch.manual_seed(seed)
    head = module.shape_head
    head.reset()
    head.requires_grad_(True).train()
    placed = torch.from_numpy(bank.placed)
    mirrored = placed[:, list(bank.mirror)] * torch.tensor([-1.0, 1.0]) + torch.tensor([bank.size - 1.0, 0.0])
    seen = module.offsets(torch.cat([placed, mirrored]))
    target = torch.from_numpy(np.concatenate([bank.labels, bank.labels]))
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.01)
    for epoch in range(EPOCHS):
        optimiser.param_groups[0]["lr"] = RATE * (1 - epoch / EPOCHS)
        for rows in torch.split(torch.randperm(len(seen))[: len(bank)], BATCH):
            loss = functional.cross_entropy(head(seen[rows]), target[rows], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    head.requires_grad_(False).eval()


def fit_shape_head_weight(module: EmotionalDANNet, joint: Tensor, bank: EmotionBank) -> float:
    """Scale the shape head by the weight that minimises the cross entropy together with the joint stage.

    ``joint`` are the joint stage's logits (N, L) of the bank's faces. Returns the weight.
    """
    truth = torch.from_numpy(bank.labels)
    with torch.no_grad():
        shape = module.shape_head(module.offsets(torch.from_numpy(bank.placed)))
        costs = [
            min(float(functional.cross_entropy((joint + w * shape) / t, truth)) for t in SPREADS)
            for w in WEIGHTS
        ]
        best = WEIGHTS[int(np.argmin(costs))]
        last = module.shape_head.last
        assert isinstance(last, nn.Linear)
        last.weight.mul_(best)
        last.bias.mul_(best)
    return best


def emotion_logits(module: EmotionalDANNet, bank: EmotionBank, flip: bool = False) -> Tensor:
    """Return the logits (N, L) of a bank's faces, or of their mirror images."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(bank), 128):
            face, placed = (torch.from_numpy(array) for array in bank.plain(start, 128, flip))
            logits = module.answer(module.with_heatmap(prepared(face), placed))[1]
            parts.append(logits + module.shape_head(module.offsets(placed)))
    return torch.cat(parts)


def emotion_figures(logits: Tensor, labels: NDArray[np.int64]) -> dict[str, float]:
    """Return the accuracy and the balanced accuracy (mean recall), percent."""
    right = (logits.argmax(1).numpy() == labels).astype(np.float64)
    classes = [right[labels == label].mean() for label in np.unique(labels)]
    return {"accuracy": 100 * float(right.mean()), "balanced": 100 * float(np.mean(classes))}


def logit_adjustment(labels: NDArray[np.int64], classes: int, strength: float) -> Tensor:
    """Return the logit adjustment (L,): -strength log(class frequency) (Menon et al. 2021)."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return -strength * torch.from_numpy(np.log(counts / counts.sum())).float()


def best_temperature(logits: Tensor, labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimises the cross entropy (Guo et al. 2017)."""
    truth = torch.from_numpy(labels)
    options = torch.exp(torch.linspace(-1.5, 1.5, 301))
    costs = [float(functional.cross_entropy(logits / t, truth)) for t in options]
    return float(options[int(np.argmin(costs))])
