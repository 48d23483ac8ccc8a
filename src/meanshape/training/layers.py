"""What the cascades of small networks share: |tanh|, locally shared convolutions, crops inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

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


def conv_pairs(channels: int, widths: Sequence[int]) -> list[nn.Module]:
    """Two 3x3 convolutions (conv - BN - ReLU) for each width, and a 2x2 pool behind each two."""
    layers: list[nn.Module] = []
    for maps in widths:
        for _ in range(2):
            layers += [nn.Conv2d(channels, maps, 3, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
            channels = maps
        layers.append(nn.MaxPool2d(2))
    return layers


def grey(image: Tensor) -> Tensor:
    """RGB (N, 3, H, W) to its luminance (N, 1, H, W)."""
    height, width = image.shape[2:]
    return (image.new_tensor([LUMINANCE]) @ image.reshape(-1, 3, height * width)).reshape(
        -1, 1, height, width
    )


def halved(image: Tensor) -> Tensor:
    """Return means of 2 x 2 pixels; resizing takes ONNX Runtime a third of the time of average pooling."""
    return functional.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)


def reduced(image: Tensor, ratio: int) -> Tensor:
    """Means of ratio x ratio pixels."""
    while ratio % 2 == 0:
        image, ratio = halved(image), ratio // 2
    return image if ratio == 1 else functional.avg_pool2d(image, ratio)


def standardised(image: Tensor) -> Tensor:
    """Return images (..., C, H, W) normalised to mean 0 and standard deviation 1."""
    mean = image.mean((-3, -2, -1), keepdim=True)
    spread = (image - mean).square().mean((-3, -2, -1), keepdim=True)
    return (image - mean) / torch.sqrt(spread + 1.0)  # of 255: a flat picture stays flat


def sample_bilinear(image: Tensor, places: Tensor) -> Tensor:
    """Sample the image (N, C, H, W) at places (N, h, w, 2): (N, C, h, w).

    Places are in pixels with pixel centres at whole numbers; borders are replicated.
    """
    size = places.new_tensor([image.shape[-1], image.shape[-2]])
    normed = (2 * places + 1) / size - 1  # align_corners=False: the pixel-centre rule
    return functional.grid_sample(image, normed, "bilinear", "border", align_corners=False)


def raster(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Tensor:
    """Return the pixel centres (height, width, 2) of a box resampled to size = (width, height) pixels."""
    x = left + (right - left) * (torch.arange(size[0]) + 0.5) / size[0]
    y = top + (bottom - top) * (torch.arange(size[1]) + 0.5) / size[1]
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def warp_frames(image: Tensor, matrix: Tensor, shift: Tensor, size: int, *, exact: bool = False) -> Tensor:
    """Warp k square frames out of the image (N, C, H, W): (N, k, C, size, size).

    Pixel (x, y) of a frame is the image at (x, y) @ matrix + shift, with matrix (N, k, 2, 2) and shift
    (N, k, 1, 2): bilinear, borders replicated. ``exact`` tells that the image holds whole numbers of 0..255,
    as crops do.
    """
    line = torch.arange(size, dtype=matrix.dtype, device=matrix.device)
    x, y = torch.meshgrid(line, line, indexing="xy")
    raster = torch.stack([x, y, torch.ones_like(x)]).reshape(3, size * size)
    places = torch.cat([matrix, shift], 2).transpose(2, 3) @ raster  # (N, k, 2, size * size)
    many, channels = matrix.shape[1], image.shape[1]
    if torch.onnx.is_in_onnx_export():
        seen = _gathered(image.to(torch.uint8) if exact else image, places)
    else:
        sides = places.new_tensor([image.shape[3], image.shape[2]])
        grid = (2 * places.transpose(2, 3) + 1) / sides - 1  # align_corners=False: the pixel-centre rule
        grid = grid.reshape(-1, many * size, size, 2)
        seen = functional.grid_sample(image, grid, "bilinear", "border", align_corners=False)
    if many == 1:
        return seen.reshape(-1, 1, channels, size, size)
    return seen.reshape(-1, channels, many, size, size).transpose(1, 2)


def _gathered(image: Tensor, places: Tensor) -> Tensor:
    """Sample bilinearly by operators that take ONNX Runtime half the time of GridSample.

    GridSample recomputes every pixel's neighbours for each channel. Here each pixel is first stacked with its
    right, lower and lower right neighbours, so that one gather fetches all four. Image (N, C, H, W) at places
    (N, k, 2, P): (N, C, k * P).
    """
    channels, height, width = (int(side) for side in image.shape[1:])
    corner = places.new_tensor([[width - 2], [height - 2]])
    first = places.floor().clamp(min=0).minimum(corner)  # left upper neighbour
    beyond = (places - first).clamp(0, 1)  # how far on the way to the right lower one
    x, y = torch.split(first, 1, 2)
    u, v = torch.split(beyond, 1, 2)

    flat, reach = image.reshape(-1, channels, height * width), (height - 1) * width - 1
    neighbours = torch.cat([flat[..., i : i + reach] for i in (0, 1, width, width + 1)], 1)
    rows = neighbours.transpose(1, 2).reshape(-1, 4 * channels)  # (N * reach, 4 C)
    own = torch.arange(image.shape[0], device=image.device).reshape(-1, 1) * reach
    many = int(places.shape[1] * places.shape[3])
    index = (y * width + x).long().reshape(-1, many) + own
    found = rows.index_select(0, index.reshape(-1)).reshape(-1, many, 4 * channels)
    a, b, c, d = torch.split(found.transpose(1, 2).to(places.dtype), channels, 1)  # (N, C, k * P) each
    u, v = u.reshape(-1, 1, many), v.reshape(-1, 1, many)
    upper, lower = a + u * (b - a), c + u * (d - c)
    return upper + v * (lower - upper)
