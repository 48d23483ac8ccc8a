"""MTCNN's three networks in torch, their loss with online hard sample mining, and their export to ONNX."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from meanshape.core.errors import writing
from meanshape.core.files import replacing

NEGATIVE, POSITIVE, PART, LANDMARK = range(4)  # the kinds of training windows


def _block(
    inputs: int, outputs: int, kernel: int, activation: str, norm: bool, pool: int = 0, stride: int = 1
) -> list[nn.Module]:
    """Return convolution, norm, activation and (for `pool` > 0) Caffe's ceiling max-pooling of stride 2.

    ReLU commutes with the maximum, and so does a norm whose factors are positive: both may come after the
    pooling, on a quarter of the values.
    """
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, bias=not norm)]
    shrink = [nn.MaxPool2d(pool, 2, ceil_mode=True)] if pool else []
    last: list[nn.Module] = [nn.BatchNorm2d(outputs)] if norm else []
    last.append(_activation(outputs, activation))
    return [*layers, *shrink, *last] if activation == "relu" else [*layers, *last, *shrink]


def _stem(outputs: int, activation: str, stem: str, pool: int) -> list[nn.Module]:
    """Return the first layers: the paper's, or one convolution with the same outlook and step.

    A 3x3 convolution pooled with stride 2 and a 4x4 convolution of stride 2 give maps of one size; the
    second takes a fifth to a half of the time, as the map of full size, the largest of all, is never made.
    """
    if stem == "pool":
        return _block(3, outputs, 3, activation, False, pool=pool)
    return [nn.Conv2d(3, outputs, 4, 2), _activation(outputs, activation)]


def _activation(channels: int, name: str) -> nn.Module:
    return nn.PReLU(channels) if name == "prelu" else nn.ReLU(inplace=True)


class _Heads(nn.Module):
    """Face, box and landmark outputs of a feature vector or (as 1x1 convolutions) of a feature map."""

    def __init__(self, inputs: int, convolution: bool) -> None:
        super().__init__()
        make = (lambda n: nn.Conv2d(inputs, n, 1)) if convolution else (lambda n: nn.Linear(inputs, n))
        self.face, self.box, self.points = make(2), make(4), make(10)
        for head, start in ((self.box, 0.0), (self.points, 0.5)):
            nn.init.normal_(head.weight, std=0.01)
            if head.bias is not None:
                nn.init.constant_(head.bias, start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.face(x), self.box(x), self.points(x)


class _Net(nn.Module):
    """A trunk and its heads: pixels 0..255 in; two face logits, four box offsets, ten coordinates out."""

    size: int

    trunk: nn.Sequential
    heads: _Heads

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out: tuple[Tensor, Tensor, Tensor] = self.heads(self.trunk((x - 127.5) / 128))
        return out


class PNet(_Net):
    """Proposal network: fully convolutional, one 12-pixel window per cell, `stride` 2 or 4 pixels apart.

    At stride 4 the second convolution takes every other place, and the third is 2x2: it sees 12 pixels, too.
    """

    size = 12

    def __init__(
        self,
        channels: Sequence[int] = (10, 16, 32),
        activation: str = "prelu",
        norm: bool = False,
        stem: str = "pool",
        stride: int = 2,
    ) -> None:
        super().__init__()
        a, b, c = channels
        self.trunk = nn.Sequential(
            *_stem(a, activation, stem, 2),
            *_block(a, b, 3, activation, norm, stride=stride // 2),
            *_block(b, c, 3 if stride == 2 else 2, activation, norm),
        )
        self.heads = _Heads(c, convolution=True)


class RNet(_Net):
    """Refinement network: 24-pixel windows.

    The stem "strides" does without the second pooling, too: its convolution has stride 2, and the third is
    3x3 to end with the same map of 3x3.
    """

    size = 24

    def __init__(
        self,
        channels: Sequence[int] = (28, 48, 64, 128),
        activation: str = "prelu",
        norm: bool = False,
        stem: str = "pool",
    ) -> None:
        super().__init__()
        a, b, c, d = channels
        pool, stride, last = (0, 2, 3) if stem == "strides" else (3, 1, 2)
        self.trunk = nn.Sequential(
            *_stem(a, activation, stem, 3),
            *_block(a, b, 3, activation, norm, pool=pool, stride=stride),
            *_block(b, c, last, activation, norm),
            nn.Flatten(),
            nn.Linear(c * 9, d),
            _activation(d, activation),
        )
        self.heads = _Heads(d, convolution=False)


class ONet(_Net):
    """Output network: 48-pixel windows."""

    size = 48

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 64, 128, 256),
        activation: str = "prelu",
        norm: bool = False,
        stem: str = "pool",
    ) -> None:
        super().__init__()
        a, b, c, d, e = channels
        self.trunk = nn.Sequential(
            *_stem(a, activation, stem, 3),
            *_block(a, b, 3, activation, norm, pool=3),
            *_block(b, c, 3, activation, norm, pool=2),
            *_block(c, d, 2, activation, norm),
            nn.Flatten(),
            nn.Linear(d * 9, e),
            nn.Dropout(0.25),
            _activation(e, activation),
        )
        self.heads = _Heads(e, convolution=False)


def loss(
    outputs: tuple[Tensor, Tensor, Tensor],
    kind: Tensor,
    boxes: Tensor,
    points: Tensor,
    *,
    alpha: tuple[float, float, float],
    keep: float = 0.7,
    regression: str = "l2",
    share: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """Return the sum over tasks of alpha * beta * loss, with beta by the samples' kind, and its parts.

    The face loss averages over the hardest share `keep` of the windows that train it (online hard sample
    mining). `share` lets every window that holds enough of a face train all the tasks it can.
    """
    logits, box, point = (o.flatten(1) for o in outputs)
    positive = (kind == POSITIVE) | (kind == LANDMARK) if share else kind == POSITIVE
    has_face = positive | (kind == NEGATIVE)
    has_box = positive | (kind == PART)
    has_points = kind != NEGATIVE if share else kind == LANDMARK
    entropy = F.cross_entropy(logits[has_face], positive[has_face].long(), reduction="none")
    hard = entropy.topk(max(1, round(keep * len(entropy)))).values.mean()
    box_loss = _regression(box[has_box], boxes[has_box], regression)
    point_loss = _regression(point[has_points], points[has_points], regression)
    total = alpha[0] * hard + alpha[1] * box_loss + alpha[2] * point_loss
    return total, {"face": hard.item(), "box": box_loss.item(), "points": point_loss.item()}


def _regression(out: Tensor, truth: Tensor, kind: str) -> Tensor:
    if not len(out):
        return out.sum() * 0
    if kind == "l2":
        return ((out - truth) ** 2).sum(1).mean()
    return F.smooth_l1_loss(out, truth, reduction="none", beta=0.02).sum(1).mean()


def _fold(layers: Iterable[nn.Module]) -> nn.Sequential:
    """Return the layers with each norm after a pooling moved into the convolution before, where it may be.

    (Norms right after their convolutions are left to the exporter.)
    """
    out: list[nn.Module] = []
    for layer in layers:
        before = out[-2:]
        if isinstance(layer, nn.BatchNorm2d) and len(before) == 2 and isinstance(before[1], nn.MaxPool2d):
            assert isinstance(before[0], nn.Conv2d)
            if (layer.weight > 0).all():
                out[-2] = fuse_conv_bn_eval(before[0].eval(), layer.eval())
                continue
        out.append(layer)
    return nn.Sequential(*out)


class _Exported(nn.Module):
    """The network as it is shipped, the same function in fewer steps.

    The first convolution takes pixels 0..255 as they come, and one output gives the face's probability:
    a softmax over two logits is the sigmoid of their difference.
    """

    weight: Tensor
    bias: Tensor
    last: Tensor
    shift: Tensor

    def __init__(self, net: _Net) -> None:
        super().__init__()
        first, face, box = net.trunk[0], net.heads.face, net.heads.box
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        assert face.bias is not None
        assert box.bias is not None
        self.rest, self.points, self.step = _fold(list(net.trunk)[1:]), net.heads.points, first.stride
        weight = first.weight / 128
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", (first.bias - 127.5 * weight.sum((1, 2, 3))).detach())
        self.register_buffer("last", torch.cat([face.weight[1:] - face.weight[:1], box.weight]).detach())
        self.register_buffer("shift", torch.cat([face.bias[1:] - face.bias[:1], box.bias]).detach())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.rest(F.conv2d(image, self.weight, self.bias, self.step))
        out = F.conv2d(x, self.last, self.shift) if x.dim() == 4 else F.linear(x, self.last, self.shift)
        return torch.sigmoid(out[:, 0]), out[:, 1:], self.points(x)


def export(net: _Net, path: Path, *, opset: int = 18) -> None:
    """Write `net` as ONNX: `image` (N, 3, H, W) RGB 0..255, to `face`, `box`, `points`, of any N (H, W)."""
    import warnings

    side = 64 if isinstance(net, PNet) else net.size
    axes: dict[str, dict[int, str]] = {name: {0: "n"} for name in ("image", "face", "box", "points")}
    if isinstance(net, PNet):
        axes["image"] |= {2: "height", 3: "width"}
        axes["face"] |= {1: "rows", 2: "columns"}
        axes["box"] |= {2: "rows", 3: "columns"}
        axes["points"] |= {2: "rows", 3: "columns"}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Exported(net).eval(),
            (torch.zeros(2, 3, side, side),),
            buffer,  # type: ignore[arg-type]  # a file object is taken, the signature forgets it
            input_names=["image"],
            output_names=["face", "box", "points"],
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )
    with writing(path), replacing(path) as file:
        file.write(buffer.getvalue())
