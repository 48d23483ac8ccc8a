"""The 23 networks of Sun, Wang, Tang 2013 as one torch module, crops included.

Points are in pixels of the input crop, pixel centres whole numbers; `side` is what the face box of the data
set (not the canonical one) measures there, and fractions are of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.training.layers import (
    AbsTanh,
    LocalConv2d,
    TanhPool,
    grey,
    raster,
    sample_bilinear,
    standardised,
)

POINTS = 5
# what each network of level 1 sees (left, top, right, bottom of the face box), on how many pixels (w, h),
# and which points it answers
FACES = (
    ((-0.05, -0.05, 1.05, 1.05), (39, 39), (0, 1, 2, 3, 4)),  # F1
    ((-0.05, -0.04, 1.05, 0.84), (39, 31), (0, 1, 2)),  # EN1: eyes and nose
    ((-0.05, 0.18, 1.05, 1.05), (39, 31), (2, 3, 4)),  # NM1: nose and mouth
)
KERNELS = (4, 3, 3, 2)
# grids (vertical, horizontal) of the locally shared weights of each layer
GRIDS = (
    ((2, 2), (2, 2), (3, 3), (2, 2)),
    ((1, 1), (2, 2), (2, 3), (1, 2)),
    ((1, 1), (2, 2), (2, 3), (1, 2)),
)
PATCH = 15
HALVES = ((0.16, 0.18), (0.11, 0.12))  # half sides of the two patches of a point, at levels 2 and 3


class FaceNet(nn.Module):
    """A network of level 1: four convolutions with |tanh|, three pools between, two dense layers."""

    def __init__(
        self,
        size: tuple[int, int],
        grids: tuple[tuple[int, int], ...],
        channels: int,
        maps: tuple[int, ...],
        hidden: int,
        outputs: int,
    ) -> None:
        super().__init__()
        width, height = size
        layers: list[nn.Module] = []
        for number, (kernel, grid, count) in enumerate(zip(KERNELS, grids, maps, strict=True)):
            height, width = height - kernel + 1, width - kernel + 1
            layers += [LocalConv2d(channels, count, kernel, (height, width), grid), AbsTanh(count)]
            channels = count
            if number < len(KERNELS) - 1:
                layers.append(TanhPool(count))
                height, width = height // 2, width // 2
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Linear(channels * height * width, hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, patch: Tensor) -> Tensor:
        """Patches (N, C, h, w) to (N, outputs)."""
        result: Tensor = self.output(torch.tanh(self.hidden(self.layers(patch))))
        return result


class PointNets(nn.Module):
    """The ten networks of level 2 or 3, two a point, side by side as groups of one network."""

    def __init__(self, channels: int, maps: tuple[int, int], hidden: int, count: int = 2 * POINTS) -> None:
        super().__init__()
        first, second = maps
        self.count = count
        self.layers = nn.Sequential(
            nn.Conv2d(count * channels, count * first, 4, groups=count),
            AbsTanh(count * first),
            TanhPool(count * first),
            nn.Conv2d(count * first, count * second, 3, groups=count),
            AbsTanh(count * second),
            TanhPool(count * second),
        )
        gain = nn.init.calculate_gain("tanh")
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight, gain * count**0.5)  # of its group, not of all
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        side = (((PATCH - 3) // 2) - 2) // 2
        self.hidden = nn.Parameter(torch.empty(count, second * side * side, hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(count, 1, hidden))
        self.output = nn.Parameter(torch.empty(count, hidden, 2))
        self.output_bias = nn.Parameter(torch.zeros(count, 1, 2))
        for weight in (self.hidden, self.output):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (N, 10, C, 15, 15) to offsets (N, 10, 2)."""
        maps = self.layers(patches.flatten(1, 2))
        inputs = maps.reshape(-1, self.count, self.hidden.shape[1]).transpose(0, 1)
        hidden = torch.tanh(inputs @ self.hidden + self.hidden_bias)
        return (hidden @ self.output + self.output_bias).transpose(0, 1)


