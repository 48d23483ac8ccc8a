"""TCDCN as a torch module (Zhang 2014): one small network, a head for the points and one for each task.

Cropping is part of the module: it cuts the network's crop out of the input around the face box, and in a
second pass the crop aligned with the points of the first. Points are in pixels of the input, pixel centres
at whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.training.layers import LUMINANCE, grey, raster, warp_frames

Module = TypeVar("Module", bound=nn.Module)


class AbsoluteTanh(nn.Module):
    """The activation |tanh| of both papers."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return |tanh|, elementwise."""
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
            # ReLU and max pooling commute, and pooling first is cheaper; |tanh| and pooling do not commute.
            pooled = [*pool, *rest] if activation == "relu" else [*rest, *pool]
            layers += [convolution, *(pooled if index < 3 else rest)]
            channels = maps
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.eval()
        with torch.no_grad():
            self.outputs = self.layers(torch.zeros(1, first, size, size)).shape[1]
        self.train()

    def forward(self, image: Tensor) -> Tensor:
        """Return the flattened features (N, F)."""
        features: Tensor = self.layers(image)
        return features


class FaceCrops(nn.Module):
    """Cuts the network's crops out of the input, and maps points between the two.

    Parameters
    ----------
    mean
        Mean shape (K, 2) in the unit square around the face box.
    crop_size, crop_scale
        Side of the input in pixels and in face boxes.
    size, scale
        Side of the network's crop in pixels and in face boxes.
    passes
        How often the network runs: first on the box's crop, then on crops aligned with its own points.
    """

    mean: Tensor
    rows: Tensor
    grid: Tensor

    def __init__(
        self, mean: Tensor, crop_size: int, crop_scale: float, size: int, scale: float, passes: int
    ) -> None:
        super().__init__()
        self.crop_size, self.crop_scale = crop_size, crop_scale
        self.size, self.scale = size, scale
        self.passes = passes
        self.register_buffer("mean", mean.float())
        # The first crop is axis-aligned: bilinear sampling is separable, one small matrix for each axis.
        middle, half = (crop_size - 1) / 2, scale / crop_scale * crop_size / 2
        where = raster(middle - half, middle - half, middle + half, middle + half, (size, size))[0, :, 0]
        away = (where[:, None].clamp(0, crop_size - 1) - torch.arange(crop_size)).abs()
        self.register_buffer("rows", (1 - away).clamp(min=0), persistent=False)
        # Homogeneous pixel coordinates of the aligned crops: fewer operators in the graph.
        line = torch.arange(size, dtype=torch.float32)
        x, y = torch.meshgrid(line, line, indexing="xy")
        grid = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, size * size, 3)
        self.register_buffer("grid", grid, persistent=False)

    def target(self) -> Tensor:
        """Return the mean shape (K, 2) in pixels of the network's crop."""
        return (self.mean - 0.5) / self.scale * self.size + (self.size - 1) / 2

    def box_crop(self, image: Tensor) -> Tensor:
        """Return the axis-aligned crop (N, C, size, size) of the face box."""
        return self.rows @ image @ self.rows.T

    def to_input(self, points: Tensor) -> Tensor:
        """Return points of the box's crop in pixels of the input."""
        ratio = self.scale / self.crop_scale * self.crop_size / self.size
        return points * ratio + (self.crop_size - 1 - (self.size - 1) * ratio) / 2

    def aligned_crop(
        self, image: Tensor, points: Tensor, *, exact: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the crop aligned with points (N, K, 2) of the input, and its inverse map q @ matrix + shift.

        The inverse belongs to the least-squares similarity from the points to the target. With points p and
        target t as complex numbers about their means, the inverse maps t to t |p|^2 / sum(conj(p) t). It
        takes few operators, because in a graph this small each one costs as much as a small convolution.

        Parameters
        ----------
        exact
            Whether the image holds whole numbers of 0..255.
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
        rows = torch.cat([factor @ COMPLEX_TO_MATRIX, middle], 1).reshape(-1, 3, 2)
        back = rows[:, :2]
        shift = rows[:, 2:] - centre[None] @ back
        if image.shape[1] > 1:  # gathering pays off where several channels share the coordinates
            return (
                warp_frames(image, back[:, None], shift[:, None], self.size, exact=exact)[:, 0],
                back,
                shift,
            )
        side = 2 / self.crop_size  # grid_sample counts from -1 to 1
        offset = torch.tensor([[0.0, 0.0], [0.0, 0.0], [side / 2 - 1] * 2])
        places = (self.grid - functional.pad(centre, (0, 1))) @ (rows * side + offset)
        return sampled(image, places.reshape(-1, self.size, self.size, 2)), back, shift


COMPLEX_TO_MATRIX = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])
"""Takes a complex number (real, imaginary) to the 2 x 2 matrix that multiplies row vectors by it."""


