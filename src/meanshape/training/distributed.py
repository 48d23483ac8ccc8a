"""Training over several processes that `torchrun` started: each learns from its batches, all end up alike.

    torchrun --nproc-per-node 2 -m meanshape train dan --data … --out runs/dan

Gradients are averaged by DistributedDataParallel (gloo between processors, nccl between graphics cards). So N
processes do what one would with batches N times as large; rank r takes every N-th batch, from the r-th. Rank
0 writes, and says what time it is: the rates of a schedule by minutes are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from meanshape.training.run_folder import place

LossOf = Callable[[nn.Module, dict[str, Tensor]], Tensor]


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def batch(self, step: int) -> int:
        """Return the number of the batch that this process takes in a step."""
        return step * self.size + self.rank

    def agreed(self, value: float) -> float:
        """Return rank 0's value."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def alike(self, module: nn.Module) -> None:
        """Give all processes rank 0's buffers: what batch normalisation saw differs between them."""
        if self.size == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for buffer in module.buffers():
            kinds.setdefault(buffer.dtype, []).append(buffer)
        for buffers in kinds.values():  # all of a kind at once: a hundred messages a step take their time
            whole = torch.cat([buffer.flatten() for buffer in buffers])
            dist.broadcast(whole, 0)
            parts = torch.split(whole, [buffer.numel() for buffer in buffers])
            for buffer, part in zip(buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            dist.barrier()


def join() -> World:
    """Return this process's place in what `torchrun` started; alone, if nothing did."""
    if place()[1] == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return World(dist.get_rank(), dist.get_world_size())


class _Loss(nn.Module):
    """A module whose forward pass is the loss, so that DistributedDataParallel can stand around it."""

    def __init__(self, module: nn.Module, loss: LossOf) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch."""
        return self.loss(self.module, batch)


def shared(module: nn.Module, loss: LossOf, world: World) -> Callable[[dict[str, Tensor]], Tensor]:
    """Return the loss as a function of the batch; with others, its gradients are everybody's mean."""
    if world.size == 1:
        return lambda batch: loss(module, batch)
    wrapped: Any = DistributedDataParallel(
        _Loss(module, loss), find_unused_parameters=True, broadcast_buffers=False
    )  # `World.alike` does that
    return lambda batch: wrapped(batch)
