"""Dense gradient orientations: what direction the light changes in, how strongly, pooled a little.

Eight channels, one for each direction of the gradient, each the part of the gradient along it (0 where it
runs the other way), relative to the mean gradient around, then smoothed. Reading them on a grid of points
gives a gradient histogram of 2-D cells (HOG, SIFT, and Stasm's HAT); a picture of them can be warped like
any picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.geometry import Matrix
from meanshape.core.image import warp

Float32 = NDArray[np.float32]

CHANNELS = 8
FLOOR = 4.0
"""Gradients much weaker than this (of 255 per pixel) are noise, and stay small when made relative."""


def grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the luminance (H, W) of RGB pixels."""
    import cv2

    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    return np.asarray(light, np.uint8)


def view(image: NDArray[Any], matrix: Matrix, size: int) -> NDArray[np.uint8]:
    """Return the grey picture mapped into a frame of size x size pixels."""
    return grey(warp(image, matrix, (size, size)))


def orientations(light: NDArray[np.uint8], pool: float, around: float) -> Float32:
    """Return the channels (H, W, 8) of a grey picture.

    Parameters
    ----------
    pool : deviation of the Gaussian that smooths each channel, pixels
    around : deviation of the Gaussian that the mean gradient is taken over, pixels
    """
    import cv2

    edge = cv2.BORDER_REFLECT
    x = cv2.Sobel(light, cv2.CV_32F, 1, 0, ksize=1, borderType=edge)
    y = cv2.Sobel(light, cv2.CV_32F, 0, 1, ksize=1, borderType=edge)
    strength = np.sqrt(x * x + y * y)  # cv2.magnitude does not give the same result twice, to the last bit
    mean = cv2.GaussianBlur(strength, (0, 0), around, borderType=edge) + FLOOR
    x, y = x / mean, y / mean
    channels = np.empty((*light.shape, CHANNELS), np.float32)
    for k in range(CHANNELS // 2):
        angle = 2 * np.pi * k / CHANNELS
        along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
        for channel, part in ((k, along), (k + CHANNELS // 2, -along)):
            channels[..., channel] = cv2.GaussianBlur(np.maximum(part, 0), (0, 0), pool, borderType=edge)
    return channels


def sample(channels: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> Float32:
    """Return channels (H, W, C) at places (A, B) between pixels, bilinear: (A, B, C); the border goes on."""
    import cv2

    found = cv2.remap(
        channels,
        np.ascontiguousarray(x, np.float32),
        np.ascontiguousarray(y, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32).reshape(*x.shape, -1)
