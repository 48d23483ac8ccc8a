"""The cascade after Zhou 2013 as one torch module, crops included.

A frame is a pair (A, c): the place u of a crop, in sides of the crop about its middle, lies at u A + c of
the picture. Points and boxes are in pixels of the input crop, pixel centres whole numbers. A mirrored part
(the left eye, seen by the right eye's network) is a frame whose A reflects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from meanshape.methods.nets.blocks import look, raster
from meanshape.methods.nets.dan import similarity

Frame = tuple[Tensor, Tensor]  # (N, 2, 2), (N, 1, 2)
STEP = 0.1  # networks speak in tenths of a crop's side


class ConvNet(nn.Module):
    """Pairs of 3x3 convolutions (conv - BN - ReLU), each pair with a 2x2 pool, and two dense layers."""

    def __init__(self, size: int, widths: Sequence[int], features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for maps in widths:
            for _ in range(2):
                layers += [
                    nn.Conv2d(channels, maps, 3, padding=1, bias=False),
                    nn.BatchNorm2d(maps),
                    nn.ReLU(),
                ]
                channels = maps
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        inputs = channels * (size >> len(widths)) ** 2
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
        """Crops (N, 3, S, S) to points (N, outputs / 2, 2), relative to their mean, in sides of the crop."""
        moves = self.output(self.dense(self.trunk(image)))
        result: Tensor = STEP * moves.reshape(-1, self.output.out_features // 2, 2)
        return result


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


class FacePP(nn.Module):
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
        self.branches, self.parts, self.use_boxes = tuple(branches), tuple(parts), use_boxes
        self.box_size, self.whole_size, self.part_size = box_net[0], whole_net[0], part_net[0]
        self.register_buffer("corners", means[0].float())
        for number, mean in enumerate(means[1]):
            self.register_buffer(f"whole_mean{number}", mean.float())
        for number, mean in enumerate(means[2]):
            self.register_buffer(f"part_mean{number}", mean.float())
        self.boxes = nn.ModuleList(ConvNet(*box_net, 4, dropout) for _ in branches)
        self.wholes = nn.ModuleList(ConvNet(*whole_net, 2 * len(b), dropout) for b in branches)
        seen = [len(next(p.indices for p in parts if p.net == n)) for n in range(len(means[2]))]
        self.straight, self.upright = (
            nn.ModuleList(ConvNet(*part_net, 2 * count, dropout) for count in seen) for _ in range(2)
        )

    def fine(self, level: int) -> nn.ModuleList:
        """The parts' networks of level 3 or 4."""
        return self.straight if level == 3 else self.upright

    def mean_of(self, kind: str, number: int) -> Tensor:
        """Mean points of a branch ("whole") or of a part's network ("part") in their frames."""
        mean: Tensor = getattr(self, f"{kind}_mean{number}")
        return mean

    @staticmethod
    def prepare(image: Tensor) -> Tensor:
        """Pixels on the scale that the networks like."""
        return (image - 127.5) / 64.0

    # Level 1

    def face_boxes(self, image: Tensor) -> Tensor:
        """Corners (N, branches, 2, 2): left top, right bottom of each branch's points."""
        middle, ratio = (self.crop_size - 1) / 2, self.crop_size // self.box_size
        mean = self.corners.expand(image.shape[0], -1, -1, -1)
        if self.use_boxes:
            small = functional.avg_pool2d(image, ratio)
            mean = mean + torch.stack([net(small) for net in self.boxes], 1)
        return mean * self.crop_size + middle

    # Level 2

    def box_frame(self, corners: Tensor) -> Frame:
        """The square about boxes given by corners (N, 2, 2)."""
        sides = corners[:, 1] - corners[:, 0]
        side = self.margin * torch.sqrt((sides * sides).mean(-1) + 1e-6)
        eye = torch.eye(2, device=corners.device)
        return side[:, None, None] * eye, corners.mean(1, keepdim=True)

    def whole_points(self, number: int, half: Tensor, frame: Frame) -> Tensor:
        """Points (N, k, 2) of a branch, from the crop at half its size."""
        found = self.wholes[number](_see(half, frame, self.whole_size, 2))
        return _out(self.mean_of("whole", number) + found, frame)

    # Levels 3 and 4

    def part_frame(self, level: int, part: Part, points: Tensor) -> Frame:
        """The frame of a part, given its points (N, k, 2): upright in the crop (3) or in the face (4)."""
        sign = points.new_tensor(part.sign)
        if level == 3:
            centre = points.mean(1, keepdim=True)
            radius = torch.sqrt(((points - centre) ** 2).sum(-1).mean(-1) + 1e-6)
            return (self.reach * radius)[:, None, None] * torch.diag(sign), centre
        matrix, shift = similarity(points * sign, self.mean_of("part", part.net))
        scale2 = (matrix[:, 0] ** 2).sum(-1)[:, None, None]
        back = matrix.transpose(1, 2) / scale2
        return back * sign, -(shift @ back) * sign

    def part_points(self, level: int, net: int, image: Tensor, frames: Sequence[Frame]) -> list[Tensor]:
        """Points (N, k, 2) of the parts that a network sees, in their frames, one after the other."""
        crops = torch.stack([_see(image, frame, self.part_size) for frame in frames], 1)
        found = self.fine(level)[net](crops.flatten(0, 1)) + self.mean_of("part", net)
        both = found.reshape(-1, len(frames), *found.shape[1:])
        return [_out(both[:, i], frame) for i, frame in enumerate(frames)]

    def refine(self, level: int, image: Tensor, shape: Tensor) -> Tensor:
        """Shapes (N, K, 2) with the points of all parts found again."""
        kept = sorted(set(range(shape.shape[1])).difference(*(part.indices for part in self.parts)))
        pieces, order = [shape[:, kept]], kept
        for net in range(len(self.straight)):
            chosen = [part for part in self.parts if part.net == net]
            frames = [self.part_frame(level, part, shape[:, list(part.indices)]) for part in chosen]
            pieces += self.part_points(level, net, image, frames)
            order = order + [index for part in chosen for index in part.indices]
        return torch.cat(pieces, 1)[:, torch.tensor(order).argsort()]

    def forward(self, image: Tensor, levels: int = 4) -> list[Tensor]:
        """The boxes of level 1 and the shapes after levels 2 ... ``levels``."""
        image = self.prepare(image)
        corners = self.face_boxes(image)
        results = [corners]
        if levels == 1:
            return results
        half = functional.avg_pool2d(image, 2)
        points = [
            self.whole_points(number, half, self.box_frame(corners[:, number]))
            for number in range(len(self.branches))
        ]
        order = torch.tensor([i for branch in self.branches for i in branch]).argsort()
        results.append(torch.cat(points, 1)[:, order])
        for level in range(3, levels + 1):
            results.append(self.refine(level, image, results[-1]))
        return results


def _see(image: Tensor, frame: Frame, size: int, reduced: int = 1) -> Tensor:
    """The image, which is ``reduced`` times smaller than the crop, in a frame: (N, C, size, size)."""
    grid = raster(-0.5, -0.5, 0.5, 0.5, (size, size)).reshape(1, size * size, 2)
    places = grid @ frame[0] + frame[1]
    if reduced != 1:
        places = (places + 0.5) / reduced - 0.5
    return look(image, places.reshape(-1, size, size, 2))


def _out(places: Tensor, frame: Frame) -> Tensor:
    """Places (N, k, 2) of a frame in the picture."""
    return places @ frame[0] + frame[1]
