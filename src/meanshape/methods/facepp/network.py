"""The cascade after Zhou 2013 as one torch module, crops included.

A frame is a pair (A, c): the place u of a crop, in sides of the crop about its middle, lies at u A + c of
the picture. Points and boxes are in pixels of the input crop, pixel centres whole numbers. A mirrored part
(the left eye, seen by the right eye's network) is a frame whose A reflects. All frames of a level are worked
out at once, from sums over the points of each part: one by one they would cost more than the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from meanshape.methods.dan.network import prepared
from meanshape.training.layers import conv_pairs, halved, reduced, warp_frames

Frames = tuple[Tensor, Tensor]  # (N, k, 2, 2), (N, k, 1, 2)
STEP = 0.1  # networks speak in tenths of a crop's side


class ConvNet(nn.Module):
    """Pairs of 3x3 convolutions (conv - BN - ReLU), each pair with a 2x2 pool, and two dense layers."""

    def __init__(self, size: int, widths: Sequence[int], features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*conv_pairs(3, widths), nn.Flatten(), nn.Dropout(dropout))
        inputs = widths[-1] * (size >> len(widths)) ** 2
        self.dense = nn.Sequential(
            nn.Linear(inputs, features, bias=False), nn.BatchNorm1d(features), nn.ReLU()
        )
        self.output = nn.Linear(features, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Crops (N, 3, S, S) to points (N, outputs / 2, 2), relative to their mean, in tenths of a side."""
        moves: Tensor = self.output(self.dense(self.trunk(image)))
        return moves.reshape(-1, self.output.out_features // 2, 2)


@dataclass(frozen=True)
class Part:
    """A part of the face: its points, the network that sees it, and whether it is shown mirrored."""

    name: str
    indices: tuple[int, ...]
    net: int
    mirrored: bool = False

    @property
    def sign(self) -> tuple[float, float]:
        """What the axes of its frame are multiplied by."""
        return (-1.0 if self.mirrored else 1.0, 1.0)


class FacePPNet(nn.Module):
    """The cascade. Input: RGB crops (N, 3, S, S) in 0..255.

    Output: corners (N, branches, 2, 2) of the boxes of level 1, points (N, K, 2) of levels 2, 3 and 4.

    Parameters
    ----------
    branches, parts
        Indices of the points of each branch; the parts of levels 3 and 4.
    means
        Mean corners (branches, 2, 2) of level 1 in sides of the input crop about its middle; mean points of
        each branch, and of each network of levels 3 and 4, in their frames.
    box_net, whole_net, part_net
        (size, widths, features) of the networks of level 1, level 2, levels 3 and 4.
    margin, reach
        Side of a branch's frame in sizes of its box, and of a part's in root mean square radii.
    use_boxes
        False: no level 1, the mean boxes take its place.
    """

    corners: Tensor

    def __init__(
        self,
        branches: Sequence[tuple[int, ...]],
        parts: Sequence[Part],
        means: tuple[Tensor, Sequence[Tensor], Sequence[Tensor]],
        *,
        crop_size: int,
        box_net: tuple[int, Sequence[int], int],
        whole_net: tuple[int, Sequence[int], int],
        part_net: tuple[int, Sequence[int], int],
        margin: float,
        reach: float,
        dropout: float,
        use_boxes: bool = True,
    ) -> None:
        super().__init__()
        self.crop_size, self.margin, self.reach = crop_size, margin, reach
        self.branches, self.use_boxes = tuple(branches), use_boxes
        self.box_size, self.whole_size, self.part_size = box_net[0], whole_net[0], part_net[0]
        self.register_buffer("corners", means[0].float())
        for number, mean in enumerate(means[1]):
            self.register_buffer(f"whole_mean{number}", mean.float())
        for number, mean in enumerate(means[2]):
            self.register_buffer(f"part_mean{number}", mean.float())
        self.boxes = nn.ModuleList(ConvNet(*box_net, 4, dropout) for _ in branches)
        self.wholes = nn.ModuleList(ConvNet(*whole_net, 2 * len(b), dropout) for b in branches)
        chosen = [[p for p in parts if p.net == n] for n in range(len(means[2]))]
        self.straight, self.upright = (
            nn.ModuleList(ConvNet(*part_net, 2 * len(same[0].indices), dropout) for same in chosen)
            for _ in range(2)
        )
        self.parts = tuple(part for same in chosen for part in same)  # one network's beside each other

    def fine(self, level: int) -> nn.ModuleList:
        """The parts' networks of level 3 or 4."""
        return self.straight if level == 3 else self.upright

    def mean_of(self, kind: str, number: int) -> Tensor:
        """Mean points of a branch ("whole") or of a part's network ("part") in their frames."""
        mean: Tensor = getattr(self, f"{kind}_mean{number}")
        return mean

    # Level 1

    def face_boxes(self, image: Tensor) -> Tensor:
        """Corners (N, branches, 2, 2): left top, right bottom of each branch's points."""
        middle, ratio = (self.crop_size - 1) / 2, self.crop_size // self.box_size
        if not self.use_boxes:
            return self.corners.expand(image.shape[0], -1, -1, -1) * self.crop_size + middle
        small = prepared(reduced(image, ratio))
        corners = self.corners + STEP * torch.stack([net(small) for net in self.boxes], 1)
        return corners * self.crop_size + middle

    # Level 2

    def box_frames(self, corners: Tensor) -> Frames:
        """The squares about boxes given by corners (N, k, 2, 2)."""
        sides = corners[:, :, 1] - corners[:, :, 0]
        side = self.margin * torch.sqrt((sides * sides).mean(-1) + 1e-6)
        eye = torch.eye(2, device=corners.device)
        return side[..., None, None] * eye, corners.mean(2, keepdim=True)

    def whole_points(self, image: Tensor, frames: Frames) -> Tensor:
        """Points (N, K, 2) of the branches, one after the other, from the crop at half its size."""
        seen = prepared(see_frames(halved(image), frames, self.whole_size, 2)).unbind(1)
        moves = [net(crops) for net, crops in zip(self.wholes, seen, strict=True)]
        return placed(moves, [self.mean_of("whole", n) for n in range(len(moves))], frames)

    # Levels 3 and 4

    def part_frames(self, level: int, shape: Tensor) -> Frames:
        """The frames of all parts, given shapes (N, K, 2): upright in the crop (3) or in the face (4)."""
        middle = shape.mean(1, keepdim=True)
        away = shape - middle  # small numbers, so that sums of their squares lose nothing
        share, upright, across, means = self._sums(shape)
        centre = share @ away  # (N, P, 2)
        radius2 = share @ (away * away).sum(-1, keepdim=True) - (centre * centre).sum(-1, keepdim=True)
        back = (centre + middle)[:, :, None]
        sign = shape.new_tensor([part.sign for part in self.parts])[:, None]  # (P, 1, 2)
        if level == 3:
            side = self.reach * torch.sqrt(radius2 + 1e-6)
            return side[..., None] * torch.eye(2, device=shape.device) * sign, back
        # The similarity of `nets.dan`, part -> mean points, turned round at once.
        flat = away.flatten(1)
        a, b = (flat @ upright.T)[..., None], (flat @ across.T)[..., None]  # (N, P, 1)
        scale = radius2 / (a * a + b * b)
        a, b = a * scale, b * scale
        matrix = torch.cat([a, -b, b, a], -1).reshape(-1, len(self.parts), 2, 2) * sign
        return matrix, back - means @ matrix

    def _sums(self, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What sums over points (N, K, 2) weigh them by, for all parts; constants of the graph.

        Their share (P, K) in the middle; (P, 2K) in the dot and in the cross product with the mean points;
        and the middles (P, 1, 2) of these.
        """
        parts, count = len(self.parts), shape.shape[1]
        share, middles = np.zeros((parts, count)), np.zeros((parts, 1, 2))
        upright, across = np.zeros((2, parts, count, 2))
        for row, part in enumerate(self.parts):
            indices, number = list(part.indices), len(part.indices)
            mean = self.mean_of("part", part.net).cpu().numpy().astype(float)
            middles[row] = mean.mean(0)
            centred = (mean - middles[row]) / number
            share[row, indices] = 1 / number
            upright[row, indices] = centred * part.sign
            across[row, indices] = centred[:, ::-1] * (part.sign[0], -1.0)
        sums = share, upright.reshape(parts, -1), across.reshape(parts, -1), middles
        first, second, third, last = (torch.from_numpy(values).to(shape) for values in sums)
        return first, second, third, last

    def part_points(self, level: int, image: Tensor, frames: Frames) -> Tensor:
        """Points (N, k, 2) of all parts in the picture, one part after the other."""
        many = [sum(part.net == net for part in self.parts) for net in range(len(self.straight))]
        means = [self.mean_of("part", part.net) for part in self.parts]
        seen = torch.split(prepared(see_frames(image, frames, self.part_size)), many, 1)
        moves: list[Tensor] = []
        for net, crops, same in zip(self.fine(level), seen, many, strict=True):
            found = net(crops.reshape(-1, 3, self.part_size, self.part_size))
            moves += [found] if same == 1 else found.reshape(-1, same, len(means[len(moves)]), 2).unbind(1)
        return placed(moves, means, frames)

    def refine(self, level: int, image: Tensor, shape: Tensor) -> Tensor:
        """Shapes (N, K, 2) with the points of all parts found again."""
        points = self.part_points(level, image, self.part_frames(level, shape))
        order = [index for part in self.parts for index in part.indices]
        kept = sorted(set(range(shape.shape[1])).difference(order))
        return torch.cat([shape[:, kept], points], 1)[:, torch.tensor(kept + order).argsort()]

    def forward(self, image: Tensor, levels: int = 4) -> list[Tensor]:
        """The boxes of level 1 and the shapes after levels 2 ... ``levels``."""
        corners = self.face_boxes(image)
        results = [corners]
        if levels == 1:
            return results
        points = self.whole_points(image, self.box_frames(corners))
        order = torch.tensor([i for branch in self.branches for i in branch]).argsort()
        results.append(points[:, order])
        for level in range(3, levels + 1):
            results.append(self.refine(level, image, results[-1]))
        return results


def see_frames(image: Tensor, frames: Frames, size: int, smaller: int = 1) -> Tensor:
    """The image, which is ``smaller`` times smaller than the crop, in frames: (N, k, C, size, size)."""
    matrix, middle = frames
    corner = middle + (0.5 / size - 0.5) * matrix.sum(2, keepdim=True)  # the first pixel of each frame
    corner = (corner + 0.5) / smaller - 0.5
    return warp_frames(image, matrix / (size * smaller), corner, size, exact=smaller == 1)


def placed(moves: Sequence[Tensor], means: Sequence[Tensor], frames: Frames) -> Tensor:
    """What networks said of each frame (N, k, 2), in the picture, one frame after the other (N, all k, 2)."""
    inside = torch.cat(list(means)) + STEP * torch.cat(list(moves), 1)
    owner = [number for number, mean in enumerate(means) for _ in range(len(mean))]
    matrix, middle = frames[0][:, owner], frames[1][:, owner, 0]
    return (inside[..., None] * matrix).sum(2) + middle
