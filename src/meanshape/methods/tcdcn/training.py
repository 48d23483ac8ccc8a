"""Multi-task training of TCDCN: points and auxiliary tasks together, with task-wise early stopping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state, start_from
from meanshape.methods.tcdcn.network import FaceCrops, TCDCNNet, channels_last
from meanshape.methods.tcdcn.stopping import EarlyStopping
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.run_folder import add_record, read_records
from meanshape.training.tensor_augmentation import TensorAugmentation
from meanshape.training.tensors import FaceTensors, TensorSampler, labels_of

if TYPE_CHECKING:
    from meanshape.methods.tcdcn.config import Config

GRAPH = "model.onnx"
TASK_LOG = "tasks.jsonl"
SCALE = 1.1
"""Side of the network's crop, face boxes."""
CHANNELS = 1
TASK_WEIGHT = 0.01
"""Lambda, the same for all tasks."""
WEIGHT_DECAY = 0.02
AUGMENTATION = TensorAugmentation()
Labels = NDArray[np.int64]
Tasks = Mapping[str, Sequence[str]]


def build(config: Config, mean: NDArray[np.float64], tasks: Tasks) -> TCDCNNet:
    """Return the torch module of a configuration."""
    face_crops = FaceCrops(
        torch.from_numpy(mean), config.crop_size, config.crop_scale, config.size, SCALE, config.looks
    )
    module = TCDCNNet(
        face_crops,
        tasks,
        widths=config.widths,
        features=config.features,
        activation=config.activation,
        norm=config.norm,
        channels=CHANNELS,
        kernels=config.kernels,
    )
    return channels_last(module)


def mirrored(names: Sequence[str]) -> list[int]:
    """Return the index of each label's mirror image, which swaps left and right."""
    swap = {"left": "right", "right": "left"}
    others = [" ".join(swap.get(word, word) for word in name.split()) for name in names]
    return [names.index(other) if other in names else n for n, other in enumerate(others)]


