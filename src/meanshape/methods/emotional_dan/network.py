"""EmotionalDAN as a torch module: DAN's stages, then a joint stage that predicts points and emotion.

Everything between the face crop and the outputs is inside the module, as in ``methods/dan/network.py``.
Points are in pixels of the input crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.dan.network import DANNet, heatmap, inverse, prepared, similarity, warp
from meanshape.training.layers import conv_pairs, grey

BINS, REACH = 16, 2.4
"""Bins of the histogram in `equalised`, and standard deviations that it covers to either side."""


def equalised(face: Tensor) -> Tensor:
    """Return grey faces (N, 1, S, S) after histogram equalisation to -2..2.

    The cumulative histogram is piecewise linear between bins about the mean, and each pixel is spread over
    one bin, so that the result is continuous; it is computed on every second row and column. FER2013's images
    are equalised and other photos are not: this brings both to one distribution.
    """
    side = face.shape[-1]
    sparse = face[:, :, ::2, ::2].flatten(1)
    mean = sparse.mean(1, keepdim=True)
    spread = (sparse - mean).square().mean(1, keepdim=True).sqrt() + 0.02  # a flat picture stays flat
    scale = BINS / (2 * REACH * spread)
    edges = torch.arange(1, BINS, dtype=face.dtype, device=face.device)
    place = ((sparse - mean) * scale + BINS / 2)[:, None, :]
    inner = (edges[:, None] + 0.5 - place).clamp(0, 1).mean(2)  # share of the greys below each inner bound
    below = torch.cat([torch.zeros_like(mean), inner], 1)
    above = torch.cat([inner, torch.ones_like(mean)], 1)
    at = ((face.flatten(1) - mean) * scale + BINS / 2).clamp(0, BINS)
    bin_ = at.floor().clamp(max=BINS - 1)
    index = bin_.long()
    low, high = below.gather(1, index), above.gather(1, index)
    return (4 * (low + (high - low) * (at - bin_)) - 2).reshape(-1, 1, side, side)


def resampling(size: int, reduced: int) -> Tensor:
    """Return the matrix (reduced, size) that resizes a column of pixels: bicubic, antialiased."""
    columns = torch.eye(size)[None, None]
    return functional.interpolate(columns, (reduced, size), mode="bicubic", antialias=True)[0, 0]


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions (He et al. 2016)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(maps, maps, 3, padding=1, bias=False) for _ in range(2))
        self.body = nn.Sequential(first, nn.BatchNorm2d(maps), nn.ReLU(), second, nn.BatchNorm2d(maps))

    def forward(self, image: Tensor) -> Tensor:
        """Return maps of the input's shape (N, C, H, W)."""
        return torch.relu(image + self.body(image))


