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
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state, start_from
from meanshape.methods.tcdcn.network import Looking, channels_last
from meanshape.methods.tcnn.config import CHANGES, CROP_SCALE, CROP_SIZE, LITTLE, SCALE, SIZE
from meanshape.methods.tcnn.network import Heads, Mixture, TCNNNet, Vanilla, placed
from meanshape.methods.tcnn.training.clusters import Views, aligned_views, assign, fit_mixture, random_views
from meanshape.methods.tcnn.training.heads import learn
from meanshape.training.changes import Changes
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.tensors import FaceTensors, TensorSampler

if TYPE_CHECKING:
    from meanshape.methods.tcnn.config import Config

GRAPH = "model.onnx"
HELD_OUT = 0.08
"""Share of the training faces that only hold the heads back."""
DIMENSIONS = 32
"""Of the features after PCA."""


@dataclass
class Learnt:
    """What a fit leaves: the network, and what happened to each cluster."""

    module: TCNNNet
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
    return Looking(torch.from_numpy(mean), CROP_SIZE, CROP_SCALE, SIZE, SCALE, config.looks)


def fit_vanilla(
    config: Config, mean: NDArray[np.float64], sampler: TensorSampler, valid: FaceTensors | None, *,
    seed: int, folder: Path | None, initial: Path | None, progress: Progress,
) -> Vanilla:  # fmt: skip
    """Train the network that is then tweaked; its large weights end as half precision will store them."""
    torch.manual_seed(seed)
    vanilla = Vanilla(3, SIZE, config.widths, config.features, mean.size, config.activation, config.norm)
    channels_last(vanilla)
    pixels = torch.cat([torch.from_numpy(sampler.batch(step)["image"]) for step in range(4)])
    vanilla.average.copy_(pixels.mean(0))
    vanilla.spread.copy_(pixels.std(0) + 8)
    if initial is not None:
        start_from(vanilla, initial)
    schedule = Schedule.of(config, steps=config.steps)
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
    aside = held_out(len(faces), HELD_OUT, seed)
    sampler = TensorSampler(
        faces, SIZE, SCALE, config.batch, CHANGES, seed,
        upright=config.upright, mean=mean, aside=aside,
    )  # fmt: skip
    vanilla = fit_vanilla(
        config, mean, sampler, others, seed=seed, folder=folder, initial=initial, progress=progress
    )
    progress(0.99, "clusters and their heads")
    mixture, views, stop = gather(config, vanilla, sampler, aside, seed)
    looking = make_looking(config, mean)
    finish(config, looking, vanilla, views, stop, seed)
    return tweak(config, looking, vanilla, mixture, views, stop, seed)


def held_out(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Faces (N,) that only decide when a cluster's head stops."""
    return np.random.default_rng((seed, 9)).random(count) < share


def gather(
    config: Config, vanilla: Vanilla, sampler: TensorSampler, aside: NDArray[np.bool_], seed: int
) -> tuple[Mixture, Views, Views]:
    """The mixture, the views that the heads learn from, and those that hold them back.

    The first are faces as a detector frames them and as the vanilla network's answer does, little changed;
    the others those set aside, not changed at all.
    """
    assert sampler.mean is not None
    looking = make_looking(config, sampler.mean)
    mild = replace(sampler, changes=LITTLE, upright=0.0)
    views = random_views(vanilla, mild, config.views, seed, looking)
    mixture = rounded(fit_mixture(views.features, config.clusters, DIMENSIONS, seed))
    views = assign(mixture, views)
    more = aligned_views(vanilla, mixture, mild, views, config.aligned, seed)
    stop = views.take(np.zeros(0, np.int64))
    if aside.any():
        still = replace(Changes.none(), flip=0.5, shift=CHANGES.shift, scale=CHANGES.scale)
        alone = replace(mild, aside=~aside, changes=still)
        stop = assign(mixture, random_views(vanilla, alone, max(1, config.views // 6), seed + 1, looking))
    return mixture, Views.join([views, more]), stop


def one_cluster(views: Views) -> Views:
    """The same views as one cluster."""
    return replace(views, cluster=np.zeros(len(views), np.int64))


def finish(config: Config, looking: Looking, vanilla: Vanilla, views: Views, stop: Views, seed: int) -> None:
    """Fine-tune the vanilla network's own FC5 and FC6 on the views that the clusters' heads learn from.

    Until here it saw faces changed more than any that come, and second looks framed by noise instead of by
    its first answers. Clusters have to be better than what it is after this.
    """
    heads = Heads(2, vanilla.trunk.outputs, config.features, looking.mean.numel(), config.activation)
    heads.start_from(vanilla)
    settings = replace(config, tweak_batch=config.tweak_batch * config.clusters)
    learn(settings, looking, heads, np.ones(1, np.int64), one_cluster(views), one_cluster(stop), seed)
    with torch.no_grad():
        for layer, weight, bias in (
            (vanilla.fc5, heads.w5, heads.b5),
            (vanilla.fc6, heads.w6, heads.b6),
        ):
            layer.weight.copy_(weight[1].T)
            layer.bias.copy_(bias[1, 0])
    rounded(vanilla)


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
    shares = learn(config, looking, heads, head, views, stop, seed) if len(own) else np.zeros((2, 0))
    module = TCNNNet(looking, vanilla, mixture, rounded(heads), torch.from_numpy(head)).eval()
    log = {
        "faces": faces.tolist(),
        "views": members.tolist(),
        "shares the vanilla head": (head == 0).tolist(),
        "how far each head went": shares[0].tolist(),
        "how far FC6 went to the best": shares[1].tolist(),
    }
    return Learnt(module, log)


def save(module: TCNNNet, folder: Path, markup: MarkUp) -> None:
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
