"""How a tweaked network learns: the vanilla network, the clusters, then a head for each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.markup import MarkUp
from meanshape.core.types import Sample
from meanshape.methods.base import Progress
from meanshape.methods.nets.export import export
from meanshape.methods.nets.state import load_state, save_state
from meanshape.methods.nets.tcdcn import Looking, channels_last
from meanshape.methods.nets.tcnn import TCNN, Heads, Mixture, Vanilla, placed
from meanshape.methods.nets.tcnn_clusters import Views, aligned_views, assign, fit_mixture, random_views
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.tensors import FaceTensors, TensorSampler

if TYPE_CHECKING:
    from meanshape.methods.tcnn import Config

GRAPH, STATE = "model.onnx", "weights.safetensors"


@dataclass
class Learnt:
    """What a fit leaves: the network, and what happened to each cluster."""

    module: TCNN
    log: dict[str, Any]


class LearningVanilla:
    """The vanilla network as a task of the training loop."""

    def __init__(
        self, config: Config, looking: Looking, sampler: TensorSampler, valid: FaceTensors | None
    ) -> None:
        self.looking, self.sampler = looking, sampler
        self.valid = sampler if valid is None else replace(sampler, faces=valid)
        self.cost = LOSSES[config.loss]

    def batch(self, step: int) -> Batch:
        """Changed crops of batch `step`."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The points' loss."""
        points = placed(self.looking, module(batch["image"]))
        distances, known = point_distances(points, batch["points"], batch["norm"])
        return masked_mean(self.cost(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Error over the inter-pupil distance in percent."""
        total = len(self.valid.faces) if self.valid is not self.sampler else min(64, len(self.sampler.faces))
        errors = []
        with torch.no_grad():
            for start in range(0, total, 250):
                batch = self.valid.plain(np.arange(start, min(start + 250, total)))
                points = placed(self.looking, module(torch.from_numpy(batch["image"])))
                distances, known = point_distances(
                    points, torch.from_numpy(batch["points"]), torch.from_numpy(batch["norm"])
                )
                errors.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
        return {"error": 100 * float(torch.cat(errors).mean())}


def make_looking(config: Config, mean: NDArray[np.float64]) -> Looking:
    """The frames of a configuration."""
    return Looking(
        torch.from_numpy(mean), config.crop_size, config.crop_scale, config.size, config.scale, config.looks
    )


def fit_vanilla(
    config: Config, mean: NDArray[np.float64], sampler: TensorSampler, valid: FaceTensors | None, *,
    seed: int, folder: Path | None, initial: Path | None, progress: Progress,
) -> Vanilla:  # fmt: skip
    """Train the network that is then tweaked; its large weights end as half precision will store them."""
    torch.manual_seed(seed)
    vanilla = Vanilla(
        3, config.size, config.widths, config.features, mean.size, config.activation, config.norm
    )
    channels_last(vanilla)
    pixels = torch.cat([torch.from_numpy(sampler.batch(step)["image"]) for step in range(4)])
    vanilla.average.copy_(pixels.mean(0))
    vanilla.spread.copy_(pixels.std(0) + 8)
    if initial is not None:
        load_state(vanilla, initial / STATE)
    schedule = Schedule(
        steps=config.steps,
        batch=config.batch,
        rate=config.rate,
        floor=1.0 if config.constant_rate else 0.005,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        ema=config.ema,
    )
    looking = make_looking(config, mean)
    Trainer(vanilla, LearningVanilla(config, looking, sampler, valid), schedule, folder, "vanilla", seed).run(
        progress
    )
    return rounded(vanilla.eval().requires_grad_(False))


Module = TypeVar("Module", bound=nn.Module)


def rounded(module: Module) -> Module:
    """Weights as half precision stores them, so that the file chooses the clusters that training saw."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point() and value.numel() >= 256:
                value.copy_(value.half().float())
    return module


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None,
    progress: Progress,
) -> Learnt:  # fmt: skip
    """Train the vanilla network and tweak it."""
    faces = FaceTensors(train, markup)
    others = FaceTensors(valid, markup) if valid else None
    aside = held_out(len(faces), config.held_out, seed)
    sampler = TensorSampler(
        faces, config.size, config.scale, config.batch, config.changes, seed,
        upright=config.upright, mean=mean, aside=aside,
    )  # fmt: skip
    vanilla = fit_vanilla(
        config, mean, sampler, others, seed=seed, folder=folder, initial=initial, progress=progress
    )
    progress(0.99, "clusters and their heads")
    mixture, views, stop = gather(config, vanilla, sampler, aside, seed)
    looking = make_looking(config, mean)
    return tweak(config, looking, vanilla, mixture, views, stop, seed)


def held_out(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Faces (N,) that only decide when a cluster's head stops."""
    return np.random.default_rng((seed, 9)).random(count) < share


def gather(
    config: Config, vanilla: Vanilla, sampler: TensorSampler, aside: NDArray[np.bool_], seed: int
) -> tuple[Mixture, Views, Views]:
    """The mixture, the views that the heads learn from, and those that stop them."""
    views = random_views(vanilla, sampler, config.views, seed)
    mixture = rounded(fit_mixture(views.features, config.clusters, config.dimensions, seed))
    views = assign(mixture, views)
    more = aligned_views(vanilla, mixture, sampler, views, config.aligned, seed)
    stop = views.take(np.zeros(0, np.int64))
    if aside.any():
        alone = replace(sampler, aside=~aside)
        stop = assign(mixture, random_views(vanilla, alone, max(1, config.views // 4), seed + 1))
    return mixture, Views.join([views, more]), stop


def tweak(
    config: Config, looking: Looking, vanilla: Vanilla, mixture: Mixture, views: Views, stop: Views, seed: int
) -> Learnt:
    """Fine-tune FC5 and FC6 for every cluster that is large enough; the others share the vanilla ones."""
    clusters = len(mixture.constant)
    members = np.bincount(views.cluster, minlength=clusters)
    faces = np.array([len(np.unique(views.index[views.cluster == k])) for k in range(clusters)])
    own = np.flatnonzero(faces >= config.min_faces)
    head = np.zeros(clusters, np.int64)
    head[own] = 1 + np.arange(len(own))
    heads = Heads(
        len(own) + 1, vanilla.trunk.outputs, config.features, looking.mean.numel(), config.activation
    )
    heads.start_from(vanilla)
    steps = fine_tune(config, looking, heads, head, views, stop, seed) if len(own) else np.zeros(0, np.int64)
    module = TCNN(looking, vanilla, mixture, rounded(heads), torch.from_numpy(head)).eval()
    log = {
        "faces": faces.tolist(),
        "views": members.tolist(),
        "shares the vanilla head": (head == 0).tolist(),
        "best step of each head": steps.tolist(),
    }
    return Learnt(module, log)


def fine_tune(
    config: Config,
    looking: Looking,
    heads: Heads,
    head: NDArray[np.int64],
    views: Views,
    stop: Views,
    seed: int,
) -> NDArray[np.int64]:
    """Train all heads but the first side by side; each keeps its best step on its own held-out views.

    Returns those steps (H - 1,): 0 where nothing was better than the vanilla head.
    """
    rng = np.random.default_rng((seed, 10))
    rows = [np.flatnonzero(head[views.cluster] == h) for h in range(1, len(heads.w5))]
    features, points, norm = (torch.from_numpy(a) for a in (views.features, views.points, views.norm))
    optimiser = torch.optim.AdamW(heads.parameters(), lr=config.tweak_rate, weight_decay=0.0)
    best = head_errors(looking, heads, head, stop)
    kept = [p.detach().clone() for p in heads.parameters()]
    steps = np.zeros(len(rows), np.int64)
    for step in range(1, config.tweak_steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = config.tweak_rate * 0.5 * (1 + np.cos(np.pi * step / config.tweak_steps))
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
        if step % config.tweak_check and step < config.tweak_steps:
            continue
        errors = head_errors(looking, heads, head, stop)
        better = errors < best
        best = np.where(better, errors, best)
        for mine, parameter in zip(kept, heads.parameters(), strict=True):
            mine[torch.from_numpy(better)] = parameter.detach()[torch.from_numpy(better)]
        steps[better[1:]] = step
    with torch.no_grad():
        for mine, parameter in zip(kept, heads.parameters(), strict=True):
            parameter.copy_(mine)
    return steps


def head_errors(looking: Looking, heads: Heads, head: NDArray[np.int64], views: Views) -> NDArray[np.float64]:
    """Mean error (H,) of each head on the views of its clusters, infinite where it has none."""
    errors = view_errors(looking, heads, head, views)
    which = head[views.cluster]
    count = np.bincount(which, minlength=len(heads.w5))
    total = np.bincount(which, errors, minlength=len(heads.w5))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.inf))


def view_errors(looking: Looking, heads: Heads, head: NDArray[np.int64], views: Views) -> NDArray[np.float64]:
    """Error (N,) of each view over its inter-pupil distance, by the head of its cluster."""
    errors = [np.zeros(0)]
    with torch.no_grad():
        for start in range(0, len(views), 256):
            part = views.take(np.arange(start, min(start + 256, len(views))))
            answers = heads(torch.from_numpy(part.features), torch.from_numpy(head[part.cluster]))
            distances, known = point_distances(
                placed(looking, answers), torch.from_numpy(part.points), torch.from_numpy(part.norm)
            )
            errors.append(((distances * known).sum(1) / known.sum(1).clamp(min=1)).double().numpy())
    return np.concatenate(errors)


def run(module: TCNN, crops: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """Points and clusters by torch: what the graph answers too."""
    with torch.no_grad():
        return [t.numpy() for t in module(torch.from_numpy(crops).permute(0, 3, 1, 2).float())]


def save(module: TCNN, folder: Path, markup: MarkUp) -> None:
    """The graph that users run, and the vanilla network's weights, from which training can go on."""
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.looking.crop_scale),
        "clusters": str(len(module.head)),
    }
    size = (module.looking.crop_size, module.looking.crop_size)
    export(module, folder / GRAPH, size=size, outputs=["points", "cluster"], metadata=metadata)
    save_state(module.vanilla, folder / STATE)
