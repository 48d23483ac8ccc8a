"""What the cascades of small networks share: |tanh|, locally shared convolutions, crops inside the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LUMINANCE = (0.299, 0.587, 0.114)


class AbsTanh(nn.Module):
    """Sun 2013's rectification: the absolute value of tanh, times a gain for each map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(maps, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape."""
        return self.gain * torch.tanh(maps).abs()


class TanhPool(nn.Module):
    """Sun 2013's pooling: the maximum of each 2 x 2 block, gain and bias for each map, tanh."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H // 2, W // 2)."""
        return torch.tanh(self.gain * functional.max_pool2d(maps, 2) + self.bias)


class LocalConv2d(nn.Module):
    """A convolution without padding whose weights are shared within the blocks of a grid only.

    The output (height, width) is cut into rows x columns blocks of one size, each with weights of its own;
    a 1 x 1 grid is the usual convolution, one block per pixel shares nothing. Each block is a convolution
    of the part of the input that it sees.
    """

    def __init__(
        self, channels: int, maps: int, kernel: int, output: tuple[int, int], grid: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        rows, columns = grid
        if output[0] % rows or output[1] % columns:
            raise ValueError(f"an output of {output} cannot be cut into {grid} blocks of one size")
        self.grid, self.block, self.kernel = grid, (output[0] // rows, output[1] // columns), kernel
        self.weight = nn.Parameter(torch.empty(rows * columns, maps, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(rows * columns, maps))
        for block in self.weight:
            nn.init.xavier_uniform_(block, nn.init.calculate_gain("tanh"))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to (N, maps, H - kernel + 1, W - kernel + 1)."""
        (height, width), more, (rows, columns) = self.block, self.kernel - 1, self.grid
        bands = [image[:, :, y * height : (y + 1) * height + more] for y in range(rows)]
        parts = [band[..., x * width : (x + 1) * width + more] for band in bands for x in range(columns)]
        blocks = [
            functional.conv2d(part.contiguous(memory_format=torch.channels_last), weight, bias)
            for part, weight, bias in zip(parts, self.weight, self.bias, strict=True)
        ]
        lines = [torch.cat(blocks[row * columns : (row + 1) * columns], 3) for row in range(rows)]
        return torch.cat(lines, 2)


def grey(image: Tensor) -> Tensor:
    """RGB (N, 3, H, W) to its luminance (N, 1, H, W)."""
    return (image * image.new_tensor(LUMINANCE).reshape(1, 3, 1, 1)).sum(1, keepdim=True)


def standardised(image: Tensor) -> Tensor:
    """Each picture (..., C, H, W) with mean 0 and deviation 1."""
    mean = image.mean((-3, -2, -1), keepdim=True)
    spread = (image - mean).square().mean((-3, -2, -1), keepdim=True)
    return (image - mean) / torch.sqrt(spread + 1.0)  # of 255: a flat picture stays flat


def look(image: Tensor, places: Tensor) -> Tensor:
    """The image (N, C, H, W) at places (N, h, w, 2), in pixels, pixel centres whole numbers: (N, C, h, w).

    Bilinear; beyond the image its border goes on.
    """
    size = places.new_tensor([image.shape[-1], image.shape[-2]])
    normed = (2 * places + 1) / size - 1  # align_corners=False: the pixel-centre rule
    return functional.grid_sample(image, normed, "bilinear", "border", align_corners=False)


def raster(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Tensor:
    """Centres (height, width, 2) of the pixels of a box that is seen on size = (width, height) pixels."""
    x = left + (right - left) * (torch.arange(size[0]) + 0.5) / size[0]
    y = top + (bottom - top) * (torch.arange(size[1]) + 0.5) / size[1]
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