class MultiTaskObjective:
    """The training loop's batches, loss and validation for points and auxiliary tasks."""

    def __init__(
        self,
        config: Config,
        tasks: Tasks,
        sampler: TensorSampler,
        valid: FaceTensors | None,
        folder: Path | None,
    ) -> None:
        self.config = config
        self.sampler = sampler
        self.tasks = tasks
        self.folder = folder
        self.valid = sampler if valid is None else replace(sampler, faces=valid)
        self.labels = labels_of(sampler.faces, tasks)
        self.weights = class_weights(sampler.faces, tasks)
        self.valid_labels = labels_of(self.valid.faces, tasks)
        self.flips = [torch.tensor(mirrored(names)) for names in tasks.values()]
        self.stoppers = [EarlyStopping(TASK_WEIGHT, config.window, config.threshold) for _ in self.tasks]
        self.stops = read_stops(folder)

    def batch(self, step: int) -> Batch:
        """Return augmented crops, and labels that are mirrored with them."""
        batch = self.sampler.batch(step)
        batch["step"] = np.array([step], np.float32)
        batch["labels"] = flipped(self.labels[batch["index"].astype(int)], batch["flip"] > 0, self.flips)
        return batch

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the points' loss plus the weighted cross entropies of the active tasks."""
        assert isinstance(module, TCDCNNet)
        features = module.features(batch["image"])
        distances, known = point_distances(module.shape(features), batch["points"], batch["norm"])
        loss = masked_mean(LOSSES[self.config.loss](distances), known)
        if not self.tasks:
            return loss
        task_losses = self.task_losses(module, features, batch["labels"].long())
        weight = TASK_WEIGHT * module.active
        self._check_stopping(module, int(batch["step"]) + 1)
        return loss + (weight * task_losses).sum()

    def task_losses(self, module: TCDCNNet, features: Tensor, labels: Tensor) -> Tensor:
        """Return the class-weighted cross entropy (T,) of each task; faces without a label do not count."""
        found = []
        for head, weight, column in zip(module.heads, self.weights, labels.unbind(1), strict=True):
            known = column >= 0
            cost = functional.cross_entropy(head(features), column.clamp(min=0), weight, reduction="none")
            found.append((cost * known).sum() / known.sum().clamp(min=1))
        return torch.stack(found)

    def _check_stopping(self, module: TCDCNNet, step: int) -> None:
        """Every `check_every` steps, stop the active tasks that meet the stopping rule."""
        if step % self.config.check_every or self.valid is self.sampler:
            return
        train = self.mean_task_losses(module, self.sampler, self.labels)
        valid = self.mean_task_losses(module, self.valid, self.valid_labels)
        record: dict[str, Any] = {"step": step}
        for index, (name, stopper) in enumerate(zip(self.tasks, self.stoppers, strict=True)):
            value = stopper.add(float(train[index]), float(valid[index]))
            record[name] = {"train": stopper.train[-1], "valid": stopper.valid[-1], "rule": value}
            if self.config.stopping and module.active[index] and stopper.should_stop():
                module.active[index] = 0
                self.stops[name] = step
                record[name]["stops"] = True
        if self.folder is not None:
            add_record(self.folder / TASK_LOG, record)

    def mean_task_losses(
        self, module: TCDCNNet, sampler: TensorSampler, labels: Labels, most: int = 1000
    ) -> NDArray[np.float64]:
        """Return the task losses (T,) on up to `most` evenly spaced faces of a set, without augmentation."""
        module.eval()
        count, task_losses = len(sampler.faces), []
        with torch.no_grad():
            for rows in blocks(np.linspace(0, count - 1, min(most, count)).astype(np.int64)):
                batch, part = sampler.plain(rows), torch.from_numpy(labels[rows])
                task_losses.append(
                    self.task_losses(module, module.features(torch.from_numpy(batch["image"])), part)
                )
        module.train()
        return np.asarray(torch.stack(task_losses).mean(0).numpy(), np.float64)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return the error over the inter-pupil distance and the tasks' balanced accuracy, percent."""
        errors, answers = self.predictions(module)
        figures = {"error": float(errors.mean())}
        for column, name in enumerate(self.tasks):
            figures[name] = balanced_accuracy(answers[column], self.valid_labels[: len(errors), column])
        return figures

    def predictions(self, module: nn.Module) -> tuple[NDArray[np.float64], list[Labels]]:
        """Return the validation errors (N,), percent of the inter-pupil distance, and predicted labels."""
        assert isinstance(module, TCDCNNet)
        total = len(self.valid.faces) if self.valid is not self.sampler else min(64, len(self.sampler.faces))
        errors, answers = [], []
        with torch.no_grad():
            for rows in blocks(np.arange(total)):
                batch = self.valid.plain(rows)
                features = module.features(torch.from_numpy(batch["image"]))
                distances, known = point_distances(
                    module.shape(features), torch.from_numpy(batch["points"]), torch.from_numpy(batch["norm"])
                )
                errors.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
                answers.append([head(features).argmax(1).numpy() for head in module.heads])
        each = [np.concatenate([answer[column] for answer in answers]) for column in range(len(self.tasks))]
        return 100 * torch.cat(errors).double().numpy(), each


