"""What networks and warps are made of, in numpy, from the formulas: none of the package's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Weights = Mapping[str, Array]
LUMA = (0.299, 0.587, 0.114)


def scrambled(module: Any, seed: int, spread: float = 0.3) -> Any:
    """Give a torch module random weights, and its norms random averages; return it, ready to answer."""
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point() or (name.endswith("mean") and "running" not in name):
                continue
            drawn = rng.normal(0, spread, value.shape)
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                drawn = rng.uniform(0.7, 1.5, value.shape)  # of norms: smaller ones let the signal fade away
            elif value.ndim > 1 and "running" not in name:
                drawn /= np.sqrt(np.prod(value.shape[1:])) * spread  # each output about 1 large
            value.copy_(torch.from_numpy(np.asarray(drawn)))
    return module.eval()


def weights_of(module: Any) -> dict[str, Array]:
    """Return a torch module's weights by name."""
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def part(weights: Weights, prefix: str) -> dict[str, Array]:
    """Return the weights below a name."""
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in weights.items()
        if name.startswith(f"{prefix}.")
    }


def convolution(
    maps: Array, weight: Array, bias: Array | None = None, pad: int = 0, stride: int = 1
) -> Array:
    """Return maps (C, H, W) convolved with a weight (O, C, k, k)."""
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    found = np.einsum("chwij,ocij->ohw", windows, weight)
    return found if bias is None else found + bias[:, None, None]


def norm(maps: Array, weights: Weights, prefix: str) -> Array:
    """Return maps (C, ...) normalised by stored averages, as batch normalisation does when it answers."""
    own = part(weights, prefix)
    shape = (-1,) + (1,) * (maps.ndim - 1)
    scale = own["weight"] / np.sqrt(own["running_var"] + 1e-5)
    return (maps - own["running_mean"].reshape(shape)) * scale.reshape(shape) + own["bias"].reshape(shape)


def relu(maps: Array) -> Array:
    return np.maximum(maps, 0)


def pooled(maps: Array, kernel: int = 2, stride: int = 2, ceil: bool = False) -> Array:
    """Return the maxima of windows; with `ceil` the last ones may hang over the edge."""
    sides = [(side - kernel) / stride + 1 for side in maps.shape[1:]]
    high, wide = (int(np.ceil(side) if ceil else np.floor(side)) for side in sides)
    found = np.empty((len(maps), high, wide))
    for y in range(high):
        for x in range(wide):
            window = maps[:, y * stride : y * stride + kernel, x * stride : x * stride + kernel]
            found[:, y, x] = window.max((1, 2))
    return found


def linear(values: Array, weights: Weights, prefix: str) -> Array:
    own = part(weights, prefix)
    return own["weight"] @ values + own.get("bias", 0.0)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def grey(image: Array) -> Array:
    """Return the luminance (1, H, W) of RGB (3, H, W)."""
    return np.tensordot(LUMA, image, 1)[None]


def means(image: Array, ratio: int) -> Array:
    """Return the means of blocks of ratio x ratio pixels."""
    channels, high, wide = image.shape
    return image.reshape(channels, high // ratio, ratio, wide // ratio, ratio).mean((2, 4))


def bilinear(image: Array, x: Array, y: Array) -> Array:
    """Return an image (C, H, W) at places between pixels; beyond it its border goes on."""
    high, wide = image.shape[1:]
    x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, high - 1)
    left, top = np.minimum(x.astype(int), wide - 2), np.minimum(y.astype(int), high - 2)
    u, v = x - left, y - top
    upper = image[:, top, left] * (1 - u) + image[:, top, left + 1] * u
    lower = image[:, top + 1, left] * (1 - u) + image[:, top + 1, left + 1] * u
    return upper * (1 - v) + lower * v


def similarity(source: Array, target: Array) -> tuple[Array, Array]:
    """Return A and t of the least-squares similarity target = A source + t, by a general solver."""
    count = len(source)
    rows = np.zeros((2 * count, 4))
    rows[:count, 0], rows[:count, 1], rows[:count, 2] = source[:, 0], -source[:, 1], 1
    rows[count:, 0], rows[count:, 1], rows[count:, 3] = source[:, 1], source[:, 0], 1
    a, b, x, y = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    return np.array([[a, -b], [b, a]]), np.array([x, y])


def seen(image: Array, matrix: Array, shift: Array, size: int) -> Array:
    """Return the frame (C, size, size) that a map p -> A p + t takes an image (C, H, W) to."""
    y, x = np.mgrid[:size, :size].astype(float)
    back = np.linalg.inv(matrix)
    places = (np.stack([x, y], -1) - shift) @ back.T
    return bilinear(image, places[..., 0], places[..., 1])


def heatmap(points: Array, size: int, reach: int = 8) -> Array:
    """Return H (1, size, size) = max over points of 1 / (1 + distance), in squares of 17 x 17 about them."""
    y, x = np.mgrid[:size, :size].astype(float)
    found = np.zeros((size, size))
    for px, py in np.clip(points, reach, size - 1 - reach):
        inside = (np.abs(x - px) <= reach + 0.5) & (np.abs(y - py) <= reach + 0.5)
        found = np.maximum(found, np.where(inside, 1 / (1 + np.hypot(x - px, y - py)), 0))
    return found[None]


def wing(distance: Array, width: float = 0.1, curvature: float = 0.02) -> Array:
    """Return Feng's wing loss: w ln(1 + d / e) below w, d - C beyond, both alike at w."""
    bend = width - width * np.log(1 + width / curvature)
    return np.where(distance < width, width * np.log(1 + distance / curvature), distance - bend)


def cross_entropy(logits: Array, labels: Sequence[int]) -> Array:
    return -np.log(softmax(logits)[np.arange(len(logits)), list(labels)])
