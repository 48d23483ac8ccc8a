"""Train one stage: batches of fixed composition, colour augmentation, cosine rate; resumable."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from meanshape.methods.mtcnn.config import Recipe
from meanshape.methods.mtcnn.training.windows import LANDMARK, NEGATIVE, PART, POSITIVE, Samples
from meanshape.training import checked
from meanshape.training.loop import backward, channels_last, of_this_run, read_checkpoint, write_checkpoint

Loss = Callable[..., tuple[Tensor, dict[str, float]]]
RATIO = (3, 1, 1, 2)
"""The paper's: negative : positive : part : landmark."""
MIRROR = [1, 0, 2, 4, 3, 6, 5, 7, 9, 8]  # x1..x5 y1..y5 under left-right


def shares(size: int, ratio: tuple[int, int, int, int] = RATIO) -> dict[int, int]:
    """Return how many windows of each kind a batch holds."""
    kinds = (NEGATIVE, POSITIVE, PART, LANDMARK)
    return {k: max(2, size * r // sum(ratio)) for k, r in zip(kinds, ratio, strict=True)}


def colour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Vary brightness, contrast, gamma, tint, greyness and noise of pixels (N, 3, S, S) in 0..255."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(x), channels, 1, 1, generator=generator)

    def some(share: float) -> Tensor:
        return (torch.rand(len(x), 1, 1, 1, generator=generator) < share).float()

    grey = x.mean(1, keepdim=True)
    x = x + (grey - x) * torch.maximum(some(0.25), uniform(0, 0.5))
    x = x * (1 + some(0.4) * uniform(-0.15, 0.15, 3))
    x = (x - 127) * uniform(0.45, 1.35) + 127 + uniform(-45, 45)
    gamma = torch.exp(uniform(-0.45, 0.45))
    x = 255 * (x.clamp(0.5, 255) / 255) ** gamma
    noise = torch.randn(x.shape, generator=generator)
    return (x + noise * uniform(0, 8) * some(0.4)).clamp(0, 255)


def batch(
    pools: dict[int, Samples], counts: dict[int, int], rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw one batch of so many windows of each kind: pixels, kinds, box offsets, points."""
    picks = [(k, pools[k].take(rng.integers(len(pools[k]), size=n))) for k, n in counts.items()]
    pixels = torch.from_numpy(np.concatenate([p.pixels for _, p in picks])).permute(0, 3, 1, 2).float()
    boxes = torch.from_numpy(np.concatenate([p.boxes for _, p in picks]))
    points = torch.from_numpy(np.concatenate([p.points for _, p in picks]))
    kind = torch.cat([torch.full((len(p),), k) for k, p in picks])
    flip = torch.rand(len(pixels), generator=generator) < 0.5
    pixels[flip] = pixels[flip].flip(-1)
    boxes[flip] = boxes[flip][:, [2, 1, 0, 3]] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    mirrored = points[flip][:, MIRROR]
    mirrored[:, :5] = 1 - mirrored[:, :5]
    points[flip] = mirrored
    return colour(pixels, generator), kind, boxes, points


def keep_memory() -> None:
    """Let the C library keep freed memory (glibc only): fresh pages for every map cost a fifth of a step."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
    mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def train_stage(
    net: nn.Module,
    pools: dict[int, Samples],
    recipe: Recipe,
    loss: Loss,
    *,
    steps: int,
    counts: dict[int, int],
    alpha: tuple[float, float, float],
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train `net` on the pools for `steps` batches; goes on from `checkpoint` if that exists."""
    keep_memory()
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    channels_last(net)
    rules = recipe.rules
    optimiser = torch.optim.AdamW(net.parameters(), lr=rules.rate, weight_decay=rules.decay)
    warm = min(200, steps // 10 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: (
            (s + 1) / warm
            if s < warm
            else 0.5 * (1 + math.cos(math.pi * min(1.0, (s - warm) / max(1, steps - warm)))) + 1e-3
        ),
    )
    first = 0
    if checkpoint is not None and checkpoint.exists():
        first = restore(checkpoint, net, optimiser, schedule)
        rng, generator = np.random.default_rng(seed + first), generator.manual_seed(seed + first)
    net.train()
    seen: dict[str, float] = {}
    begun = time.perf_counter()
    for step in range(first, steps):
        pixels, kind, boxes, points = batch(pools, counts, rng, generator)
        total, parts = loss(
            net(pixels), kind, boxes, points,
            alpha=alpha, keep=recipe.keep, regression=rules.regression, share=rules.share_labels,
        )  # fmt: skip
        optimiser.zero_grad()
        backward(total)
        optimiser.step()
        schedule.step()
        seen = {k: 0.98 * seen.get(k, v) + 0.02 * v for k, v in parts.items()}
        if (step + 1) % 100 == 0 or step + 1 == steps:
            pace = 1e3 * (time.perf_counter() - begun) / (step + 1 - first)
            told = " ".join(f"{k} {v:.4f}" for k, v in seen.items())
            report(f"step {step + 1}/{steps} {told} {pace:.0f} ms/step")
        if checkpoint is not None and ((step + 1) % 250 == 0 or step + 1 == steps):
            save(checkpoint, net, optimiser, schedule, step + 1)
    net.eval()
    return seen


def restore(path: Path, net: nn.Module, optimiser: Any, schedule: Any) -> int:
    """Go on from a checkpoint; return its step."""
    state = read_checkpoint(path)
    with of_this_run(path):
        net.load_state_dict(checked.tensors(state["net"], net.state_dict(), "net"))
        optimiser.load_state_dict(checked.of_optimiser(state["optimiser"], optimiser))
        schedule.load_state_dict(checked.of_schedule(state["schedule"], schedule))
        for group, rate in zip(optimiser.param_groups, schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        return checked.whole(state, "step")


def save(path: Path, net: nn.Module, optimiser: Any, schedule: Any, step: int) -> None:
    """Write a checkpoint, whole or not at all."""
    write_checkpoint(
        path,
        {
            "net": net.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "step": step,
        },
    )
