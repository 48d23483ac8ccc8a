"""The two looks as one torch module, from the crop to the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.dan.network import inverse, prepared, similarity, warp
from meanshape.methods.integral.config import CELL, Config
from meanshape.training.layers import reduced


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, for a batch norm follows."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def reduction(inputs: int, outputs: int) -> nn.Sequential:
    """Half the side: a strided 3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(convolution(inputs, outputs, stride=2), nn.BatchNorm2d(outputs), nn.ReLU())


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions; it begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            convolution(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape."""
        return functional.relu(maps + cast(Tensor, self.body(maps)))


class Look(nn.Module):
    """Scores and offsets of points in cells of 8 x 8 pixels.

    Parameters
    ----------
    size
        Side of the picture in pixels, a multiple of 8.
    channels, blocks
        Channels at 1/2, 1/4, 1/8 and 1/16 of the side; residual blocks at 1/4, 1/8, 1/16 and, after both are
        joined, 1/8.
    points
        Number of points by name of the head.
    """

    line: Tensor

    def __init__(
        self, size: int, channels: Sequence[int], blocks: Sequence[int], points: Mapping[str, int]
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = channels
        self.cells, self.bf16 = size // CELL, False
        self.stem = nn.Sequential(
            reduction(3, half), reduction(half, quarter), *(Block(quarter) for _ in range(blocks[0]))
        )
        self.middle = nn.Sequential(reduction(quarter, eighth), *(Block(eighth) for _ in range(blocks[1])))
        self.deep = nn.Sequential(reduction(eighth, sixteenth), *(Block(sixteenth) for _ in range(blocks[2])))
        self.back = nn.Sequential(convolution(sixteenth, eighth, 1), nn.BatchNorm2d(eighth))
        self.last = nn.Sequential(*(Block(eighth) for _ in range(blocks[3])))
        self.heads = nn.ModuleDict({name: nn.Conv2d(eighth, 3 * count, 1) for name, count in points.items()})
        self.register_buffer("line", (torch.arange(self.cells) + 0.5) * CELL - 0.5, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Block):
                nn.init.zeros_(cast(nn.BatchNorm2d, module.body[-1]).weight)
        for head in self.heads.values():
            nn.init.normal_(cast(nn.Conv2d, head).weight, std=0.01)
            nn.init.zeros_(cast(Tensor, cast(nn.Conv2d, head).bias))

    def features(self, image: Tensor) -> Tensor:
        """Maps at 1/8 of the side of prepared images (N, 3, S, S)."""
        middle = self.middle(self.stem(image))
        deep = functional.interpolate(self.back(self.deep(middle)), scale_factor=2.0, mode="nearest")
        deep = deep[..., : self.cells, : self.cells]  # of an odd number of cells the last pair is half empty
        return cast(Tensor, self.last(functional.relu(middle + deep)))

    def forward(self, image: Tensor, heads: Mapping[str, slice]) -> dict[str, Tensor]:
        """The maps (n, 3 K, cells, cells) of each head for its samples, in single precision."""
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16 and self.training):
            features = self.features(image)
            found = {name: self.heads[name](features[rows]) for name, rows in heads.items()}
        return {name: maps.float() for name, maps in found.items()}

    def decode(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points (N, K, 2) and spread of the votes (N, K), in pixels, and raw scores (N, K, cells²).

        The point is the mean of the votes, weighted by the softmax of the scores (Sun 2018, equation 2, with
        offsets).
        """
        count = maps.shape[1] // 3
        scores, x, y = maps.reshape(-1, 3, count, self.cells**2).unbind(1)
        weights = torch.softmax(scores, -1)
        votes_x = self.line.repeat(self.cells) + CELL * x
        votes_y = self.line.repeat_interleave(self.cells) + CELL * y
        mean_x, mean_y = (weights * votes_x).sum(-1), (weights * votes_y).sum(-1)
        away = (votes_x - mean_x[..., None]) ** 2 + (votes_y - mean_y[..., None]) ** 2
        spread = torch.sqrt((weights * away).sum(-1) + 1e-6)
        return torch.stack([mean_x, mean_y], -1), spread, scores


class IntegralNet(nn.Module):
    """Crops (N, 3, S, S) in 0..255 to the points after each look, in pixels of the crop.

    Parameters
    ----------
    config
        Sizes and widths.
    mean
        Mean shape (K, 2) in the unit square of the canonical face box.
    target
        Name of the mark-up that is answered.
    others
        Number of points of each further mark-up that teaches the trunk of the second look.
    """

    mean: Tensor

    def __init__(self, config: Config, mean: Tensor, target: str, others: Mapping[str, int]) -> None:
        super().__init__()
        count = {target: len(mean)}
        self.target, self.ratio = target, config.crop_size // config.first_size
        self.size, self.frame_scale = config.size, config.frame_scale
        self.register_buffer("mean", mean.float())
        self.first = Look(config.first_size, config.first_channels, (0, 1, 1, 0), count)
        self.second = Look(config.size, config.channels, config.blocks, count | dict(others))
        self.first.bf16 = self.second.bf16 = config.bf16

    def upright(self) -> Tensor:
        """The mean shape (K, 2) in pixels of the upright frame."""
        return (self.mean - 0.5) / self.frame_scale * self.size + (self.size - 1) / 2

    def enlarged(self, points: Tensor) -> Tensor:
        """Points of the reduced crop in pixels of the crop."""
        return (points + 0.5) * self.ratio - 0.5

    def first_points(self, image: Tensor) -> Tensor:
        """Points (N, K, 2) after the first look, in pixels of the crop."""
        small = self.first(prepared(reduced(image, self.ratio)), {self.target: slice(None)})
        return self.enlarged(self.first.decode(small[self.target])[0])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Points (N, K, 2) after the first and the second look, spread (N, K) of the second's votes."""
        first = self.first_points(image)
        matrix, shift = similarity(first, self.upright())
        frame = prepared(warp(image, matrix, shift, self.size, exact=True))
        points, spread, _ = self.second.decode(self.second(frame, {self.target: slice(None)})[self.target])
        back, back_shift = inverse(matrix, shift)
        scale = torch.sqrt((back[:, 0] ** 2).sum(-1))
        return [first, points @ back + back_shift, spread * scale[:, None]]


class FirstLook(nn.Module):
    """The first look alone, as a graph of its own: ONNX Runtime would compute both."""

    def __init__(self, net: IntegralNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> list[Tensor]:
        """Its points (N, K, 2)."""
        return [self.net.first_points(image)]