def sampled(image: Tensor, places: Tensor) -> Tensor:
    """Sample the image (N, C, H, W) at places (N, h, w, 2) in -1..1: bilinear, borders replicated."""
    return functional.grid_sample(image, places, "bilinear", "border", align_corners=False)


def scaled_luminance(image: Tensor) -> Tensor:
    """Return `scaled` grey (N, 1, H, W) of RGB (N, 3, H, W) in 0..255, by one convolution."""
    weight = image.new_tensor(LUMINANCE).reshape(1, 3, 1, 1) / SPREAD
    return functional.conv2d(image, weight, image.new_tensor([-MIDDLE / SPREAD]))


MIDDLE, SPREAD = 127.5, 64.0
"""Pixels are normalised to (value - MIDDLE) / SPREAD."""


def channels_last(module: Module) -> Module:
    """Return the module with its convolutions in channels-last layout, which trains fastest."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def scaled(image: Tensor, channels: int) -> Tensor:
    """Return normalised pixels of 0..255, as luminance if the network has one channel."""
    image = (image - MIDDLE) / SPREAD
    return grey(image) if channels == 1 and image.shape[1] == 3 else image


class TCDCNNet(nn.Module):
    """Points and tasks from one feature vector. Input: RGB (N, 3, crop_size, crop_size) in 0..255."""

    active: Tensor

    def __init__(
        self,
        face_crops: FaceCrops,
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
        self.face_crops = face_crops
        self.tasks = tuple(tasks)
        self.channels = channels
        self.trunk = Trunk(channels, widths, activation, norm, False, face_crops.size, kernels)
        self.shared = nn.Sequential(
            nn.Linear(self.trunk.outputs, features, bias=not norm),
            *([nn.BatchNorm1d(features)] if norm else []),
            ACTIVATIONS[activation](),
        )
        self.points = nn.Linear(features, face_crops.mean.numel())
        self.heads = nn.ModuleList(nn.Linear(features, len(labels)) for labels in tasks.values())
        nn.init.normal_(self.points.weight, std=0.01)
        nn.init.zeros_(self.points.bias)
        # 1 for tasks that have not been stopped; an integer, so that weight averaging copies it.
        self.register_buffer("active", torch.ones(len(tasks), dtype=torch.int64))

    def features(self, crops: Tensor) -> Tensor:
        """Return the shared features (N, F) of crops (N, C, size, size) in 0..255."""
        shared: Tensor = self.shared(self.trunk(scaled(crops, self.channels)))
        return shared

    def shape(self, features: Tensor) -> Tensor:
        """Return the points (N, K, 2) in pixels of the network's crop."""
        # The head predicts in tenths of the crop, so the scale of its weights is independent of resolution.
        tenth = self.face_crops.size / 10
        bias = self.points.bias * tenth + self.face_crops.target().flatten()
        answer = functional.linear(features, self.points.weight * tenth, bias)
        return answer.reshape(-1, *self.face_crops.mean.shape)

    def probabilities(self, features: Tensor) -> list[Tensor]:
        """Return the probabilities (N, L) of each task, from one matrix product."""
        if not len(self.heads):
            return []
        weights, biases = zip(*((head.weight, head.bias) for head in self.heads), strict=True)
        answer = functional.linear(features, torch.cat(weights), torch.cat(biases))
        return [
            functional.softmax(part, -1) for part in torch.split(answer, [len(bias) for bias in biases], 1)
        ]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the points (N, K, 2) in pixels of the input, then the probabilities (N, L) of each task."""
        image = scaled_luminance(image) if self.channels == 1 else scaled(image, self.channels)
        features = self.shared(self.trunk(self.face_crops.box_crop(image)))
        points = self.face_crops.to_input(self.shape(features))
        for _ in range(1, self.face_crops.passes):
            crop, back, shift = self.face_crops.aligned_crop(image, points)
            features = self.shared(self.trunk(crop))
            points = self.shape(features) @ back + shift
        return [points, *self.probabilities(features)]
