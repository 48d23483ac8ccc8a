"""Deep Alignment Network as a torch module (Kowalski, Naruniec, Trzcinski 2017).

Everything between the face crop and the points is inside the module, so that training runs through the
inverse transform and one ONNX graph needs no code beside it. Points are in pixels of the input crop, pixel
centres at integers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.training.layers import conv_pairs, grey, reduced, warp_frames

HEATMAP_REACH = 8  # the heatmap covers a 17 x 17 square around each point
FAR = 1e30  # square of a distance beyond it


class Stage(nn.Module):
    """The stage network of the paper's table: four pairs of 3x3 convolutions (conv - BN - ReLU), fc1, fc2."""

    def __init__(
        self, channels: int, extra: int, size: int, width: float, features: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        # Heatmap and feature image come on another scale than the picture.
        layers: list[nn.Module] = [nn.BatchNorm2d(channels + extra)] if extra else []
        widths = [max(4, round(maps * width)) for maps in (64, 128, 256, 512)]
        layers += conv_pairs(channels + extra, widths)
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        # Training only: the third pair's maps also say where each point is (see ``localisation_loss``).
        self.tap = len(layers) - 9
        self.locate = nn.Conv2d(widths[2], outputs // 2, 1)
        self.located: Tensor | None = None
        self.bf16 = False
        self.fc1 = nn.Sequential(
            nn.Linear(widths[3] * (size // 16) ** 2, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(),
        )
        self.fc2 = nn.Linear(features, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc2.weight, std=0.01)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, F) of fc1 and the update (N, outputs) of fc2."""
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16 and self.training):
            for index, layer in enumerate(self.trunk):
                image = layer(image)
                if self.training and index == self.tap:
                    self.located = self.locate(image)
            features = self.fc1(image)
        features = features.float()  # points, and what becomes of them, stay in single precision
        return features, self.fc2(features)

    def start_from(self, other: Stage) -> None:
        """Take over another stage's weights where they fit; inputs that it does not have start near zero."""
        own, given = list(self.trunk), list(other.trunk)
        extra = len(own) - len(given)  # the batch norm in front of a stage with extra channels
        with torch.no_grad():
            for target, source in zip(own[extra:] + list(self.fc1), given + list(other.fc1), strict=True):
                for name, value in source.state_dict().items():
                    into = target.state_dict()[name]
                    if into.shape == value.shape:
                        into.copy_(value)
                    elif into.ndim == 4 and into.shape[0] == value.shape[0]:
                        into.mul_(0.1)
                        into[:, : value.shape[1]] = value


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares similarity in closed form: shapes (N, K, 2) onto one shape (K, 2).

    Returns the (N, 2, 2) matrix R and the (N, 1, 2) shift t of ``target = source @ R + t``.
    """
    middle, target_middle = source.mean(1, keepdim=True), target.mean(0)
    centred, upright = source - middle, target - target_middle
    across = torch.stack([upright[:, 1], -upright[:, 0]], -1)
    products = centred.reshape(-1, 2 * target.shape[0]) @ torch.stack([upright, across]).reshape(2, -1).T
    turned = products / (centred * centred).sum((1, 2))[:, None]  # (N, 2): a, b
    matrix = turned @ turned.new_tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])
    matrix = matrix.reshape(-1, 2, 2)  # a, b; -b, a
    return matrix, target_middle - middle @ matrix


def inverse(matrix: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of a similarity (matrix, shift): the transpose over the squared scale."""
    scale2 = (matrix[:, :1] ** 2).sum(-1, keepdim=True)
    back = matrix.transpose(1, 2) / scale2
    return back, -shift @ back


def warp(image: Tensor, matrix: Tensor, shift: Tensor, size: int, *, exact: bool = False) -> Tensor:
    """The image (N, C, S, S) seen in the frame (size x size) that the similarity maps *into*, bilinear.

    ``exact``: its pixels are whole numbers of 0..255.
    """
    back, back_shift = inverse(matrix, shift)
    return warp_frames(image, back[:, None], back_shift[:, None], size, exact=exact)[:, 0]


def prepared(pixels: Tensor) -> Tensor:
    """Pixels of 0..255 on the scale that the networks like."""
    return (pixels - 127.5) / 64.0


def heatmap(points: Tensor, size: int, stride: int = 1) -> Tensor:
    """H = 1 / (1 + distance to the nearest point), 1e-15 outside the 17 x 17 squares: (N, 1, size, size).

    With a stride the map is computed on every stride-th pixel and repeated (faster, nearly the same).
    """
    line = torch.arange(size // stride, dtype=points.dtype, device=points.device) * stride + (stride - 1) / 2
    points = points.clamp(HEATMAP_REACH, size - 1 - HEATMAP_REACH)
    squares = []
    for axis in (0, 1):
        away = line[:, None] - points[:, None, :, axis]  # (N, size, K): points last, where a minimum is quick
        square = away * away
        squares.append(torch.where(square > (HEATMAP_REACH + 0.5) ** 2, FAR, square))
    nearest = (squares[0][:, None] + squares[1][:, :, None]).amin(-1)[:, None]
    values = 1 / (1 + torch.sqrt(nearest + 1e-6))
    return values if stride == 1 else functional.interpolate(values, scale_factor=stride, mode="nearest")


class DANNet(nn.Module):
    """The cascade. Input: RGB crops (N, 3, S, S) in 0..255; output: one (N, K, 2) shape per stage.

    Parameters
    ----------
    mean
        Mean shape S0 (K, 2) in the unit square of the canonical face box.
    crop_size, crop_scale
        Side of the input crop in pixels and in face boxes.
    sizes, widths
        Per stage: side of its canonical frame in pixels (multiple of 16), width factor (1.0 = the paper).
    frame_scale
        Side of the canonical frame of stages >= 2 in face boxes (the paper: 2).
    """

    mean: Tensor
    frame: tuple[Tensor, Tensor]  # crop -> frame of the stage that ran last: p @ matrix + shift
    seen: Tensor  # the picture that it saw there, prepared

    def __init__(
        self,
        mean: Tensor,
        *,
        crop_size: int,
        crop_scale: float,
        sizes: tuple[int, ...],
        widths: tuple[float, ...],
        frame_scale: float,
        channels: int = 3,
        features: int = 256,
        dropout: float = 0.5,
        heatmap_stride: int = 1,
        use_heatmap: bool = True,
        use_features: bool = True,
    ) -> None:
        super().__init__()
        self.crop_size, self.crop_scale, self.frame_scale = crop_size, crop_scale, frame_scale
        self.sizes, self.heatmap_stride, self.channels = sizes, heatmap_stride, channels
        self.use_heatmap, self.use_features = use_heatmap, use_features
        self.register_buffer("mean", mean.float())
        points = mean.shape[0]
        extra = int(use_heatmap) + int(use_features)
        self.stages = nn.ModuleList(
            Stage(channels, extra if i else 0, size, width, features, 2 * points, dropout)
            for i, (size, width) in enumerate(zip(sizes, widths, strict=True))
        )
        self.feature_images = (
            nn.ModuleList(
                nn.Sequential(nn.Linear(features, (size // 2) ** 2), nn.ReLU()) for size in sizes[1:]
            )
            if use_features
            else nn.ModuleList()
        )

    def start(self, size: int, scale: float) -> Tensor:
        """Mean shape (K, 2) in a square frame that shows ``scale`` face boxes on ``size`` pixels."""
        return (self.mean - 0.5) / scale * size + (size - 1) / 2

    def forward(self, image: Tensor, stages: int | None = None) -> list[Tensor]:
        """S_1 ... S_T, each (N, K, 2) in pixels of the crop."""
        if self.channels == 1:
            image = grey(image)
        ratio = self.crop_size // self.sizes[0]
        seen = prepared(reduced(image, ratio))
        features, update = self.stages[0](seen)
        shift = torch.full((1, 1, 2), (1 - ratio) / (2 * ratio), device=image.device)
        self.frame = torch.eye(2, device=image.device)[None] / ratio, shift
        self.seen = seen.detach()
        shape = self.start(self.crop_size, self.crop_scale) + self._step(update, 0) * ratio
        shapes = [shape]
        for index in range(1, stages or len(self.stages)):
            features, shape = self.connect(index, image, features, shape)
            shapes.append(shape)
        return shapes

    def connect(self, index: int, image: Tensor, features: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Connection layers and stage ``index``: S_t = T^-1(T(S_{t-1}) + dS_t)."""
        size = self.sizes[index]
        matrix, shift = similarity(shape, self.start(size, self.frame_scale))
        self.frame = matrix.detach(), shift.detach()
        placed = shape @ matrix + shift
        inputs = [prepared(warp(image, matrix, shift, size, exact=self.channels == 3))]
        self.seen = inputs[0].detach()
        if self.use_heatmap:
            inputs.append(heatmap(placed, size, self.heatmap_stride))
        if self.use_features:
            half = self.feature_images[index - 1](features).reshape(-1, 1, size // 2, size // 2)
            inputs.append(functional.interpolate(half, scale_factor=2, mode="nearest"))
        features, update = self.stages[index](torch.cat(inputs, 1))
        back, back_shift = inverse(matrix, shift)
        return features, (placed + self._step(update, index)) @ back + back_shift

    def _step(self, update: Tensor, index: int) -> Tensor:
        # fc2 speaks in tenths of its frame, so that its weights are of the same size whatever the resolution
        return update.reshape(-1, self.mean.shape[0], 2) * (self.sizes[index] / 10)
