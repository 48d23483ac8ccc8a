"""Training of TCNN: the vanilla network, the clusters, then a head for each cluster."""

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
from meanshape.methods.tcdcn.network import FaceCrops, channels_last
from meanshape.methods.tcnn.config import AUGMENTATION, CROP_SCALE, CROP_SIZE, MILD_AUGMENTATION, SCALE, SIZE
from meanshape.methods.tcnn.network import Heads, Mixture, TCNNNet, Vanilla, placed
from meanshape.methods.tcnn.training.clusters import Views, aligned_views, assign, fit_mixture, random_views
from meanshape.methods.tcnn.training.heads import train_heads
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.tensor_augmentation import TensorAugmentation
from meanshape.training.tensors import FaceTensors, TensorSampler

if TYPE_CHECKING:
    from meanshape.methods.tcnn.config import Config

GRAPH = "model.onnx"
HELD_OUT = 0.08
"""Share of the training faces that is held out to validate the heads."""
DIMENSIONS = 32
"""Principal components of the features that the mixture is fitted to."""


@dataclass
class FitResult:
    """The trained network, and a log of its clusters."""

    module: TCNNNet
    log: dict[str, Any]


class VanillaObjective:
    """The training loop's batches, loss and validation for the vanilla network."""

    def __init__(
        self, config: Config, face_crops: FaceCrops, sampler: TensorSampler, valid: FaceTensors | None
    ) -> None:
        self.face_crops, self.sampler = face_crops, sampler
        self.valid = sampler if valid is None else replace(sampler, faces=valid)
        self.point_loss = LOSSES[config.loss]

    def batch(self, step: int) -> Batch:
        """Return the augmented crops of batch `step`."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the points' loss."""
        points = placed(self.face_crops, module(batch["image"]))
        distances, known = point_distances(points, batch["points"], batch["norm"])
        return masked_mean(self.point_loss(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return the error over the inter-pupil distance, percent."""
        total = len(self.valid.faces) if self.valid is not self.sampler else min(64, len(self.sampler.faces))
        errors = []
        with torch.no_grad():
            for start in range(0, total, 250):
                batch = self.valid.plain(np.arange(start, min(start + 250, total)))
                points = placed(self.face_crops, module(torch.from_numpy(batch["image"])))
                distances, known = point_distances(
                    points, torch.from_numpy(batch["points"]), torch.from_numpy(batch["norm"])
                )
                errors.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
        return {"error": 100 * float(torch.cat(errors).mean())}


def make_face_crops(config: Config, mean: NDArray[np.float64]) -> FaceCrops:
    """Return the crops of a configuration."""
    return FaceCrops(torch.from_numpy(mean), CROP_SIZE, CROP_SCALE, SIZE, SCALE, config.looks)


def fit_vanilla(
    config: Config, mean: NDArray[np.float64], sampler: TensorSampler, valid: FaceTensors | None, *,
    seed: int, folder: Path | None, initial: Path | None, progress: Progress,
) -> Vanilla:  # fmt: skip
    """Train the vanilla network; its large weights are rounded to half precision, as they are stored."""
    torch.manual_seed(seed)
    vanilla = Vanilla(3, SIZE, config.widths, config.features, mean.size, config.activation, config.norm)
    channels_last(vanilla)
    pixels = torch.cat([torch.from_numpy(sampler.batch(step)["image"]) for step in range(4)])
    vanilla.average.copy_(pixels.mean(0))
    vanilla.spread.copy_(pixels.std(0) + 8)
    if initial is not None:
        start_from(vanilla, initial)
    schedule = Schedule.of(config, constant=config.constant_rate, steps=config.steps)
    face_crops = make_face_crops(config, mean)
    Trainer(
        vanilla, VanillaObjective(config, face_crops, sampler, valid), schedule, folder, "vanilla", seed
    ).run(progress)
    return rounded(vanilla.eval().requires_grad_(False))


Module = TypeVar("Module", bound=nn.Module)


def rounded(module: Module) -> Module:
    """Round large weights to half precision, so that the saved model finds the same clusters as training."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point() and value.numel() >= 256:
                value.copy_(value.half().float())
    return module


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None,
    progress: Progress,
) -> FitResult:  # fmt: skip
    """Train the vanilla network and tweak it."""
    faces = FaceTensors(train, markup)
    valid_faces = FaceTensors(valid, markup) if valid else None
    held_out_faces = held_out(len(faces), HELD_OUT, seed)
    sampler = TensorSampler(
        faces, SIZE, SCALE, config.batch, AUGMENTATION, seed,
        upright=config.upright, mean=mean, excluded=held_out_faces,
    )  # fmt: skip
    vanilla = fit_vanilla(
        config, mean, sampler, valid_faces, seed=seed, folder=folder, initial=initial, progress=progress
    )
    progress(0.99, "clusters and their heads")
    mixture, views, validation = gather(config, vanilla, sampler, held_out_faces, seed)
    face_crops = make_face_crops(config, mean)
    fine_tune_vanilla(config, face_crops, vanilla, views, validation, seed)
    return tweak(config, face_crops, vanilla, mixture, views, validation, seed)


def held_out(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which faces (N,) are held out to validate the heads."""
    return np.random.default_rng((seed, 9)).random(count) < share


def gather(
    config: Config, vanilla: Vanilla, sampler: TensorSampler, held_out_faces: NDArray[np.bool_], seed: int
) -> tuple[Mixture, Views, Views]:
    """Return the mixture, the views that the heads are trained on, and the views that validate them.

    Training views are mildly augmented, in the detector's box and aligned with the vanilla network's points.
    Validation views are those of the held-out faces, without augmentation of their pixels.
    """
    assert sampler.mean is not None
    face_crops = make_face_crops(config, sampler.mean)
    mild = replace(sampler, augmentation=MILD_AUGMENTATION, upright=0.0)
    views = random_views(vanilla, mild, config.views, seed, face_crops)
    mixture = rounded(fit_mixture(views.features, config.clusters, DIMENSIONS, seed))
    views = assign(mixture, views)
    more = aligned_views(vanilla, mixture, mild, views, config.aligned, seed)
    validation = views.take(np.zeros(0, np.int64))
    if held_out_faces.any():
        still = replace(
            TensorAugmentation.none(), flip=0.5, shift=AUGMENTATION.shift, scale=AUGMENTATION.scale
        )
        alone = replace(mild, excluded=~held_out_faces, augmentation=still)
        validation = assign(
            mixture, random_views(vanilla, alone, max(1, config.views // 6), seed + 1, face_crops)
        )
    return mixture, Views.join([views, more]), validation


def one_cluster(views: Views) -> Views:
    """Return the views as one cluster."""
    return replace(views, cluster=np.zeros(len(views), np.int64))


def fine_tune_vanilla(
    config: Config, face_crops: FaceCrops, vanilla: Vanilla, views: Views, validation: Views, seed: int
) -> None:
    """Fine-tune the vanilla network's own FC5 and FC6 on the views that the clusters' heads are trained on.

    Until here it was trained with strong augmentation, and with second passes aligned by noise instead of
    its own predictions. The result is the baseline that the clusters' heads must improve on.
    """
    heads = Heads(2, vanilla.trunk.outputs, config.features, face_crops.mean.numel(), config.activation)
    heads.start_from(vanilla)
    settings = replace(config, tweak_batch=config.tweak_batch * config.clusters)
    train_heads(
        settings, face_crops, heads, np.ones(1, np.int64), one_cluster(views), one_cluster(validation), seed
    )
    with torch.no_grad():
        for layer, weight, bias in (
            (vanilla.fc5, heads.w5, heads.b5),
            (vanilla.fc6, heads.w6, heads.b6),
        ):
            layer.weight.copy_(weight[1].T)
            layer.bias.copy_(bias[1, 0])
    rounded(vanilla)


def tweak(
    config: Config,
    face_crops: FaceCrops,
    vanilla: Vanilla,
    mixture: Mixture,
    views: Views,
    validation: Views,
    seed: int,
) -> FitResult:
    """Fine-tune an FC5 and FC6 for every cluster that is large enough; the others share the vanilla ones."""
    clusters = len(mixture.constant)
    members = np.bincount(views.cluster, minlength=clusters)
    faces = np.array([len(np.unique(views.index[views.cluster == k])) for k in range(clusters)])
    own = np.flatnonzero(faces >= config.min_faces)
    head = np.zeros(clusters, np.int64)
    head[own] = 1 + np.arange(len(own))
    heads = Heads(
        len(own) + 1, vanilla.trunk.outputs, config.features, face_crops.mean.numel(), config.activation
    )
    heads.start_from(vanilla)
    shares = (
        train_heads(config, face_crops, heads, head, views, validation, seed)
        if len(own)
        else np.zeros((2, 0))
    )
    module = TCNNNet(face_crops, vanilla, mixture, rounded(heads), torch.from_numpy(head)).eval()
    log = {
        "faces": faces.tolist(),
        "views": members.tolist(),
        "shares the vanilla head": (head == 0).tolist(),
        "how far each head went": shares[0].tolist(),
        "how far FC6 went to the best": shares[1].tolist(),
    }
    return FitResult(module, log)


def save(module: TCNNNet, folder: Path, markup: MarkUp) -> None:
    """Save the ONNX graph, and the vanilla network's torch weights for further training."""
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.face_crops.crop_scale),
        "clusters": str(len(module.head)),
    }
    size = (module.face_crops.crop_size, module.face_crops.crop_size)
    export(module, folder / GRAPH, size=size, outputs=["points", "cluster"], metadata=metadata)
    save_state(module.vanilla, folder / STATE)
