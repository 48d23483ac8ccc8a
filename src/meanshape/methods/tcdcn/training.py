"""How TCDCN learns: points and tasks together, each task until it has taught what it can."""

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
from meanshape.methods.tcdcn.network import Looking, TCDCNNet, channels_last
from meanshape.methods.tcdcn.stopping import TaskWatch
from meanshape.training.changes import Changes
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.run_folder import add_record, read_records
from meanshape.training.tensors import FaceTensors, TensorSampler, labels_of

if TYPE_CHECKING:
    from meanshape.methods.tcdcn.config import Config

GRAPH, WATCHED = "model.onnx", "tasks.jsonl"
SCALE = 1.1
"""Side of what the network sees, face boxes."""
CHANNELS = 1
TASK_WEIGHT = 0.01
"""Lambda, the same for all tasks."""
WEIGHT_DECAY = 0.02
CHANGES = Changes()
Labels = NDArray[np.int64]
Tasks = Mapping[str, Sequence[str]]


def build(config: Config, mean: NDArray[np.float64], tasks: Tasks) -> TCDCNNet:
    """The torch module of a configuration."""
    looking = Looking(
        torch.from_numpy(mean), config.crop_size, config.crop_scale, config.size, SCALE, config.looks
    )
    module = TCDCNNet(
        looking,
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
    """Which label each label of a task becomes in the mirror: left and right change places."""
    swap = {"left": "right", "right": "left"}
    others = [" ".join(swap.get(word, word) for word in name.split()) for name in names]
    return [names.index(other) if other in names else n for n, other in enumerate(others)]


class Learning:
    """Points and tasks as a task of the training loop."""

    def __init__(
        self,
        config: Config,
        tasks: Tasks,
        sampler: TensorSampler,
        valid: FaceTensors | None,
        folder: Path | None,
    ) -> None:
        self.config, self.sampler, self.tasks, self.folder = config, sampler, tasks, folder
        self.valid = sampler if valid is None else replace(sampler, faces=valid)
        self.labels, self.weights = labels_of(sampler.faces, tasks), class_weights(sampler.faces, tasks)
        self.valid_labels = labels_of(self.valid.faces, tasks)
        self.flips = [torch.tensor(mirrored(names)) for names in tasks.values()]
        self.watches = [TaskWatch(TASK_WEIGHT, config.window, config.threshold) for _ in self.tasks]
        self.stops = earlier_stops(folder)

    def batch(self, step: int) -> Batch:
        """Changed crops, and their labels as the mirror leaves them."""
        batch = self.sampler.batch(step)
        batch["step"] = np.array([step], np.float32)
        batch["labels"] = flipped(self.labels[batch["index"].astype(int)], batch["flip"] > 0, self.flips)
        return batch

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The points' loss and the weighted cross entropies of the tasks that still teach."""
        assert isinstance(module, TCDCNNet)
        features = module.features(batch["image"])
        distances, known = point_distances(module.shape(features), batch["points"], batch["norm"])
        loss = masked_mean(LOSSES[self.config.loss](distances), known)
        if not self.tasks:
            return loss
        costs = self.costs(module, features, batch["labels"].long())
        weight = TASK_WEIGHT * module.active
        self._watch(module, int(batch["step"]) + 1)
        return loss + (weight * costs).sum()

    def costs(self, module: TCDCNNet, features: Tensor, labels: Tensor) -> Tensor:
        """The cross entropy (T,) of each task, classes weighed; faces without a label cost nothing."""
        found = []
        for head, weight, column in zip(module.heads, self.weights, labels.unbind(1), strict=True):
            known = column >= 0
            cost = functional.cross_entropy(head(features), column.clamp(min=0), weight, reduction="none")
            found.append((cost * known).sum() / known.sum().clamp(min=1))
        return torch.stack(found)

    def _watch(self, module: TCDCNNet, step: int) -> None:
        """At each check, ask the rule about every task that still teaches."""
        if step % self.config.check_every or self.valid is self.sampler:
            return
        train = self.plain_costs(module, self.sampler, self.labels)
        valid = self.plain_costs(module, self.valid, self.valid_labels)
        record: dict[str, Any] = {"step": step}
        for index, (name, watch) in enumerate(zip(self.tasks, self.watches, strict=True)):
            value = watch.add(float(train[index]), float(valid[index]))
            record[name] = {"train": watch.train[-1], "valid": watch.valid[-1], "rule": value}
            if self.config.stopping and module.active[index] and watch.should_stop():
                module.active[index] = 0
                self.stops[name] = step
                record[name]["stops"] = True
        if self.folder is not None:
            add_record(self.folder / WATCHED, record)

    def plain_costs(
        self, module: TCDCNNet, sampler: TensorSampler, labels: Labels, most: int = 1000
    ) -> NDArray[np.float64]:
        """The tasks' errors on faces drawn evenly from a set, unchanged, so that both sets are seen alike."""
        module.eval()
        count, costs = len(sampler.faces), []
        with torch.no_grad():
            for rows in blocks(np.linspace(0, count - 1, min(most, count)).astype(np.int64)):
                batch, part = sampler.plain(rows), torch.from_numpy(labels[rows])
                costs.append(self.costs(module, module.features(torch.from_numpy(batch["image"])), part))
        module.train()
        return np.asarray(torch.stack(costs).mean(0).numpy(), np.float64)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Error of the points over the inter-pupil distance, balanced accuracy of the tasks, in percent."""
        errors, answers = self.measured(module)
        figures = {"error": float(errors.mean())}
        for column, name in enumerate(self.tasks):
            figures[name] = balanced(answers[column], self.valid_labels[: len(errors), column])
        return figures

    def measured(self, module: nn.Module) -> tuple[NDArray[np.float64], list[Labels]]:
        """Of each validation face the error (N,) in percent of its inter-pupil distance, and each task's
        answer.
        """
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
    """Rows in blocks that fit into the caches."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def earlier_stops(folder: Path | None) -> dict[str, int]:
    """At which step tasks stopped before a run was interrupted."""
    path = None if folder is None else folder / WATCHED
    if path is None or not path.exists():
        return {}
    return {
        name: record["step"]
        for record in read_records(path)
        if isinstance(record.get("step"), int)
        for name, errors in record.items()
        if isinstance(errors, dict) and errors.get("stops")
    }


def balanced(found: Labels, truth: Labels) -> float:
    """The mean of the accuracies of each label that occurs, in percent."""
    shares = [np.mean(found[truth == label] == label) for label in np.unique(truth[truth >= 0])]
    return 100 * float(np.mean(shares)) if shares else float("nan")


def flipped(labels: Labels, flip: NDArray[np.bool_], flips: Sequence[Tensor]) -> NDArray[np.float32]:
    """Labels (B, T) as they are in the mirror, where a face is mirrored."""
    result = labels.copy()
    for column, swap in enumerate(flips):
        rows = flip & (labels[:, column] >= 0)
        result[rows, column] = swap.numpy()[labels[rows, column]]
    return result.astype(np.float32)


def class_weights(faces: FaceTensors, tasks: Tasks, power: float = 0.5) -> list[Tensor]:
    """Weights of each task's classes: frequencies to the power of -`power`, 1 in the mean over the faces."""
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
    """Train; also the steps at which tasks stopped, and the tasks that any face had a label for."""
    torch.manual_seed(seed)
    module = build(config, mean, tasks)
    if initial is not None:
        start_from(module, initial)
        module.looking.mean.copy_(torch.from_numpy(mean))
        module.active.fill_(1)
    faces = FaceTensors(train, markup, CHANNELS)
    others = FaceTensors(valid, markup, CHANNELS) if valid else None
    sampler = TensorSampler(
        faces, config.size, SCALE, config.batch, CHANGES, seed,
        upright=config.upright, mean=mean,
    )  # fmt: skip
    learning = Learning(config, tasks, sampler, others, folder)
    schedule = Schedule.of(config, steps=config.steps, weight_decay=WEIGHT_DECAY)
    Trainer(module, learning, schedule, folder, "points", seed).run(progress)
    module.eval()
    if tasks and config.refit:
        refit_heads(module, learning, config)
    learnt = [task for column, task in enumerate(tasks) if (learning.labels[:, column] >= 0).any()]
    return module, learning.stops, learnt


def refit_heads(module: TCDCNNet, learning: Learning, config: Config) -> None:
    """Fit every task's logistic head anew on the finished features, classes weighed equally.

    A head that stopped early no longer fits the features that went on; and a rare class counts as much as a
    frequent one, so that the probabilities are those of a world where all are equally frequent.
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
    """The graph that users run and the torch weights that training goes on from, both in half precision."""
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.looking.crop_scale),
        **{name: ",".join(labels) for name, labels in tasks.items()},
    }
    size = (module.looking.crop_size, module.looking.crop_size)
    export(module, folder / GRAPH, size=size, outputs=["points", *tasks], metadata=metadata)
    save_state(module, folder / STATE)
