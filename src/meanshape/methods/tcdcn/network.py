"""TCDCN as a torch module (Zhang 2014): one small network, a head for the points and one for each task.

The module holds the crops: from the picture around a face box it cuts the square that the network sees,
and, where it looks twice, the same face upright and centred by what the first look answered. Points are in
pixels of the input crop, pixel centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.training.layers import LUMINANCE, grey, raster, see

Module = TypeVar("Module", bound=nn.Module)


class AbsoluteTanh(nn.Module):
    """|tanh|, as both papers have it."""

    def forward(self, maps: Tensor) -> Tensor:
        """The same shape."""
        return torch.tanh(maps).abs()


ACTIVATIONS: dict[str, type[nn.Module]] = {"abs_tanh": AbsoluteTanh, "relu": nn.ReLU}


class Trunk(nn.Module):
    """Four convolutions, the first three pooled: crops (N, C, S, S) to features (N, F).

    Parameters
    ----------
    padded
        The network of VanillaCNN: paddings 2, 1, 0, 0 and a third pool of 3 x 3 with stride 2, which leaves
        3 x 3 of a 40 x 40 crop. Else no padding and pools of 2 x 2, which leave 2 x 2.
    norm
        Batch normalisation between a convolution and its activation; ONNX Runtime folds it.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], activation: str, norm: bool, padded: bool, size: int = 40,
        kernels: Sequence[int] = (5, 3, 3, 2),
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        first = channels
        for index, (maps, kernel) in enumerate(zip(widths, kernels, strict=True)):
            padding = (2, 1, 0, 0)[index] if padded else 0
            convolution = nn.Conv2d(channels, maps, kernel, padding=padding, bias=not norm)
            nn.init.xavier_uniform_(convolution.weight, nn.init.calculate_gain("tanh"))
            if convolution.bias is not None:
                nn.init.constant_(convolution.bias, 0.2)
            pool = [nn.MaxPool2d(3, 2, ceil_mode=True) if index == 2 and padded else nn.MaxPool2d(2)]
            rest = [*([nn.BatchNorm2d(maps)] if norm else []), ACTIVATIONS[activation]()]
            # ReLU and pooling may change places, which is cheaper; |tanh| and pooling may not.
            pooled = [*pool, *rest] if activation == "relu" else [*rest, *pool]
            layers += [convolution, *(pooled if index < 3 else rest)]
            channels = maps
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.eval()
        with torch.no_grad():
            self.outputs = self.layers(torch.zeros(1, first, size, size)).shape[1]
        self.train()

    def forward(self, image: Tensor) -> Tensor:
        """What enters the fully connected layer."""
        features: Tensor = self.layers(image)
        return features


class Looking(nn.Module):
    """Where a network looks: the frame of its crops in the input, and the mean shape in that frame.

    Parameters
    ----------
    mean
        Mean shape (K, 2) in the unit square about the face box.
    crop_size, crop_scale
        Side of the input in pixels and in face boxes.
    size, scale
        The same of the crop that the network sees.
    """

    mean: Tensor
    rows: Tensor
    grid: Tensor

    def __init__(
        self, mean: Tensor, crop_size: int, crop_scale: float, size: int, scale: float, looks: int
    ) -> None:
        super().__init__()
        self.crop_size, self.crop_scale, self.size, self.scale = crop_size, crop_scale, size, scale
        self.looks = looks
        self.register_buffer("mean", mean.float())
        # The first crop is upright: bilinear sampling is one small matrix from either side.
        middle, half = (crop_size - 1) / 2, scale / crop_scale * crop_size / 2
        where = raster(middle - half, middle - half, middle + half, middle + half, (size, size))[0, :, 0]
        away = (where[:, None].clamp(0, crop_size - 1) - torch.arange(crop_size)).abs()
        self.register_buffer("rows", (1 - away).clamp(min=0), persistent=False)
        # Homogeneous pixels of the later crops: fewer steps in the graph.
        line = torch.arange(size, dtype=torch.float32)
        x, y = torch.meshgrid(line, line, indexing="xy")
        grid = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, size * size, 3)
        self.register_buffer("grid", grid, persistent=False)

    def target(self) -> Tensor:
        """Mean shape (K, 2) in pixels of the network's crop."""
        return (self.mean - 0.5) / self.scale * self.size + (self.size - 1) / 2

    def first(self, image: Tensor) -> Tensor:
        """The crop (N, C, size, size) of the face box."""
        return self.rows @ image @ self.rows.T

    def outward(self, points: Tensor) -> Tensor:
        """Points of the first crop as points of the input."""
        ratio = self.scale / self.crop_scale * self.crop_size / self.size
        return points * ratio + (self.crop_size - 1 - (self.size - 1) * ratio) / 2

    def again(self, image: Tensor, points: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """The crop brought upright by points (N, K, 2) of the input, and the way back: q @ matrix + shift.

        `exact` says that the image holds whole numbers of 0..255.

        That is the inverse of the least-squares similarity from the points to the target. Points are complex
        numbers p here, those of the target t, both about their means: p = t |p|^2 / sum(conj(p) t). In as few
        steps as it goes, because in a graph this small every step costs as much as a small convolution.
        """
        target = self.target()
        centre, count = target.mean(0), len(target)
        u, v = (target - centre).unbind(1)
        mean = torch.eye(2).repeat(count, 1) / count
        inner = torch.stack([torch.stack([u, v], 1), torch.stack([-v, u], 1)], 2).reshape(2 * count, 2)
        moments = points.flatten(1) @ torch.cat([inner, mean], 1)  # sum(p conj(t)), mean
        product, middle = moments[:, :2], moments[:, 2:]
        away = points - middle[:, None]
        factor = product * ((away * away).sum((1, 2))[:, None] / (product * product).sum(1, keepdim=True))
        rows = torch.cat([factor @ TURNED, middle], 1).reshape(-1, 3, 2)
        back = rows[:, :2]
        shift = rows[:, 2:] - centre[None] @ back
        if image.shape[1] > 1:  # gathering pays where several channels share the places
            return see(image, back[:, None], shift[:, None], self.size, exact=exact)[:, 0], back, shift
        side = 2 / self.crop_size  # grid_sample counts from -1 to 1
        offset = torch.tensor([[0.0, 0.0], [0.0, 0.0], [side / 2 - 1] * 2])
        places = (self.grid - functional.pad(centre, (0, 1))) @ (rows * side + offset)
        return sampled(image, places.reshape(-1, self.size, self.size, 2)), back, shift


TURNED = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])
"""A complex number (real, imaginary) as the matrix that multiplies rows by it."""


