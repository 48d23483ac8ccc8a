"""EmotionalDAN as a torch module: DAN's stages, then one that answers points and emotion alike.

Everything between the face crop and the answers is inside the module, as in ``nets/dan.py``. Points are in
pixels of the input crop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from meanshape.methods.nets.blocks import grey
from meanshape.methods.nets.dan import DAN, Stage, heatmap, inverse, prepared, similarity, warp


class JointStage(nn.Module):
    """Pairs of 3x3 convolutions (conv - BN - ReLU) and fc1, which both heads read.

    Maps are halved after the first convolution of a pair, not after the second as in DAN: more than twice as
    fast. Input: the upright face and the heatmap of the shape so far (N, 2, size, size).
    """

    def __init__(
        self, size: int, maps: tuple[int, ...], features: int, points: int, labels: int, dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm2d(2)]
        channels = 2
        for count in maps:
            for pool in ([nn.MaxPool2d(2)], []):
                conv = nn.Conv2d(channels, count, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, *pool, nn.BatchNorm2d(count), nn.ReLU(inplace=True)]
                channels = count
        flat = channels * (size // 2 ** len(maps)) ** 2
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.fc1 = nn.Sequential(nn.Linear(flat, features, bias=False), nn.BatchNorm1d(features), nn.ReLU())
        self.drop = nn.Dropout(dropout)
        self.points = nn.Linear(features, 2 * points)
        self.emotion = nn.Linear(features, labels)
        nn.init.normal_(self.points.weight, std=0.001)  # starts as the shape that the stage before it gives
        nn.init.zeros_(self.points.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The update (N, 2K) of the points and the logits (N, L) of the labels."""
        features = self.fc1(self.trunk(image))
        return self.points(features), self.emotion(self.drop(features))

    def start_from(self, other: Stage) -> None:
        """Take over the convolutions of a DAN stage; maps that it does not have start at random."""
        own = [layer for layer in self.trunk if isinstance(layer, nn.Conv2d)]
        given = [layer for layer in other.trunk if isinstance(layer, nn.Conv2d)]
        with torch.no_grad():
            for index, (target, source) in enumerate(zip(own, given, strict=False)):
                weight = source.weight if index else _grey(source.weight)
                rows, columns = (min(target.weight.shape[i], weight.shape[i]) for i in (0, 1))
                target.weight[:rows, :columns] = weight[:rows, :columns]

    @property
    def shared(self) -> list[nn.Parameter]:
        """The parameters that both heads read."""
        return [*self.trunk.parameters(), *self.fc1.parameters()]


def _grey(weight: Tensor) -> Tensor:
    """A first convolution's weights for (grey, heatmap) instead of (colours, heatmap, ...)."""
    colours = 3 if weight.shape[1] >= 3 else 1
    grey = weight[:, :colours].sum(1, keepdim=True)
    return torch.cat([grey, weight[:, colours : colours + 1]], 1)


class ShapeHead(nn.Module):
    """Logits (N, L) of the labels from a shape alone; nothing until it has learnt."""

    def __init__(self, points: int, labels: int, hidden: int = 256) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2 * points, hidden), nn.Linear(hidden, labels)
        self.drop = nn.Dropout(0.2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def reset(self) -> None:
        """Forget."""
        self.first.reset_parameters()
        self.last.reset_parameters()

    def forward(self, offsets: Tensor) -> Tensor:
        """Logits from offsets (N, 2K)."""
        result: Tensor = self.last(self.drop(torch.relu(self.first(offsets))))
        return result


class EmotionalDAN(nn.Module):
    """A DAN and the joint stage after it.

    Input: RGB crops (N, 3, S, S) in 0..255; output: one (N, K, 2) shape per stage, the joint one last, then
    the probabilities (N, L) of the labels.

    Parameters
    ----------
    cascade
        The stages before.
    size, maps
        Side of the joint stage's frame in pixels; maps of each pair of convolutions.
    labels
        How many emotions there are.
    mirror
        Whether the emotion is the mean of what the face and its mirror image say.
    """

    temperature: Tensor
    bias: Tensor

    def __init__(
        self,
        cascade: DAN,
        *,
        size: int,
        maps: tuple[int, ...],
        features: int,
        labels: int,
        dropout: float,
        use_heatmap: bool = True,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.cascade, self.size, self.use_heatmap, self.mirror = cascade, size, use_heatmap, mirror
        points = cascade.mean.shape[0]
        self.joint = JointStage(size, maps, features, points, labels, dropout)
        self.shape_head = ShapeHead(points, labels)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("bias", torch.zeros(labels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """S_1 ... S_T and the probabilities."""
        shapes = self.cascade(image)
        matrix, shift = self.frame(shapes[-1])
        update, logits = self.answer(self.see(image, shapes[-1], matrix, shift))
        logits = logits + self.shape_head(self.offsets(shapes[-1] @ matrix + shift))
        return [*shapes, self.move(shapes[-1], update, matrix, shift), self.probabilities(logits)]

    def answer(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The joint stage's update of the points and logits; these, if asked for, the mean over what is seen
        and its mirror image.
        """
        if not self.mirror:
            update, logits = self.joint(seen)
            return update, logits
        updates, logits = self.joint(torch.cat([seen, seen.flip(3)]))
        return updates.unflatten(0, (2, -1))[0], logits.unflatten(0, (2, -1)).mean(0)

    def frame(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """The similarity, crop to upright frame, that takes a shape nearest to the mean shape."""
        return similarity(shape, self.cascade.start(self.size, self.cascade.frame_scale))

    def see(self, image: Tensor, shape: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
        """What the joint stage sees: the grey face in the frame, and the shape's heatmap."""
        face = upright(image, matrix, shift, self.size)
        return self.with_heatmap(face, shape @ matrix + shift)

    def offsets(self, placed: Tensor) -> Tensor:
        """How far points (N, K, 2) in the frame are from the mean shape's: (N, 2K), a typical one 1 long."""
        mean = self.cascade.start(self.size, self.cascade.frame_scale)
        return ((placed - mean) * (20 / self.size)).flatten(1)

    def with_heatmap(self, face: Tensor, placed: Tensor) -> Tensor:
        """Grey faces (N, 1, size, size) in 0..255 and the heatmap of points in their frame."""
        if not self.use_heatmap:
            return torch.cat([prepared(face), torch.zeros_like(face)], 1)
        dots = heatmap(placed, self.size, self.cascade.heatmap_stride)
        return torch.cat([prepared(face), dots], 1)

    def move(self, shape: Tensor, update: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
        """S_t = T^-1(T(S_{t-1}) + dS_t)."""
        back, back_shift = inverse(matrix, shift)
        return (shape @ matrix + shift + self.step(update)) @ back + back_shift

    def step(self, update: Tensor) -> Tensor:
        """The points' moves (N, K, 2) in pixels of the frame."""
        return update.reshape(-1, self.cascade.mean.shape[0], 2) * (self.size / 10)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities of the labels."""
        return torch.softmax((logits + self.bias) / self.temperature, -1)


def upright(image: Tensor, matrix: Tensor, shift: Tensor, size: int) -> Tensor:
    """The grey face (N, 1, size, size) in a frame; its pixels are first averaged, 2 x 2 together, so that no
    photo aliases.
    """
    face = grey(image)
    rows = face[:, :, :-1] + face[:, :, 1:]
    smooth = (rows[..., :-1] + rows[..., 1:]) * 0.25  # centres are half a pixel further
    half = matrix.new_full((1, 1, 2), 0.5)
    return warp(smooth, matrix, shift + half @ matrix, size)
