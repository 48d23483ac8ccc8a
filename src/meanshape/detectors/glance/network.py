"""The network: a plain convolutional backbone to stride 32, a feature pyramid, one head per stride."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from meanshape.detectors.glance.grid import NUMBERS

RARE = -4.6  # the first logit: a face in one cell of a hundred
MEAN, SPREAD = 127.0, 64.0


class GlanceNet(nn.Module):
    """Pixels (N, 3, H, W) in 0..255, sides multiples of 32, to the cells' outputs (N, 15, A)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, fine, middle, coarse = channels
        self.stem = nn.Sequential(block(3, first, 2), block(first, second, 2))
        self.fine = nn.Sequential(block(second, fine, 2), block(fine, fine))
        self.middle = nn.Sequential(block(fine, middle, 2), block(middle, middle))
        self.coarse = nn.Sequential(block(middle, coarse, 2), block(coarse, coarse))
        self.to_middle, self.to_fine = nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)
        self.necks = nn.ModuleList([block(width, width) for width in (fine, middle, coarse)])
        self.heads = nn.ModuleList([nn.Conv2d(width, NUMBERS, 1) for width in (fine, middle, coarse)])
        for head in self.heads:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
            head.bias.data[0] = RARE

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the outputs (N, 15, A) of all cells."""
        fine = self.fine(self.stem((pixels - MEAN) / SPREAD))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = middle + up(self.to_middle(coarse))
        fine = fine + up(self.to_fine(middle))
        levels = zip(self.heads, self.necks, (fine, middle, coarse), strict=True)
        return torch.cat([head(neck(maps)).flatten(2).float() for head, neck, maps in levels], dim=2)


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch normalisation and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def up(maps: Tensor) -> Tensor:
    """Return maps twice as large."""
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


def folded(net: GlanceNet) -> GlanceNet:
    """Return the network with each batch normalisation folded into its convolution."""
    for module in net.eval().modules():
        if isinstance(module, nn.Sequential) and len(module) == 3:
            convolution, norm = module[0], module[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return net