def blocks(rows: NDArray[np.int64], size: int = 250) -> list[NDArray[np.int64]]:
    """Return the rows in blocks that fit the processor's cache."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def read_stops(folder: Path | None) -> dict[str, int]:
    """Return the step at which each task stopped before the run was interrupted."""
    path = None if folder is None else folder / TASK_LOG
    if path is None or not path.exists():
        return {}
    return {
        name: record["step"]
        for record in read_records(path)
        if isinstance(record.get("step"), int)
        for name, errors in record.items()
        if isinstance(errors, dict) and errors.get("stops")
    }


def balanced_accuracy(found: Labels, truth: Labels) -> float:
    """Return the mean recall over the labels that occur, percent."""
    shares = [np.mean(found[truth == label] == label) for label in np.unique(truth[truth >= 0])]
    return 100 * float(np.mean(shares)) if shares else float("nan")


def flipped(labels: Labels, flip: NDArray[np.bool_], flips: Sequence[Tensor]) -> NDArray[np.float32]:
    """Return labels (B, T), mirrored where a face is mirrored."""
    result = labels.copy()
    for column, swap in enumerate(flips):
        rows = flip & (labels[:, column] >= 0)
        result[rows, column] = swap.numpy()[labels[rows, column]]
    return result.astype(np.float32)


def class_weights(faces: FaceTensors, tasks: Tasks, power: float = 0.5) -> list[Tensor]:
    """Return each task's class weights: frequency to the power of -`power`, with mean 1 over the faces."""
    weights = []
    for column, names in enumerate(tasks.values()):
        labels = labels_of(faces, tasks)[:, column]
        count = np.bincount(labels[labels >= 0], minlength=len(names)).astype(float)
        weight = np.maximum(count, 1) ** -power
        weight *= max(count.sum(), 1) / max((weight * count).sum(), 1e-9)
        weights.append(torch.from_numpy(weight).float())
    return weights


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, tasks: Tasks, train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None,
    progress: Progress,
) -> tuple[TCDCNNet, dict[str, int], list[str]]:  # fmt: skip
    """Train; return the module, the step at which each task stopped, and the tasks that had labels."""
    torch.manual_seed(seed)
    module = build(config, mean, tasks)
    if initial is not None:
        start_from(module, initial)
        module.face_crops.mean.copy_(torch.from_numpy(mean))
        module.active.fill_(1)
    faces = FaceTensors(train, markup, CHANNELS)
    others = FaceTensors(valid, markup, CHANNELS) if valid else None
    sampler = TensorSampler(
        faces, config.size, SCALE, config.batch, AUGMENTATION, seed,
        upright=config.upright, mean=mean,
    )  # fmt: skip
    learning = MultiTaskObjective(config, tasks, sampler, others, folder)
    schedule = Schedule.of(config, steps=config.steps, weight_decay=WEIGHT_DECAY)
    Trainer(module, learning, schedule, folder, "points", seed).run(progress)
    module.eval()
    if tasks and config.refit:
        refit_heads(module, learning, config)
    learnt = [task for column, task in enumerate(tasks) if (learning.labels[:, column] >= 0).any()]
    return module, learning.stops, learnt


def refit_heads(module: TCDCNNet, learning: MultiTaskObjective, config: Config) -> None:
    """Refit every task's logistic head on the final features, with balanced classes.

    Heads that stopped early no longer match the features. With balanced classes, the probabilities assume
    equal priors.
    """
    batches = [learning.batch(10**6 + n) for n in range(config.refit)]
    with torch.no_grad():
        features = torch.cat([module.features(torch.from_numpy(b["image"])) for b in batches])
    labels = torch.from_numpy(np.concatenate([b["labels"] for b in batches])).long()
    balance = class_weights(learning.sampler.faces, learning.tasks, power=1.0)
    for column, (head, weight) in enumerate(zip(module.heads, balance, strict=True)):
        assert isinstance(head, nn.Linear)
        known = labels[:, column] >= 0
        if known.any():
            logistic(head, features[known], labels[known, column], weight)


def logistic(head: nn.Linear, features: Tensor, labels: Tensor, weight: Tensor, decay: float = 1e-3) -> None:
    """Fit a linear head by regularised logistic regression, in place."""
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        cost = functional.cross_entropy(head(features), labels, weight)
        cost = cost + decay * head.weight.square().sum()
        torch.autograd.backward(cost)
        return cost

    step: Callable[[Callable[[], Tensor]], Tensor] = optimiser.step
    step(closure)


def save(module: TCDCNNet, folder: Path, markup: MarkUp, tasks: Tasks) -> None:
    """Save the ONNX graph, and the torch weights for further training, both in half precision."""
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.face_crops.crop_scale),
        **{name: ",".join(labels) for name, labels in tasks.items()},
    }
    size = (module.face_crops.crop_size, module.face_crops.crop_size)
    export(module, folder / GRAPH, size=size, outputs=["points", *tasks], metadata=metadata)
    save_state(module, folder / STATE)