class JointStage(nn.Module):
    """Convolutions and fc1 shared by both heads.

    A 5x5 convolution, then a 3x3 one for each further width, all with stride 2 and followed by ``blocks``
    residual blocks (empty: one each, none after the first). Without ``residual``: pairs of convolutions with
    pooling, as in DAN. Input: the aligned face and the heatmap of the current shape, or zeros
    (N, 2, size, size).
    """

    def __init__(
        self,
        size: int,
        maps: tuple[int, ...],
        features: int,
        points: int,
        labels: int,
        dropout: float,
        *,
        residual: bool = True,
        blocks: Sequence[int] = (),
    ) -> None:
        super().__init__()
        body = residual_pyramid(2, maps, blocks) if residual else conv_pairs(2, maps)
        layers = [nn.BatchNorm2d(2), *body]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        flat = maps[-1] * (size // 2 ** len(maps)) ** 2
        self.fc1 = nn.Sequential(nn.Linear(flat, features, bias=False), nn.BatchNorm1d(features), nn.ReLU())
        self.drop = nn.Dropout(dropout)
        self.points = nn.Linear(features, 2 * points)
        self.emotion = nn.Linear(features, labels)
        for module in self.trunk.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.points.weight, std=0.001)  # starts as the shape that the stage before it gives
        nn.init.zeros_(self.points.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the update (N, 2K) of the points and the logits (N, L) of the labels."""
        features = self.fc1(self.trunk(image))
        return self.points(features), self.emotion(self.drop(features))

    @property
    def shared(self) -> list[nn.Parameter]:
        """The parameters shared by both heads."""
        return [*self.trunk.parameters(), *self.fc1.parameters()]


def residual_pyramid(channels: int, maps: Sequence[int], blocks: Sequence[int]) -> list[nn.Module]:
    """Return the convolutions of a ``residual`` `JointStage`."""
    layers: list[nn.Module] = []
    for index, count in enumerate(maps):
        kernel = 3 if index else 5
        conv = nn.Conv2d(channels, count, kernel, 2, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(count), nn.ReLU()]
        layers += [Residual(count) for _ in range(blocks[index] if blocks else min(index, 1))]
        channels = count
    return layers


class ShapeHead(nn.Module):
    """Logits (N, L) of the labels from the shape alone; zero until trained."""

    def __init__(self, points: int, labels: int, hidden: int = 256) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2 * points, hidden), nn.Linear(hidden, labels)
        self.drop = nn.Dropout(0.2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def reset(self) -> None:
        """Reinitialise the weights."""
        self.first.reset_parameters()
        self.last.reset_parameters()

    def forward(self, offsets: Tensor) -> Tensor:
        """Return the logits (N, L) of offsets (N, 2K)."""
        result: Tensor = self.last(self.drop(torch.relu(self.first(offsets))))
        return result


class EmotionalDANNet(nn.Module):
    """A DAN and the joint stage after it.

    Input: RGB crops (N, 3, S, S) in 0..255; output: one (N, K, 2) shape per stage, the joint one last, then
    the probabilities (N, L) of the labels.

    Parameters
    ----------
    cascade
        The stages before.
    size
        Side in pixels of a frame for the joint stage alone, aligned with the cascade's last shape; 0: reuse
        the frame of the cascade's last stage, which is nearly as well aligned.
    reduced
        Side in pixels that a larger frame is resized to for the joint stage; 0: no resizing.
    maps, residual, blocks
        Of the joint stage's convolutions, see `JointStage`.
    equalise
        Whether faces are `equalised` for the joint stage.
    labels
        Number of emotions.
    mirror
        Whether the emotion's logits are averaged over the face and its mirror image.
    """

    smaller: Tensor
    temperature: Tensor
    bias: Tensor
    trust: Tensor

    def __init__(
        self,
        cascade: DANNet,
        *,
        size: int,
        maps: tuple[int, ...],
        features: int,
        labels: int,
        dropout: float,
        reduced: int = 0,
        residual: bool = True,
        blocks: Sequence[int] = (),
        use_heatmap: bool = True,
        equalise: bool = False,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.cascade, self.use_heatmap, self.mirror = cascade, use_heatmap, mirror
        self.equalise = equalise
        self.own_frame, self.size = bool(size), size or cascade.sizes[-1]
        self.seen = min(self.size, reduced or self.size)
        self.register_buffer("smaller", resampling(self.size, self.seen), persistent=False)
        points = cascade.mean.shape[0]
        self.joint = JointStage(
            self.seen, maps, features, points, labels, dropout, residual=residual, blocks=blocks
        )
        self.shape_head = ShapeHead(points, labels)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("bias", torch.zeros(labels))
        self.register_buffer("trust", torch.ones(()))  # damping: factor of the points' updates

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return S_1 ... S_T and the probabilities."""
        shapes = self.cascade(image)
        matrix, shift = self.frame(shapes[-1])
        placed = shapes[-1] @ matrix + shift
        if self.own_frame:
            face = prepared(warp(grey(image), matrix, shift, self.size))
        else:
            face = self.cascade.seen if self.cascade.channels == 1 else grey(self.cascade.seen)
        update, logits = self.answer(self.with_heatmap(face, placed))
        logits = logits + self.shape_head(self.offsets(placed))
        return [*shapes, self.move(placed, update, matrix, shift), self.probabilities(logits)]

    def answer(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the joint stage's update and logits, with ``mirror`` averaged over both mirror images."""
        if not self.mirror:
            update, logits = self.joint(seen)
            return update, logits
        updates, logits = self.joint(torch.cat([seen, seen.flip(3)]))
        both = logits.reshape(2, -1, self.joint.emotion.out_features)
        return updates.reshape(2, -1, self.joint.points.out_features)[0], both.mean(0)

    def frame(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Return the similarity from the crop to the joint stage's frame.

        It is the cascade's last one, or the least-squares fit of a shape to the mean shape.
        """
        if not self.own_frame:
            return self.cascade.frame
        return similarity(shape, self.cascade.start(self.size, self.cascade.frame_scale))

    def offsets(self, placed: Tensor) -> Tensor:
        """Return the offsets (N, 2K) of points (N, K, 2) from the mean shape, scaled to about unit length."""
        mean = self.cascade.start(self.size, self.cascade.frame_scale)
        return ((placed - mean) * (20 / self.size)).flatten(1)

    def with_heatmap(self, face: Tensor, placed: Tensor) -> Tensor:
        """Return the joint stage's input (N, 2, seen, seen): prepared faces (N, 1, size, size) and heatmaps.

        The heatmap is that of points in the frame, or zeros without ``use_heatmap``.
        """
        if self.seen != self.size:
            face = self.smaller @ face @ self.smaller.T
            placed = (placed + 0.5) * (self.seen / self.size) - 0.5
        if self.equalise:
            face = equalised(face)
        if not self.use_heatmap:
            return torch.cat([face, torch.zeros_like(face)], 1)
        return torch.cat([face, heatmap(placed, self.seen, self.cascade.heatmap_stride)], 1)

    def move(self, placed: Tensor, update: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
        """Return S_t = T^-1(T(S_{t-1}) + dS_t), where ``placed`` is T(S_{t-1})."""
        back, back_shift = inverse(matrix, shift)
        return (placed + self.trust * self.step(update)) @ back + back_shift

    def step(self, update: Tensor) -> Tensor:
        """Return the points' updates (N, K, 2) in pixels of the frame."""
        return update.reshape(-1, self.cascade.mean.shape[0], 2) * (self.size / 10)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the calibrated probabilities (N, L) of the labels."""
        return torch.softmax((logits + self.bias) / self.temperature, -1)
