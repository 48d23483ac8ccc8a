"""How EmotionalDAN learns: DAN's stages as DAN does, then the joint stage from faces of both kinds."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from meanshape.core.config import from_toml
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.markup import MarkUp
from meanshape.core.types import Sample
from meanshape.core.weights import read_card
from meanshape.methods.base import Progress
from meanshape.methods.nets import dan_training
from meanshape.methods.nets.blocks import grey
from meanshape.methods.nets.dan import inverse, prepared, warp
from meanshape.methods.nets.emotional_dan import EmotionalDAN
from meanshape.methods.nets.emotional_dan_cascade import is_quick, learn, quicken
from meanshape.methods.nets.emotional_dan_data import EmotionBank, JointSampler, build
from meanshape.methods.nets.emotional_dan_finish import (
    best_temperature,
    damp_points,
    emotion_figures,
    emotion_logits,
    even_chances,
    learn_shape_head,
    weigh_shape_head,
)
from meanshape.methods.nets.export import export
from meanshape.methods.nets.state import adopt, load_state, save_state
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.orthogonal import Orthogonal
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.emotional_dan import Config

GRAPH, LABELS, STATE = "model.onnx", "labels.txt", "weights.safetensors"
HEAD = {"emotion.weight", "emotion.bias"}  # of the joint stage: other labels want another
CHECK_EVERY = 240.0  # seconds between validations


class JointTrainer(Trainer):
    """The usual loop; where ``turn`` is given, with orthogonal steps for the convolutions."""

    def __init__(
        self, module: EmotionalDAN, task: JointTask, schedule: Schedule, folder: Path | None, seed: int
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
        teacher: EmotionalDAN | None = None,
    ) -> None:
        self.sampler, self.config, self.teacher = sampler, config, teacher
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
        assert isinstance(module, EmotionalDAN)
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
            shapes.append(batch["placed"])
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
        if self.teacher is not None:
            says = self._says(self.teacher, face, batch["placed"])
            target = (1 - taught) * target + taught * says * target.sum(1, keepdim=True)
        return face, target

    def _says(self, teacher: EmotionalDAN, face: Tensor, placed: Tensor) -> Tensor:
        """What a teacher says (N, L) of the very faces that the pupil sees, moved, changed and mixed as they
        are (Beyer et al. 2022, "A good teacher is patient and consistent").
        """
        ratio = teacher.size / face.shape[-1]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            larger = functional.interpolate(face, size=(teacher.size, teacher.size), mode="bilinear")
            seen = teacher.with_heatmap(prepared(larger), (placed + 0.5) * ratio - 0.5)
            return torch.softmax(teacher.joint(seen)[1].float(), -1)

    def _own(self, module: EmotionalDAN, batch: dict[str, Tensor], update: Tensor) -> Tensor:
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
        assert isinstance(module, EmotionalDAN)
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


def point_error(module: EmotionalDAN, sampler: CropSampler, training: bool) -> float:
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
) -> EmotionalDAN:  # fmt: skip
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
            initial=initial if _method(initial) == "dan" else None,
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
    teacher = _teacher(config, initial, mean, labels) if schedule and config.taught else None
    if teacher is not None and config.as_teacher:
        adopt(module.joint, teacher.joint)
    emotions = _bank(module, train, labels, markup, folder, "train")
    valid_emotions = _bank(module, valid or (), labels, markup, folder, "valid")
    sampler = _sampler(config, crops, emotions, module.size, len(labels), seed)
    task = JointTask(sampler, checked, valid_emotions, config, teacher)
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


def finish(module: EmotionalDAN, task: JointTask, seed: int, progress: Progress) -> None:
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


def start(
    config: Config, mean: NDArray[np.float64], labels: Sequence[str], initial: Path | None
) -> EmotionalDAN:
    """The module of a configuration, with the weights of a DAN or of an EmotionalDAN if there are any."""
    module = EmotionalDAN(
        dan_training.build(config.cascade, mean),
        size=config.size,
        maps=config.maps,
        features=config.features,
        labels=max(1, len(labels)),  # a head of nothing is no head
        dropout=config.dropout,
        residual=config.residual,
        use_heatmap=config.use_heatmap,
        mirror=config.mirror,
    )
    anything: Any = module  # torch's types forget this argument
    anything.to(memory_format=torch.channels_last)
    if initial is not None:
        whole = _method(initial) == "emotional_dan"
        quick = _counts(initial, "quick") if whole else ()
        if quick:
            if quick != config.quick:
                raise WeightsError(f"{initial}: its cascade is another than quick = {config.quick} asks for")
            quicken(module.cascade, config.quick)
        fresh = copy.deepcopy(module.joint)
        loaded = load_state(module if whole else module.cascade, initial / STATE)
        missing = {name for name, _ in fresh.named_parameters() if f"joint.{name}" not in loaded}
        if whole and missing - HEAD:
            module.joint = fresh  # the other's is built otherwise
            module.trust.fill_(1)
        if whole and missing:
            module.temperature.fill_(1)
    return module


def _method(folder: Path | None) -> str | None:
    """Which method's weights a folder holds."""
    try:
        return None if folder is None else read_card(folder).method
    except WeightsError:
        return None


def _counts(folder: Path, name: str) -> tuple[int, ...]:
    """Numbers in the configuration of a run folder; none where it is older than that setting."""
    kept: dict[str, Any] = tomllib.loads((folder / "config.toml").read_text("utf-8"))
    return tuple(kept.get(name, ()))


def _bank(
    module: EmotionalDAN, samples: Sequence[Sample], labels: Sequence[str], markup: MarkUp,
    folder: Path | None, part: str,
) -> EmotionBank | None:  # fmt: skip
    found = [s for s in samples if s.attributes.get("emotion") in labels]
    cache = None if folder is None else folder / f"frames-{part}.npz"
    return build(module, found, labels, markup, cache) if found else None


def _teacher(
    config: Config, initial: Path | None, mean: NDArray[np.float64], labels: Sequence[str]
) -> EmotionalDAN:
    """The EmotionalDAN that teaches, or else the one that a training starts from."""
    folder = Path(config.teacher) if config.teacher else initial
    if folder is None or _method(folder) != "emotional_dan":
        raise ConfigError(
            "taught above 0 wants an emotional_dan that teaches: --init or --set teacher= its run folder"
        )
    if tuple((folder / LABELS).read_text("utf-8").split()) != tuple(labels):
        raise WeightsError(f"{folder}: it tells other labels apart than {', '.join(labels)}")
    own = from_toml(type(config), (folder / "config.toml").read_text("utf-8"), where=str(folder))
    return start(own, mean, labels, folder).requires_grad_(False).eval()


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


def run(module: EmotionalDAN, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What the graph answers too: shapes (N, K, 2) of every stage, then probabilities (N, L)."""
    with torch.no_grad():
        answers = module(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
        return [answer.numpy() for answer in answers]


def save(module: EmotionalDAN, folder: Path, markup: MarkUp, labels: Sequence[str]) -> None:
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
