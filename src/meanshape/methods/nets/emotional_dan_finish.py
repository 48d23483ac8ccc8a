"""What is settled after the joint stage has learnt, in seconds: a head that reads the shape, and its weight.

The shape alone tells much of an expression, and a small net learns that in no time; the joint stage reads it
off a heatmap only slowly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.nets.emotional_dan import EmotionalDAN
from meanshape.methods.nets.emotional_dan_data import EmotionBank

EPOCHS, BATCH, RATE = 30, 256, 1e-3
SMOOTHING = 0.1
WEIGHTS = tuple(step / 10 for step in range(13))
SPREADS = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)  # temperatures to try with each weight


def learn_shape_head(module: EmotionalDAN, bank: EmotionBank, seed: int) -> None:
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


def weigh_shape_head(module: EmotionalDAN, joint: Tensor, bank: EmotionBank) -> float:
    """Scale the shape head to the weight at which it adds most to the joint stage's logits (N, L) of a bank's
    faces; return that weight.
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
