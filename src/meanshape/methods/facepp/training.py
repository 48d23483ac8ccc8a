"""How the cascade after Zhou 2013 learns: each level on true boxes or points, moved by its expected error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.markup import MarkUp
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.facepp.config import AUGMENTATION
from meanshape.methods.facepp.network import FacePPNet, Frames, Part
from meanshape.methods.onnx.export import export
from meanshape.methods.onnx.state import STATE, save_state, start_from
from meanshape.training.loop import Batch, Schedule, Trainer, channels_last, named
from meanshape.training.losses import LOSSES, masked_mean, point_distances
from meanshape.training.sampling import CropBank, CropSampler

if TYPE_CHECKING:
    from meanshape.methods.facepp.config import Config

GRAPH = "model.onnx"
OUTPUTS = ("boxes", "level2", "level3", "level4")
LEVELS = 4
MARGIN = 1.25
"""Side of level 2's crop in box sizes."""
REACH, WHOLE_REACH = 4.5, 3.2
"""Side of a part's crop in root mean square radii of its points; where one network sees all inner points."""
JITTER = ((0.0, 0.0, 0.0), (0.025, 0.06, 0.0), (0.05, 0.10, 0.0), (0.03, 0.06, 4.0))
"""Of each level's crops in training: shift (crop sides), log of scale, degrees, as deviations."""
WEIGHT_DECAY = 0.02


def split(config: Config, markup: MarkUp) -> tuple[list[tuple[int, ...]], list[Part]]:
    """Branches and parts of the mark-up."""
    inner, contour = tuple(sorted(markup.groups["inner"])), tuple(sorted(markup.groups["contour"]))
    branches = [inner, contour] if config.two_branches else [tuple(range(len(markup)))]
    if not config.parts:
        return branches, [Part("inner", inner, 0)]
    parts = []
    for net, name in enumerate(("brow", "eye")):
        right = markup.groups[f"right_{name}"]
        parts.append(Part(f"right_{name}", right, net))
        parts.append(Part(f"left_{name}", tuple(markup.mirror[i] for i in right), net, mirrored=True))
    parts += [Part(name, markup.groups[name], net) for net, name in ((2, "nose"), (3, "mouth"))]
    return branches, parts


def build(config: Config, mean: NDArray[np.float64], markup: MarkUp) -> FacePPNet:
    """The torch module of a configuration, given the mean shape (K, 2) in boxes about the box's middle."""
    branches, parts = split(config, markup)
    shape = torch.from_numpy(mean / config.crop_scale)
    corners = torch.stack([corners_of(shape[None, list(b)])[0] for b in branches])
    nets = [next(p for p in parts if p.net == n) for n in range(1 + max(p.net for p in parts))]
    part_net = (config.part_size, config.part_widths, config.part_features)
    whole_net = (config.whole_size, config.whole_widths, config.whole_features)
    module = FacePPNet(
        branches,
        parts,
        (corners, [shape[list(b)] for b in branches], [shape[list(p.indices)] for p in nets]),
        crop_size=config.crop_size,
        box_net=(config.box_size, config.box_widths, config.box_features),
        whole_net=whole_net,
        part_net=part_net if config.parts else whole_net,
        margin=MARGIN,
        reach=REACH if config.parts else WHOLE_REACH,
        dropout=config.dropout,
        use_boxes=config.use_boxes,
    )
    matrices, middles = module.box_frames(module.corners[None])
    for number, branch in enumerate(branches):
        frame = matrices[:, number], middles[:, number]
        module.mean_of("whole", number).copy_(into(shape[None, list(branch)].float(), frame)[0])
    matrices, middles = module.part_frames(3, shape[None].float())
    for number, part in enumerate(module.parts):
        if part in nets:
            points, frame = shape[None, list(part.indices)].float(), (matrices[:, number], middles[:, number])
            module.mean_of("part", part.net).copy_(into(points, frame)[0])
    return module


def corners_of(points: Tensor) -> Tensor:
    """Corners (N, 2, 2) of the tight boxes of points (N, K, 2); points that are NaN do not count."""
    low = torch.nan_to_num(points, torch.inf).amin(1)
    high = torch.nan_to_num(points, -torch.inf).amax(1)
    return torch.stack([low, high], 1)


def into(points: Tensor, frame: tuple[Tensor, Tensor]) -> Tensor:
    """Points (N, k, 2) of the picture in a frame (N, 2, 2), (N, 1, 2)."""
    inside: Tensor = (points - frame[1]) @ torch.linalg.inv(frame[0])
    return inside


def moved(frames: Frames, noise: Tensor) -> Frames:
    """Frames shifted, scaled and turned by noise (N, k, 4): x and y in their sides, log of scale, radians."""
    side = torch.linalg.det(frames[0]).abs().sqrt()[..., None, None]
    cos, sin = torch.cos(noise[..., 3]), torch.sin(noise[..., 3])
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    scale = torch.exp(noise[..., 2])[..., None, None]
    matrix: Tensor = scale * frames[0] @ turn
    return matrix, frames[1] + side * noise[..., None, :2]


