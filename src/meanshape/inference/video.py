"""A clip's predictions, frame after frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

from meanshape.core.image import ImageLike
from meanshape.core.prediction import LandmarkPrediction
from meanshape.inference.following import Following, follow
from meanshape.inference.options import Color, FollowOptions


def video(
    source: str | Path | int | Iterable[ImageLike],
    *,
    rate: float = 25.0,
    color: Color = "rgb",
    **options: Unpack[FollowOptions],
) -> Iterator[LandmarkPrediction]:
    """Yield the faces in each frame of a video or camera, followed from frame to frame.

    As `follow`, which yields the frames, too, and says what the parameters are and which errors there are.
    """
    return _predictions(follow(source, rate=rate, color=color, **options))


def _predictions(pairs: Following) -> Iterator[LandmarkPrediction]:
    with pairs:
        for _, prediction in pairs:
            yield prediction
