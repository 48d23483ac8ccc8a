"""Tweaked CNN as a torch module (Wu 2016): one trunk, a mixture over its features, a head for each cluster.

Cropping (`methods/tcdcn/network.py`) and the choice of the cluster are part of the module, so one ONNX graph
goes from pixels to points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from meanshape.methods.tcdcn.network import ACTIVATIONS, FaceCrops, Trunk


class Vanilla(nn.Module):
    """The paper's VanillaCNN: trunk, FC5 and FC6. Input: crops (N, C, S, S) in 0..255."""

    average: Tensor
    spread: Tensor

    def __init__(
        self, channels: int, size: int, widths: Sequence[int], features: int, outputs: int, activation: str,
        norm: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        # Per-pixel mean and deviation of the training crops.
        self.register_buffer("average", torch.full((channels, size, size), 127.5))
        self.register_buffer("spread", torch.full((channels, size, size), 64.0))
        self.trunk = Trunk(channels, widths, activation, norm, True, size)
        self.activation = ACTIVATIONS[activation]()
        self.fc5 = nn.Linear(self.trunk.outputs, features)
        self.fc6 = nn.Linear(features, outputs)
        nn.init.xavier_uniform_(self.fc5.weight, nn.init.calculate_gain("tanh"))
        nn.init.normal_(self.fc6.weight, std=0.01)
        nn.init.zeros_(self.fc6.bias)

    def features(self, crops: Tensor) -> Tensor:
        """Return the input of FC5 (N, F)."""
        features: Tensor = self.trunk((crops - self.average) / self.spread)
        return features

    def regress(self, features: Tensor) -> Tensor:
        """Return the output of FC6 (N, outputs) for features (N, F)."""
        answer: Tensor = self.fc6(self.activation(self.fc5(features)))
        return answer

    def forward(self, crops: Tensor) -> Tensor:
        """Return the output of FC6 (N, outputs)."""
        return self.regress(self.features(crops))


class Mixture(nn.Module):
    """A Gaussian mixture with diagonal covariances over projected features.

    The logarithm of weight times density is, up to a constant, linear in z and its squares, so that the
    choice is two small matrix products.
    """

    project: Tensor
    centre: Tensor
    linear: Tensor
    square: Tensor
    constant: Tensor

    def __init__(self, features: int, dimensions: int, clusters: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.zeros(features, dimensions))
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("linear", torch.zeros(dimensions, clusters))
        self.register_buffer("square", torch.zeros(dimensions, clusters))
        self.register_buffer("constant", torch.zeros(clusters))

    def set(
        self, projection: Tensor, mean: Tensor, weights: Tensor, means: Tensor, variances: Tensor
    ) -> None:
        """Set the mixture: a projection (P, F) of features minus `mean` (F,), then K components."""
        self.project.copy_(projection.T)
        self.centre.copy_(projection @ mean)
        self.square.copy_(-0.5 / variances.T)
        self.linear.copy_((means / variances).T)
        scale = torch.log(weights) - 0.5 * torch.log(variances).sum(1)
        self.constant.copy_(scale - 0.5 * (means**2 / variances).sum(1))

    def scores(self, features: Tensor) -> Tensor:
        """Return log(weight x density) (N, K), up to a constant."""
        z = features @ self.project - self.centre
        return z @ self.linear + (z * z) @ self.square + self.constant

    def forward(self, features: Tensor) -> Tensor:
        """Return the most probable cluster (N,)."""
        return self.scores(features).argmax(1)


class Heads(nn.Module):
    """H heads, each an FC5 and an FC6, stored as stacked weights."""

    def __init__(self, heads: int, features: int, hidden: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.w5 = nn.Parameter(torch.zeros(heads, features, hidden))
        self.b5 = nn.Parameter(torch.zeros(heads, 1, hidden))
        self.w6 = nn.Parameter(torch.zeros(heads, hidden, outputs))
        self.b6 = nn.Parameter(torch.zeros(heads, 1, outputs))
        self.activation = ACTIVATIONS[activation]()

    def start_from(self, vanilla: Vanilla) -> None:
        """Initialise every head with the vanilla network's."""
        with torch.no_grad():
            for weight, layer in ((self.w5, vanilla.fc5), (self.w6, vanilla.fc6)):
                weight.copy_(layer.weight.T.expand_as(weight))
            for bias, layer in ((self.b5, vanilla.fc5), (self.b6, vanilla.fc6)):
                bias.copy_(layer.bias.expand_as(bias))

    def grouped(self, features: Tensor) -> Tensor:
        """Return outputs (H, B, outputs) for features (H, B, F), grouped by head."""
        hidden = self.activation(torch.baddbmm(self.b5, features, self.w5))
        return torch.baddbmm(self.b6, hidden, self.w6)

    def alone(self, features: Tensor, head: int) -> Tensor:
        """Return the outputs (N, outputs) of one head for features (N, F)."""
        hidden = self.activation(features @ self.w5[head] + self.b5[head])
        answer: Tensor = hidden @ self.w6[head] + self.b6[head]
        return answer

    def forward(self, features: Tensor, which: Tensor) -> Tensor:
        """Return outputs (N, outputs) for features (N, F), row n from head which[n]."""
        hidden = self.activation(features[:, None] @ self.w5[which] + self.b5[which])
        answer: Tensor = (hidden @ self.w6[which] + self.b6[which])[:, 0]
        return answer


class TCNNNet(nn.Module):
    """The tweaked network. Input: RGB (N, 3, crop_size, crop_size) in 0..255; output: points and cluster.

    `head` (K,) is the head that each cluster uses; head 0 is the vanilla network's.
    """

    head: Tensor

    def __init__(
        self, face_crops: FaceCrops, vanilla: Vanilla, mixture: Mixture, heads: Heads, head: Tensor
    ) -> None:
        super().__init__()
        self.face_crops, self.vanilla, self.mixture, self.heads = face_crops, vanilla, mixture, heads
        self.register_buffer("head", head)

    def predict_crop(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points (N, K, 2) in pixels of the network's crops, and the cluster (N,) of each."""
        features = self.vanilla.features(crops)
        cluster = self.mixture(features)
        return placed(self.face_crops, self.heads(features, self.head[cluster])), cluster

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the points (N, K, 2) in pixels of the input, and the cluster (N,) of the last pass."""
        crop, to_input = self.face_crops.box_crop(image), self.face_crops.to_input
        for _ in range(1, self.face_crops.passes):  # the vanilla head aligns the next crop as well as any
            points = to_input(placed(self.face_crops, self.vanilla(crop)))
            crop, *way = self.face_crops.aligned_crop(image, points, exact=True)
            to_input = partial(aligned_to_input, *way)
        points, cluster = self.predict_crop(crop)
        return [to_input(points), cluster]


def aligned_to_input(back: Tensor, shift: Tensor, points: Tensor) -> Tensor:
    """Return points of an aligned crop in pixels of the input."""
    return points @ back + shift


def placed(face_crops: FaceCrops, answer: Tensor) -> Tensor:
    """Return the points (N, K, 2) in pixels of the crop, from FC6's output in tenths of the crop."""
    return face_crops.target() + answer.reshape(-1, *face_crops.mean.shape) * (face_crops.size / 10)
