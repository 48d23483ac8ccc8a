"""How EmotionalDAN learns: DAN's stages as DAN does, then the joint stage from faces of both kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.errors import ConfigError
from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.dan import training as dan_training
from meanshape.methods.dan.network import inverse, prepared, warp
from meanshape.methods.emotional_dan.network import EmotionalDANNet
from meanshape.methods.emotional_dan.training.cascade import is_quick, learn, quicken
from meanshape.methods.emotional_dan.training.data import EmotionBank, JointSampler, build
from meanshape.methods.emotional_dan.training.finish import (
    best_temperature,
    damp_points,
    emotion_figures,
    emotion_logits,
    even_chances,
    learn_shape_head,
    weigh_shape_head,
)
from meanshape.methods.emotional_dan.training.start import Teachers, method_of, start
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state
from meanshape.training.layers import grey
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.orthogonal import Orthogonal
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.emotional_dan.config import Config

GRAPH = "model.onnx"
CHECK_EVERY = 240.0  # seconds between validations


class JointTrainer(Trainer):
    """The usual loop; where ``turn`` is given, with orthogonal steps for the convolutions."""

    def __init__(
        self, module: EmotionalDANNet, task: JointTask, schedule: Schedule, folder: Path | None, seed: int
    ) -> None:
        turn, bf16 = task.config.turn, task.config.bf16
        super().__init__(module, task, schedule, None if turn else folder, "joint", seed)
        if turn:
            learning = [p for p in module.parameters() if p.requires_grad]
            convolutions = [p for p in learning if p.ndim == 4]
            apart = {id(weight) for weight in convolutions}
            others = [p for p in learning if id(p) not in apart]
            decay = schedule.weight_decay
            mixed: Any = Orthogonal(convolutions, others, schedule.rate, turn, decay, bf16=bf16)
            self.optimiser = mixed
            self.folder = folder
            self._resume()


class JointTask:
    """The joint stage: every face pays for the labels it has."""

    def __init__(
        self,
        sampler: JointSampler,
        valid_points: CropBank | None,
        valid_emotions: EmotionBank | None,
        config: Config,
        teachers: Teachers | None = None,
    ) -> None:
        self.sampler, self.config, self.teachers = sampler, config, teachers
        self.valid_points = None if valid_points is None else replace(sampler.points, bank=valid_points)
        self.valid_emotions = valid_emotions
        self.shape_loss = LOSSES[config.cascade.loss]
        bank = sampler.emotions
        self.weights = None if bank is None else class_weights(bank.labels, sampler.classes, config.balance)

    def batch(self, step: int) -> Batch:
        """Batch ``step``."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """share * error of the points + (1 - share) * cross entropy."""
        assert isinstance(module, EmotionalDANNet)
        module.cascade.eval()
        with torch.no_grad():
            shape = module.cascade(batch["image"])[-1]
            matrix, shift = module.frame(shape)
            placed = shape @ matrix + shift
            # The frame is moved, the shape so far is not: an error of that shape looks just so.
            matrix, shift = moved(matrix, shift, batch["jitter"], module.size)
            faces = [prepared(warp(grey(batch["image"]), matrix, shift, module.size))]
        count, shapes = len(placed), [placed]
        target = None
        if "face" in batch:
            mixed, target = self._mixed(batch)
            faces.append(prepared(mixed))
            shapes.append(self._shape(batch))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            update, logits = module.joint(module.with_heatmap(torch.cat(faces), torch.cat(shapes)))
        update, logits = update.float(), logits.float()
        back, back_shift = inverse(matrix, shift)
        found = (placed + module.step(update[:count])) @ back + back_shift
        distances, known = point_distances(found, batch["points"], batch["norm"])
        error = masked_mean(self.shape_loss(distances), known)
        if target is None:
            return error
        if self.config.own_points:
            error = (error + self._own(module, batch, update[count:])) / 2
        wrong = -(target * torch.log_softmax(logits[count:], -1)).sum(-1).mean()
        return self.config.share * error + (1 - self.config.share) * wrong

    def _mixed(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Faces and what their logits should say: smoothed, weighted by class, at times mixed; taught."""
        face, label = batch["face"], batch["label"]
        assert self.weights is not None
        smooth, taught = self.config.smoothing, self.config.taught
        target = label * (1 - smooth) + smooth / label.shape[1]
        target = target * (label @ self.weights)[:, None]
        if self.config.mixup and torch.rand(()) < 0.5:
            share = float(torch.distributions.Beta(self.config.mixup, self.config.mixup).sample())
            face, target = (share * both + (1 - share) * both.flip(0) for both in (face, target))
        if self.teachers is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
                says = self.teachers.say(face, self._shape(batch))
            target = (1 - taught) * target + taught * says * target.sum(1, keepdim=True)
        return face, target

    def _shape(self, batch: dict[str, Tensor]) -> Tensor:
        """The shape so far of faces with an emotion.

        It moves with the face, as the cascade's would: one that stays cost 5 of 100 faces in
        900 steps. Only a face that pays for where its points are sees them where they were.
        """
        return batch["placed" if self.config.own_points else "target"]

    def _own(self, module: EmotionalDANNet, batch: dict[str, Tensor], update: Tensor) -> Tensor:
        """Error of the points on faces without points, against those that the cascade itself placed."""
        eyes = self.sampler.points.bank.markup
        left, right = (
            batch["target"][:, list(eye)].mean(1) for eye in (eyes.left_eye or (), eyes.right_eye or ())
        )
        norm = (left - right).norm(dim=-1).clamp(min=0.1 * module.size)
        distances, known = point_distances(batch["placed"] + module.step(update), batch["target"], norm)
        return masked_mean(self.shape_loss(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Accuracy and error in percent; ``error`` is the weighted sum of what is wrong of either."""
        assert isinstance(module, EmotionalDANNet)
        figures = {
            "points": point_error(module, self.valid_points or self.sampler.points, self.valid_points is None)
        }
        figures["error"] = figures["points"]
        if self.valid_emotions is not None:
            logits = emotion_logits(module, self.valid_emotions)
            figures |= emotion_figures(logits, self.valid_emotions.labels)
            wrong = 100 - figures["accuracy"]
            figures["error"] = self.config.share * figures["points"] + (1 - self.config.share) * wrong
        elif self.valid_points is None:
            figures["error"] = 0.0  # faces that were learnt from are nothing to choose by: the last is kept
        return figures


def moved(matrix: Tensor, shift: Tensor, jitter: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A similarity into the frame, followed by (N, 2, 3) moves about the frame's centre."""
    turn, middle = jitter[:, :, :2].transpose(1, 2), (size - 1) / 2
    return matrix @ turn, (shift - middle) @ turn + jitter[:, None, :, 2] + middle


def class_weights(labels: NDArray[np.int64], classes: int, power: float) -> Tensor:
    """What a face of each class counts: 1 / frequency to a power, 1 on average over the faces."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1).astype(np.float64)
    weights = counts**-power
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()


def point_error(module: EmotionalDANNet, sampler: CropSampler, training: bool) -> float:
    """NME over inter-pupil distance in percent, after the joint stage."""
    total = min(64, len(sampler.bank)) if training else len(sampler.bank)
    errors = []
    with torch.no_grad():
        for start in range(0, total, 50):
            batch = sampler.plain(start, min(50, total - start))
            shape = module(torch.from_numpy(batch["image"]))[-2]
            distances, known = point_distances(
                shape, torch.from_numpy(batch["points"]), torch.from_numpy(batch["norm"])
            )
            errors.append((distances * known).sum(1) / known.sum(1).clamp(min=1))
    return 100 * float(torch.cat(errors).mean())


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, labels: Sequence[str], train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None, progress:
    Progress,
) -> EmotionalDANNet:  # fmt: skip
    """Train the cascade where its config gives it time, then the joint stage."""
    torch.manual_seed(seed)
    with_points = [s for s in train if s.shape is not None]
    check = [s for s in valid or () if s.shape is not None] or None
    module = start(config, mean, labels, initial)
    if any(dan_training.stage_schedule(config.cascade, i) for i in range(len(config.cascade.sizes))):
        if is_quick(module.cascade):
            raise ConfigError(
                f"{initial}: its cascade is quick, so quick_again trains it, not cascade.minutes"
            )
        trained = dan_training.fit(
            config.cascade, mean, markup, with_points, check,
            seed=seed, folder=folder, progress=progress,
            initial=initial if method_of(initial) == "dan" else None,
        )  # fmt: skip
        module.cascade.load_state_dict(trained.state_dict())
    module.requires_grad_(False).eval()
    crops = CropSampler(
        CropBank(with_points, markup), config.cascade.crop_size, config.cascade.crop_scale,
        config.cascade.batch, config.cascade.augmentation, seed + 100, 0.0, config.cascade.soft_share,
    )  # fmt: skip
    checked = CropBank(check, markup) if check else None
    if config.quick and (config.quick_again or not is_quick(module.cascade)):
        if not is_quick(module.cascade):
            quicken(module.cascade, config.quick)
        learn(module.cascade, crops, checked, config, folder, progress)
    schedule = joint_schedule(config)
    teachers = Teachers.of(config, initial, mean, labels) if schedule and config.taught else None
    emotions = _bank(module, train, labels, markup, folder, "train")
    valid_emotions = _bank(module, valid or (), labels, markup, folder, "valid")
    sampler = _sampler(config, crops, emotions, module.size, len(labels), seed)
    task = JointTask(sampler, checked, valid_emotions, config, teachers)
    if schedule is not None:
        module.joint.requires_grad_(True)
        JointTrainer(module, task, schedule, folder, seed).run(
            lambda share, text: progress(share, f"joint: {text}")
        )
    finish(module.requires_grad_(False).eval(), task, seed, progress)
    return module


def _sampler(
    config: Config, crops: CropSampler, emotions: EmotionBank | None, size: int, classes: int, seed: int
) -> JointSampler:
    """Batches of both kinds, or of faces with points alone."""
    count = round(config.batch * (1 - config.points_share)) if emotions is not None else 0
    points = replace(crops, batch_size=config.batch - count)
    scale = config.cascade.frame_scale
    return JointSampler(
        points, emotions, count, config.augmentation, size, scale, classes, seed, config.tight
    )


def finish(module: EmotionalDANNet, task: JointTask, seed: int, progress: Progress) -> None:
    """Settle what takes seconds: how far the points' head is trusted, the shape head, the temperature.

    What takes faces that it has not learnt from stays, where none are given, as the weights it started from
    have it: so one may train on all of a set with what its validation split has settled before.
    """
    if task.valid_points is not None:
        progress(1.0, f"points: {damp_points(module, task.valid_points):.2f} of the last stage's moves")
    learnt, checked = task.sampler.emotions, task.valid_emotions
    if learnt is None:
        return
    module.bias.copy_(even_chances(learnt.labels, task.sampler.classes, task.config.even))
    if checked is None:
        return
    nn.init.zeros_(module.shape_head.last.weight)
    nn.init.zeros_(module.shape_head.last.bias)
    logits = emotion_logits(module, checked)
    learn_shape_head(module, learnt, seed)
    weight = weigh_shape_head(module, logits, checked)
    logits = emotion_logits(module, checked) + module.bias
    module.temperature.fill_(best_temperature(logits, checked.labels))
    progress(1.0, f"shape head at {weight:.1f}: {emotion_figures(logits, checked.labels)}")


def _bank(
    module: EmotionalDANNet, samples: Sequence[Sample], labels: Sequence[str], markup: MarkUp,
    folder: Path | None, part: str,
) -> EmotionBank | None:  # fmt: skip
    found = [s for s in samples if s.attributes.get("emotion") in labels]
    cache = None if folder is None else folder / f"frames-{part}.npz"
    return build(module, found, labels, markup, cache) if found else None


def joint_schedule(config: Config) -> Schedule | None:
    """The schedule of the joint stage; None where it gets no time."""
    if not config.steps and not config.minutes:
        return None
    return Schedule(
        minutes=None if config.steps else config.minutes,
        steps=config.steps or None,
        batch=config.batch,
        rate=config.rate,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        ema=config.ema,
        validate_every=CHECK_EVERY,
    )


def save(module: EmotionalDANNet, folder: Path, markup: MarkUp, labels: Sequence[str]) -> None:
    """The graph that users run and the torch weights that training goes on from, both in half precision."""
    stages = [f"stage{i + 1}" for i in range(len(module.cascade.sizes) + 1)]
    metadata = {
        "markup": markup.name,
        "points": ",".join(markup.points),
        "crop_scale": str(module.cascade.crop_scale),
        "labels": ",".join(labels),
    }
    size = (module.cascade.crop_size, module.cascade.crop_size)
    export(module, folder / GRAPH, size=size, outputs=[*stages, "emotion"], metadata=metadata)
    save_state(module, folder / STATE)