def sampled(image: Tensor, places: Tensor) -> Tensor:
    """The image (N, C, H, W) at places (N, h, w, 2) in -1..1, bilinear; beyond it its border goes on."""
    return functional.grid_sample(image, places, "bilinear", "border", align_corners=False)


def scaled_luminance(image: Tensor) -> Tensor:
    """RGB (N, 3, H, W) in 0..255 to grey about zero: what `scaled` does, as one convolution."""
    weight = image.new_tensor(LUMINANCE).reshape(1, 3, 1, 1) / SPREAD
    return functional.conv2d(image, weight, image.new_tensor([-MIDDLE / SPREAD]))


MIDDLE, SPREAD = 127.5, 64.0
"""What comes off the pixels, and what they are divided by."""


def channels_last(module: Module) -> Module:
    """The module, its convolutions laid out as they train fastest."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def scaled(image: Tensor, channels: int) -> Tensor:
    """Pixels 0..255 as numbers about zero; one channel: grey."""
    image = (image - MIDDLE) / SPREAD
    return grey(image) if channels == 1 and image.shape[1] == 3 else image


class TCDCNNet(nn.Module):
    """Points and tasks from one feature vector. Input: RGB (N, 3, crop_size, crop_size) in 0..255."""

    active: Tensor

    def __init__(
        self,
        looking: Looking,
        tasks: Mapping[str, Sequence[str]],
        *,
        widths: Sequence[int],
        features: int,
        activation: str,
        norm: bool,
        channels: int = 1,
        kernels: Sequence[int] = (5, 3, 3, 2),
    ) -> None:
        super().__init__()
        self.looking, self.tasks, self.channels = looking, tuple(tasks), channels
        self.trunk = Trunk(channels, widths, activation, norm, False, looking.size, kernels)
        self.shared = nn.Sequential(
            nn.Linear(self.trunk.outputs, features, bias=not norm),
            *([nn.BatchNorm1d(features)] if norm else []),
            ACTIVATIONS[activation](),
        )
        self.points = nn.Linear(features, looking.mean.numel())
        self.heads = nn.ModuleList(nn.Linear(features, len(labels)) for labels in tasks.values())
        nn.init.normal_(self.points.weight, std=0.01)
        nn.init.zeros_(self.points.bias)
        # Which tasks still teach; an integer, so that averaging weights copies it.
        self.register_buffer("active", torch.ones(len(tasks), dtype=torch.int64))

    def features(self, crops: Tensor) -> Tensor:
        """What all tasks share (N, F), from crops (N, C, size, size) in 0..255."""
        shared: Tensor = self.shared(self.trunk(scaled(crops, self.channels)))
        return shared

    def shape(self, features: Tensor) -> Tensor:
        """Points (N, K, 2) in pixels of the network's crop."""
        # The head speaks in tenths of the crop: its weights are of one size whatever the resolution.
        tenth = self.looking.size / 10
        bias = self.points.bias * tenth + self.looking.target().flatten()
        answer = functional.linear(features, self.points.weight * tenth, bias)
        return answer.reshape(-1, *self.looking.mean.shape)

    def probabilities(self, features: Tensor) -> list[Tensor]:
        """The probabilities (N, L) of each task, from one product."""
        if not len(self.heads):
            return []
        weights, biases = zip(*((head.weight, head.bias) for head in self.heads), strict=True)
        answer = functional.linear(features, torch.cat(weights), torch.cat(biases))
        return [
            functional.softmax(part, -1) for part in torch.split(answer, [len(bias) for bias in biases], 1)
        ]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Points (N, K, 2) in pixels of the input, then the probabilities (N, L) of each task."""
        image = scaled_luminance(image) if self.channels == 1 else scaled(image, self.channels)
        features = self.shared(self.trunk(self.looking.first(image)))
        points = self.looking.outward(self.shape(features))
        for _ in range(1, self.looking.looks):
            crop, back, shift = self.looking.again(image, points)
            features = self.shared(self.trunk(crop))
            points = self.shape(features) @ back + shift
        return [points, *self.probabilities(features)]
