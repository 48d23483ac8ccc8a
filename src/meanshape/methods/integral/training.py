"""How the two looks learn: together, on the same batches, without a gradient between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.core.weights import Checked
from meanshape.methods.base import Progress
from meanshape.methods.dan.network import prepared, similarity, warp
from meanshape.methods.integral.config import CELL, Config
from meanshape.methods.integral.faces import FaceSampler, FaceStore
from meanshape.methods.integral.network import FirstLook, IntegralNet, Look
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import save_state, start_from
from meanshape.methods.shared.arrays import load_points
from meanshape.training.layers import reduced
from meanshape.training.loop import Batch, Schedule, Trainer, channels_last
from meanshape.training.losses import masked_mean, point_distances, wing_loss

GRAPH, FIRST_GRAPH, STATE, MEAN = "model.onnx", "stage1.onnx", "weights.safetensors", "mean.npy"
FIRST, OTHERS = 0.5, 0.5
"""Weights of the first look's loss and of that of the other mark-ups' own points."""
WEIGHT_DECAY = 0.05


@dataclass(frozen=True, slots=True)
class Trained:
    """A network and what is written of it."""

    module: IntegralNet
    markup: MarkUp
    config: Config

    def save(self, folder: Path) -> None:
        """Write the graph that is run, the mean shape, and the weights that a training may start from."""
        np.save(folder / MEAN, self.module.mean.numpy().astype(np.float64))
        metadata = {
            "markup": self.markup.name,
            "points": ",".join(self.markup.points),
            "crop_scale": str(self.config.crop_scale),
        }
        size = (self.config.crop_size, self.config.crop_size)
        outputs = ["stage1", "stage2", "spread"]
        export(self.module, folder / GRAPH, size=size, outputs=outputs, metadata=metadata)
        first = FirstLook(self.module)
        export(first, folder / FIRST_GRAPH, size=size, outputs=outputs[:1], metadata=metadata)
        save_state(self.module, folder / STATE)


class IntegralTask:
    """Batches, loss and validation error of both looks."""

    def __init__(self, sampler: FaceSampler, valid: FaceStore | None) -> None:
        self.sampler, self.config = sampler, sampler.config
        store = sampler.store if valid is None else valid
        limit = 64 if valid is None else None
        self.valid = store.groups[store.primary][:limit]

    def batch(self, step: int) -> Batch:
        """Return batch `step`."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of both looks: wing loss on the points, cross entropy on the scores."""
        assert isinstance(module, IntegralNet)
        target, everyone = module.target, {module.target: slice(None)}
        small = prepared(reduced(batch["crop"], module.ratio))
        first = module.first(small, everyone)[target]
        reduced_target = (batch["target"] + 0.5) / module.ratio - 0.5
        loss = FIRST * self.of_look(module.first, first, reduced_target, batch["norm"] / module.ratio)
        frame, matrix, shift = self.frame(module, batch, first)
        norm = batch["norm"] * torch.hypot(matrix[:, 0, 0], matrix[:, 0, 1])
        rows = {
            name.removeprefix("rows:"): slice(*(int(place) for place in value))
            for name, value in batch.items()
            if name.startswith("rows:")
        }
        found = module.second(prepared(frame), everyone | rows)
        loss = loss + self.of_look(module.second, found[target], batch["target"] @ matrix + shift, norm)
        for name, at in rows.items():
            own = batch[f"own:{name}"] @ matrix[at] + shift[at]
            share = (at.stop - at.start) / len(norm)
            loss = loss + OTHERS * share * self.of_look(module.second, found[name], own, norm[at])
        return loss

    def frame(
        self, module: IntegralNet, batch: dict[str, Tensor], first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the upright frames (N, 3, S, S) and the maps to them: points @ matrix + shift.

        They are the sampler's, or, without jitter, those that the first look's maps ask for.
        """
        if self.config.jitter:
            to_frame = batch["to_frame"]
            return batch["frame"], to_frame[:, :, :2].transpose(1, 2), to_frame[:, None, :, 2]
        with torch.no_grad():
            points = module.enlarged(module.first.decode(first)[0])
            matrix, shift = similarity(points, module.upright())
            return warp(batch["crop"], matrix, shift, module.size), matrix, shift

    def of_look(self, look: Look, maps: Tensor, points: Tensor, norm: Tensor) -> Tensor:
        """Return the loss of the points (N, K, 2) that a look's maps say, in units of the eye distance."""
        found, _, scores = look.decode(maps)
        distances, known = point_distances(found, points, norm)
        entropy, inside = score_loss(scores, points, look.cells)
        weight = self.config.score_weight
        return masked_mean(wing_loss(distances), known) + weight * masked_mean(entropy, inside)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return the errors of both looks in percent of the eye distance; `error` is the second's."""
        assert isinstance(module, IntegralNet)
        errors: list[list[Tensor]] = [[], []]
        with torch.no_grad():
            for start in range(0, len(self.valid), 50):
                views = [self.sampler.plain(face) for face in self.valid[start : start + 50]]
                batch = {k: torch.from_numpy(v) for k, v in self.sampler.packed(views).items()}
                for shape, into in zip(module(batch["crop"]), errors, strict=False):
                    distances, known = point_distances(shape, batch["target"], batch["norm"])
                    into.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
        first, second = (100 * float(torch.cat(values).mean()) for values in errors)
        return {"error": second, "first": first}


def score_loss(scores: Tensor, points: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Cross entropy of scores (N, K, cells²) with a Gaussian of one cell about each point; which count.

    Points outside the grid and NaN cost nothing.
    """
    place = (points + 0.5) / CELL - 0.5
    inside = ((place > -0.5) & (place < cells - 0.5)).all(-1)
    place = torch.where(inside[..., None], place, 0.0)
    line = torch.arange(cells, dtype=place.dtype, device=place.device)
    across, down = (torch.exp(-0.5 * (line - place[..., i : i + 1]) ** 2) for i in (0, 1))
    wanted = (down[..., :, None] * across[..., None, :]).flatten(2)
    wanted = wanted / wanted.sum(-1, keepdim=True)
    return -(wanted * torch.log_softmax(scores, -1)).sum(-1), inside


def fit(
    config: Config, markup: MarkUp, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int,
    folder: Path | None, initial: Path | None, progress: Progress,
) -> Trained:  # fmt: skip
    """Train both looks; a run that was stopped goes on from its checkpoint in `folder`."""
    torch.manual_seed(seed)
    mean = None if initial is None else load_points(Checked(initial) / MEAN, len(markup))
    store = FaceStore(train, markup, mean)
    valid_store = FaceStore(valid, markup, store.mean) if valid else None
    others = {kind.name: len(kind) for kind in store.others}
    module = IntegralNet(config, torch.from_numpy(store.mean), markup.name, others)
    channels_last(module)
    if initial is not None:
        start_from(module, initial)
    schedule = Schedule(
        steps=config.steps,
        batch=config.batch,
        rate=config.learning_rate,
        warmup=config.warmup,
        weight_decay=WEIGHT_DECAY,
        ema=config.ema,
        floor=0.01,
    )
    task = IntegralTask(FaceSampler(store, config, seed), valid_store)
    Trainer(module, task, schedule, folder, "looks", seed).run(progress)
    return Trained(module.eval(), markup, config)
