"""Training of EmotionalDAN: DAN's stages as in DAN, then the joint stage on faces of both kinds."""

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
from meanshape.methods.emotional_dan.training.cascade import (
    has_lean_stage,
    train_lean_cascade,
    use_lean_stage,
)
from meanshape.methods.emotional_dan.training.data import EmotionBank, JointSampler, build
from meanshape.methods.emotional_dan.training.finish import (
    best_temperature,
    emotion_figures,
    emotion_logits,
    fit_point_damping,
    fit_shape_head_weight,
    logit_adjustment,
    train_shape_head,
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
    """The training loop; with ``turn`` above 0, Muon updates the convolutions."""

    def __init__(
        self, module: EmotionalDANNet, task: JointTask, schedule: Schedule, folder: Path | None, seed: int
    ) -> None:
        relative_step, bf16 = task.config.turn, task.config.bf16
        super().__init__(module, task, schedule, None if relative_step else folder, "joint", seed)
        if relative_step:
            trainable = [p for p in module.parameters() if p.requires_grad]
            convolutions = [p for p in trainable if p.ndim == 4]
            own_ids = {id(weight) for weight in convolutions}
            others = [p for p in trainable if id(p) not in own_ids]
            decay = schedule.weight_decay
            muon: Any = Orthogonal(convolutions, others, schedule.rate, relative_step, decay, bf16=bf16)
            self.optimiser = muon
            self.folder = folder
            self._resume()


class JointTask:
    """The joint stage's batches, loss and validation: every face contributes the losses of its labels."""

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
        """Return batch ``step``."""
        return self.sampler.batch(step)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return share * error of the points + (1 - share) * cross entropy of the emotion."""
        assert isinstance(module, EmotionalDANNet)
        module.cascade.eval()
        with torch.no_grad():
            shape = module.cascade(batch["image"])[-1]
            matrix, shift = module.frame(shape)
            placed = shape @ matrix + shift
            # Only the frame is jittered, not the current shape: errors of that shape look the same.
            matrix, shift = jittered(matrix, shift, batch["jitter"], module.size)
            faces = [prepared(warp(grey(batch["image"]), matrix, shift, module.size))]
        count, shapes = len(placed), [placed]
        target = None
        if "face" in batch:
            mixed_faces, target = self._targets(batch)
            faces.append(prepared(mixed_faces))
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
            error = (error + self._pseudo_label_error(module, batch, update[count:])) / 2
        cross_entropy = -(target * torch.log_softmax(logits[count:], -1)).sum(-1).mean()
        return self.config.share * error + (1 - self.config.share) * cross_entropy

    def _targets(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return faces and target distributions: smoothed, class-weighted, with mixup and distillation."""
        face, label = batch["face"], batch["label"]
        assert self.weights is not None
        smooth, taught = self.config.smoothing, self.config.taught
        target = label * (1 - smooth) + smooth / label.shape[1]
        target = target * (label @ self.weights)[:, None]
        if self.config.mixup and torch.rand(()) < 0.5:
            mix = float(torch.distributions.Beta(self.config.mixup, self.config.mixup).sample())
            face, target = (mix * both + (1 - mix) * both.flip(0) for both in (face, target))
        if self.teachers is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
                teacher_probabilities = self.teachers.predict(face, self._shape(batch))
            target = (1 - taught) * target + taught * teacher_probabilities * target.sum(1, keepdim=True)
        return face, target

    def _shape(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the current shape of faces with an emotion.

        It is jittered with the face, as the cascade's shape would be; without that, 5 of 100 faces were lost
        in 900 steps. With ``own_points`` it is not, since the stage then learns to correct it.
        """
        return batch["placed" if self.config.own_points else "target"]

    def _pseudo_label_error(
        self, module: EmotionalDANNet, batch: dict[str, Tensor], update: Tensor
    ) -> Tensor:
        """Return the points' loss of faces without points, with the cascade's points as pseudo-labels."""
        eyes = self.sampler.points.bank.markup
        left, right = (
            batch["target"][:, list(eye)].mean(1) for eye in (eyes.left_eye or (), eyes.right_eye or ())
        )
        norm = (left - right).norm(dim=-1).clamp(min=0.1 * module.size)
        distances, known = point_distances(batch["placed"] + module.step(update), batch["target"], norm)
        return masked_mean(self.shape_loss(distances), known)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return accuracy and point error, percent; ``error`` is the weighted sum of both errors."""
        assert isinstance(module, EmotionalDANNet)
        figures = {
            "points": point_error(module, self.valid_points or self.sampler.points, self.valid_points is None)
        }
        figures["error"] = figures["points"]
        if self.valid_emotions is not None:
            logits = emotion_logits(module, self.valid_emotions)
            figures |= emotion_figures(logits, self.valid_emotions.labels)
            error_rate = 100 - figures["accuracy"]
            figures["error"] = self.config.share * figures["points"] + (1 - self.config.share) * error_rate
        elif self.valid_points is None:
            figures["error"] = 0.0  # without validation faces there is nothing to choose by: the last is kept
        return figures


def jittered(matrix: Tensor, shift: Tensor, jitter: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return a similarity into the frame, followed by a jitter (N, 2, 3) about the frame's centre."""
    linear, middle = jitter[:, :, :2].transpose(1, 2), (size - 1) / 2
    return matrix @ linear, (shift - middle) @ linear + jitter[:, None, :, 2] + middle


def class_weights(labels: NDArray[np.int64], classes: int, power: float) -> Tensor:
    """Return class weights (L,): 1 / frequency to a power, with mean 1 over the faces."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1).astype(np.float64)
    weights = counts**-power
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()


def point_error(module: EmotionalDANNet, sampler: CropSampler, training: bool) -> float:
    """Return the NME over the inter-pupil distance after the joint stage, percent."""
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
        if has_lean_stage(module.cascade):
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
    valid_faces = CropBank(check, markup) if check else None
    if config.quick and (config.quick_again or not has_lean_stage(module.cascade)):
        if not has_lean_stage(module.cascade):
            use_lean_stage(module.cascade, config.quick)
        train_lean_cascade(module.cascade, crops, valid_faces, config, folder, progress)
    schedule = joint_schedule(config)
    teachers = Teachers.of(config, initial, mean, labels) if schedule and config.taught else None
    emotions = _bank(module, train, labels, markup, folder, "train")
    valid_emotions = _bank(module, valid or (), labels, markup, folder, "valid")
    sampler = _sampler(config, crops, emotions, module.size, len(labels), seed)
    task = JointTask(sampler, valid_faces, valid_emotions, config, teachers)
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
    """Return the sampler of faces with points and faces with an emotion, or of the former alone."""
    count = round(config.batch * (1 - config.points_share)) if emotions is not None else 0
    points = replace(crops, batch_size=config.batch - count)
    scale = config.cascade.frame_scale
    return JointSampler(
        points, emotions, count, config.augmentation, size, scale, classes, seed, config.tight
    )


def finish(module: EmotionalDANNet, task: JointTask, seed: int, progress: Progress) -> None:
    """Fit what takes seconds: the damping of the points' updates, the shape head and the temperature.

    What is fitted on validation faces keeps its initial value if none are given: one may first fit it on a
    validation split and then train on the whole set.
    """
    if task.valid_points is not None:
        progress(1.0, f"points: {fit_point_damping(module, task.valid_points):.2f} of the last stage's moves")
    train_faces, valid_faces = task.sampler.emotions, task.valid_emotions
    if train_faces is None:
        return
    module.bias.copy_(logit_adjustment(train_faces.labels, task.sampler.classes, task.config.even))
    if valid_faces is None:
        return
    nn.init.zeros_(module.shape_head.last.weight)
    nn.init.zeros_(module.shape_head.last.bias)
    logits = emotion_logits(module, valid_faces)
    train_shape_head(module, train_faces, seed)
    weight = fit_shape_head_weight(module, logits, valid_faces)
    logits = emotion_logits(module, valid_faces) + module.bias
    module.temperature.fill_(best_temperature(logits, valid_faces.labels))
    progress(1.0, f"shape head at {weight:.1f}: {emotion_figures(logits, valid_faces.labels)}")


def _bank(
    module: EmotionalDANNet, samples: Sequence[Sample], labels: Sequence[str], markup: MarkUp,
    folder: Path | None, part: str,
) -> EmotionBank | None:  # fmt: skip
    found = [s for s in samples if s.attributes.get("emotion") in labels]
    cache = None if folder is None else folder / f"frames-{part}.npz"
    return build(module, found, labels, markup, cache) if found else None


def joint_schedule(config: Config) -> Schedule | None:
    """Return the schedule of the joint stage; None where it is not trained."""
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
    """Save the ONNX graph, and the torch weights for further training, both in half precision."""
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