class LevelTask:
    """One level: its batches, its loss and the error after it."""

    def __init__(self, level: int, sampler: CropSampler, valid: CropBank | None, config: Config) -> None:
        self.level, self.sampler, self.config, self.valid = level, sampler, config, valid
        self.shape_loss = LOSSES["wing"]

    def batch(self, step: int) -> Batch:
        """Augmented crops of batch ``step``, and by how much each network's crop misses its place."""
        batch = self.sampler.batch(step)
        rng = np.random.default_rng((self.sampler.seed, 5, step))
        noise = rng.normal(size=(len(batch["image"]), 6, 4)).clip(-2.5, 2.5)
        shift, scale, turn = JITTER[self.level - 1]
        batch["noise"] = (noise * (shift, shift, scale, np.radians(turn))).astype(np.float32)
        return batch

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Point (level 1: corner) error over the inter-pupil distance, the mean over the networks."""
        assert isinstance(module, FacePPNet)
        image, points, norm = batch["image"], batch["points"], batch["norm"]
        pairs = (self._whole if self.level <= 2 else self._parts)(module, image, points, batch["noise"])
        losses = []
        for found, target in pairs:
            distances, known = point_distances(found, target, norm)
            losses.append(masked_mean(self.shape_loss(distances), known))
        return torch.stack(losses).mean()

    def _whole(
        self, module: FacePPNet, image: Tensor, points: Tensor, noise: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """What levels 1 and 2 answer to true boxes that are moved by the noise, and what they should."""
        each = [points[:, list(branch)] for branch in module.branches]
        true = torch.stack([corners_of(branch) for branch in each], 1)
        if self.level == 1:
            return list(zip(module.face_boxes(image).unbind(1), true.unbind(1), strict=True))
        if module.use_boxes:
            frames = moved(module.box_frames(true), noise[:, : len(each)])
        else:  # what misses the face is the crop itself, which augmentation moves
            frames = module.box_frames(module.face_boxes(image))
        return _pairs(module.whole_points(image, frames), each)

    def _parts(
        self, module: FacePPNet, image: Tensor, points: Tensor, noise: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """The same for the parts of levels 3 and 4."""
        filled, each = torch.nan_to_num(points), []
        for part in module.parts:
            indices = list(part.indices)
            each.append(points[:, indices])
            filled[:, indices] = _filled(each[-1], module.mean_of("part", part.net))
        frames = moved(module.part_frames(self.level, filled), noise[:, : len(each)])
        return _pairs(module.part_points(self.level, image, frames), each)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Error in percent of the inter-pupil distance: of the corners (level 1) or of all points."""
        assert isinstance(module, FacePPNet)
        bank = self.valid or self.sampler.bank
        sampler = CropSampler(bank, self.sampler.size, self.sampler.scale, 1, AUGMENTATION)
        total = len(bank) if self.valid else min(64, len(bank))
        rows = []
        with torch.no_grad():
            for start in range(0, total, 50):
                batch = sampler.plain(start, min(50, total - start))
                points = torch.from_numpy(batch["points"])
                found = module(torch.from_numpy(batch["image"]), levels=self.level)[-1]
                if self.level == 1:
                    true = torch.stack([corners_of(points[:, list(b)]) for b in module.branches], 1)
                    found, points = found.flatten(1, 2), true.flatten(1, 2)
                rows.append((found - points).norm(dim=-1) / torch.from_numpy(batch["norm"])[:, None])
        each = 100 * torch.nanmean(torch.cat(rows), 0)
        inner = list(self.sampler.bank.markup.groups["inner"])
        more = {"inner": float(torch.nanmean(each[inner]))} if self.level > 1 else {}
        return {"error": float(torch.nanmean(each))} | more


def _pairs(found: Tensor, true: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Points that were found one frame after the other, with the true ones of each frame."""
    return list(zip(torch.split(found, [t.shape[1] for t in true], 1), true, strict=True))


def _filled(points: Tensor, mean: Tensor) -> Tensor:
    """Points (N, k, 2) where those that are not annotated lie in the middle of the others.

    A part of which less than two are gets some place: nothing is learnt from it.
    """
    known = ~torch.isnan(points).any(-1, keepdim=True)
    middle = torch.nan_to_num(points.nanmean(1, keepdim=True))
    filled = torch.where(known, points, middle)
    return torch.where(known.sum(1, keepdim=True) < 2, 30 * mean + middle, filled)


def fit(
    config: Config, mean: NDArray[np.float64], markup: MarkUp, train: Sequence[Sample],
    valid: Sequence[Sample] | None, *, seed: int, folder: Path | None, initial: Path | None,
    progress: Progress,
) -> FacePPNet:  # fmt: skip
    """Train the levels in turn, each resuming from its checkpoint in ``folder`` if there is one."""
    torch.manual_seed(seed)
    module = build(config, mean, markup)
    channels_last(module)
    if initial is not None:
        start_from(module, initial)
    bank = CropBank(train, markup)
    valid_bank = CropBank(valid, markup) if valid else None
    nets: list[nn.Module] = [module.boxes, module.wholes, module.straight, module.upright]
    for level in range(1, LEVELS + 1):
        if not config.steps[level - 1] or (level == 1 and not config.use_boxes):
            continue
        if level == LEVELS and initial is None:
            nets[3].load_state_dict(nets[2].state_dict())  # the same parts, only turned
        module.requires_grad_(False)
        nets[level - 1].requires_grad_(True)
        sampler = CropSampler(
            bank, config.crop_size, config.crop_scale, config.batch, AUGMENTATION, seed + level
        )
        task = LevelTask(level, sampler, valid_bank, config)
        trainer = Trainer(module, task, schedule_of(config, level), folder, f"level{level}", seed)
        trainer.run(named(progress, f"level {level}"))
        if trainer.stopped:
            break
    return module.eval()


def schedule_of(config: Config, level: int) -> Schedule:
    """The schedule of a level."""
    rate = config.rate * (0.5 if level == LEVELS else 1.0)
    return Schedule.of(
        config, steps=config.steps[level - 1], rate=rate, weight_decay=WEIGHT_DECAY, validate_every=120.0
    )


def save(module: FacePPNet, folder: Path, markup: str) -> None:
    """The graph that users run and the torch weights that training goes on from, both in half precision."""
    size = (module.crop_size, module.crop_size)
    export(module, folder / GRAPH, size=size, outputs=OUTPUTS, metadata={"markup": markup})
    save_state(module, folder / STATE)
