"""EmotionalDAN as a torch module: DAN's stages, then one that answers points and emotion alike.

Everything between the face crop and the answers is inside the module, as in ``nets/dan.py``. Points are in
pixels of the input crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.dan.network import DANNet, heatmap, inverse, prepared, similarity, warp
from meanshape.training.layers import conv_pairs, grey

BINS, REACH = 16, 2.4
"""Of the histogram that `equalised` makes: how many bins, and how many deviations they reach either side."""


def equalised(face: Tensor) -> Tensor:
    """Grey faces (N, 1, S, S) of any brightness and contrast with their greys spread evenly over -2..2.

    Each grey becomes its rank among the face's own: histogram equalisation, piecewise linear between the
    bounds of bins about the mean, each pixel spread over the width of one, so that nothing jumps; the
    histogram is taken on every second row and column. FER2013's pictures come equalised, other photos do
    not: so both look alike.
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
    """The matrix (reduced, size) that makes a column of pixels shorter: bicubic, without aliasing."""
    columns = torch.eye(size)[None, None]
    return functional.interpolate(columns, (reduced, size), mode="bicubic", antialias=True)[0, 0]


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what they saw (He et al. 2016)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(maps, maps, 3, padding=1, bias=False) for _ in range(2))
        self.body = nn.Sequential(first, nn.BatchNorm2d(maps), nn.ReLU(), second, nn.BatchNorm2d(maps))

    def forward(self, image: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape."""
        return torch.relu(image + self.body(image))


class JointStage(nn.Module):
    """Convolutions and fc1, which both heads read.

    A 5x5 convolution, then for each further width a 3x3 one, each followed by as many residual blocks as
    ``blocks`` says (none: one, but not after the first); each width halves the frame with the stride of its
    first convolution. Not ``residual``: pairs of convolutions with poolings, as DAN's. Input: the upright
    face and the heatmap of the shape so far, or zeros (N, 2, size, size).
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
        """The update (N, 2K) of the points and the logits (N, L) of the labels."""
        features = self.fc1(self.trunk(image))
        return self.points(features), self.emotion(self.drop(features))

    @property
    def shared(self) -> list[nn.Parameter]:
        """The parameters that both heads read."""
        return [*self.trunk.parameters(), *self.fc1.parameters()]


def residual_pyramid(channels: int, maps: Sequence[int], blocks: Sequence[int]) -> list[nn.Module]:
    """The convolutions of a `JointStage` that is ``residual``."""
    layers: list[nn.Module] = []
    for index, count in enumerate(maps):
        kernel = 3 if index else 5
        conv = nn.Conv2d(channels, count, kernel, 2, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(count), nn.ReLU()]
        layers += [Residual(count) for _ in range(blocks[index] if blocks else min(index, 1))]
        channels = count
    return layers


class ShapeHead(nn.Module):
    """Logits (N, L) of the labels from a shape alone; nothing until it has learnt."""

    def __init__(self, points: int, labels: int, hidden: int = 256) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2 * points, hidden), nn.Linear(hidden, labels)
        self.drop = nn.Dropout(0.2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def reset(self) -> None:
        """Forget."""
        self.first.reset_parameters()
        self.last.reset_parameters()

    def forward(self, offsets: Tensor) -> Tensor:
        """Logits from offsets (N, 2K)."""
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
        Side in pixels of a frame of the joint stage's own, upright by the cascade's last shape; 0: it sees
        the frame of the cascade's last stage, which is nearly as upright and there already.
    reduced
        Side in pixels that a larger frame is made smaller to before the joint stage sees it; 0: none is.
    maps, residual, blocks
        Of the joint stage's convolutions, see `JointStage`.
    equalise
        Whether the joint stage sees faces `equalised`.
    labels
        How many emotions there are.
    mirror
        Whether the emotion is the mean of what the face and its mirror image say.
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
        self.register_buffer("trust", torch.ones(()))  # share of the points' moves that are made

    def forward(self, image: Tensor) -> list[Tensor]:
        """S_1 ... S_T and the probabilities."""
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
        """The joint stage's update of the points and logits; these, if asked for, the mean over what is seen
        and its mirror image.
        """
        if not self.mirror:
            update, logits = self.joint(seen)
            return update, logits
        updates, logits = self.joint(torch.cat([seen, seen.flip(3)]))
        both = logits.reshape(2, -1, self.joint.emotion.out_features)
        return updates.reshape(2, -1, self.joint.points.out_features)[0], both.mean(0)

    def frame(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """The similarity from the crop to the joint stage's frame: the cascade's last one, or one that takes
        a shape nearest to the mean shape.
        """
        if not self.own_frame:
            return self.cascade.frame
        return similarity(shape, self.cascade.start(self.size, self.cascade.frame_scale))

    def offsets(self, placed: Tensor) -> Tensor:
        """How far points (N, K, 2) in the frame are from the mean shape's: (N, 2K), a typical one 1 long."""
        mean = self.cascade.start(self.size, self.cascade.frame_scale)
        return ((placed - mean) * (20 / self.size)).flatten(1)

    def with_heatmap(self, face: Tensor, placed: Tensor) -> Tensor:
        """What the joint stage sees (N, 2, seen, seen) of prepared grey faces (N, 1, size, size): them, and
        the heatmap of points in their frame, zeros where it is not to be seen.
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
        """S_t = T^-1(T(S_{t-1}) + dS_t), where ``placed`` is T(S_{t-1})."""
        back, back_shift = inverse(matrix, shift)
        return (placed + self.trust * self.step(update)) @ back + back_shift

    def step(self, update: Tensor) -> Tensor:
        """The points' moves (N, K, 2) in pixels of the frame."""
        return update.reshape(-1, self.cascade.mean.shape[0], 2) * (self.size / 10)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities of the labels."""
        return torch.softmax((logits + self.bias) / self.temperature, -1)