class DCNNNet(nn.Module):
    """The cascade. Input: RGB crops (N, 3, S, S) in 0..255; output: (N, 5, 2) after each of three levels.

    Parameters
    ----------
    mean
        Mean points (5, 2) in the unit square of the data set's face box.
    crop_size, crop_scale
        Side of the input crop in pixels and in face boxes.
    channels
        1: grey, as in the paper; 3: colour.
    """

    mean: Tensor

    def __init__(
        self,
        mean: Tensor,
        *,
        crop_size: int,
        crop_scale: float,
        channels: int = 1,
        maps: tuple[int, ...] = (20, 40, 60, 80),
        hidden: tuple[int, int] = (120, 100),
        patch_maps: tuple[int, int] = (20, 40),
        patch_hidden: int = 60,
        local: bool = True,
    ) -> None:
        super().__init__()
        self.crop_size, self.channels = crop_size, channels
        self.side = crop_size / crop_scale
        self.register_buffer("mean", mean.float())
        self.faces = nn.ModuleList(
            FaceNet(
                size,
                grids if local else ((1, 1),) * len(grids),
                channels,
                maps,
                hidden[0] if len(points) == POINTS else hidden[1],
                2 * len(points),
            )
            for (_, size, points), grids in zip(FACES, GRIDS, strict=True)
        )
        self.levels = nn.ModuleList(PointNets(channels, patch_maps, patch_hidden) for _ in HALVES)
        start = (crop_size - 1) / 2 - self.side / 2
        self.rasters = [start + self.side * raster(*box, size) for box, size, _ in FACES]
        unit = raster(-1, -1, 1, 1, (PATCH, PATCH)).reshape(1, PATCH * PATCH, 2)
        # the paper's order: of each point the larger half side comes second
        self.patches = [torch.cat([half * self.side * unit for half in halves]) for halves in HALVES]

    def prepare(self, image: Tensor) -> Tensor:
        """Grey, if that is what the networks see."""
        return grey(image) if self.channels == 1 else image

    def face_points(self, image: Tensor) -> list[Tensor]:
        """What F1, EN1 and NM1 answer, each (N, its points, 2); `image` comes from `prepare`."""
        half = functional.avg_pool2d(image, 2)  # 39 pixels show what the crop shows on twice as many
        answers = []
        for net, places, (_, _, points) in zip(self.faces, self.rasters, FACES, strict=True):
            grid = ((places + 0.5) / 2 - 0.5).expand(image.shape[0], -1, -1, -1)
            moves = net(standardised(sample_bilinear(half, grid))).reshape(-1, len(points), 2)
            mean = (self.mean[list(points)] - 0.5) * self.side + (self.crop_size - 1) / 2
            answers.append(mean + 0.1 * self.side * moves)
        return answers

    def see_patches(self, level: int, image: Tensor, points: Tensor) -> Tensor:
        """The patches (N, 10, C, 15, 15) of level 2 or 3 around points (N, 5, 2), two a point."""
        grid = points[:, :, None] + self.patches[level - 2].reshape(1, 1, -1, 2)  # (N, 5, 2 * 225, 2)
        patches = sample_bilinear(image, grid.reshape(-1, 2 * POINTS * PATCH, PATCH, 2))
        return patches.reshape(-1, self.channels, 2 * POINTS, PATCH, PATCH).transpose(1, 2)

    def point_offsets(self, level: int, image: Tensor, points: Tensor) -> Tensor:
        """What the ten networks of level 2 or 3 say of points (N, 5, 2): offsets (N, 5, 2 nets, 2)."""
        patches = standardised(self.see_patches(level, image, points))
        offsets: Tensor = self.levels[level - 2](patches).reshape(-1, POINTS, 2, 2)
        return offsets * (offsets.new_tensor(HALVES[level - 2]) * self.side)[:, None]

    def forward(self, image: Tensor, levels: int = 3) -> list[Tensor]:
        """Points (N, 5, 2) in crop pixels after each level."""
        image = self.prepare(image)
        shapes = [fused(self.face_points(image))]
        for level in range(2, levels + 1):
            shapes.append(shapes[-1] + self.point_offsets(level, image, shapes[-1]).mean(2))
        return shapes


def fused(answers: list[Tensor]) -> Tensor:
    """F1, EN1 and NM1 on average, where they answer the same points: (N, 5, 2)."""
    face, upper, lower = answers
    nose = (face[:, 2] + upper[:, 2] + lower[:, 0]) / 3
    eyes, mouth = (face[:, :2] + upper[:, :2]) / 2, (face[:, 3:] + lower[:, 1:]) / 2
    return torch.cat([eyes, nose[:, None], mouth], 1)
