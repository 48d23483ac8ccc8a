"""The keywords of pipelines and trackers as types: editors complete them, checkers refuse wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider
    from meanshape.detectors.base import FaceDetector
    from meanshape.methods.base import LandmarkModel

Color = Literal["rgb", "bgr"]
"""The channel order of arrays; OpenCV's is "bgr"."""
Licence = Literal["any", "permissive"]
Turns = Literal["none", "auto", "all"]
Smoothing = Literal["one_euro", "kalman", "none"]


class _Settings(TypedDict, total=False):
    min_face: float | None
    markup: str | None
    stages: int | None
    max_faces: int | None
    turns: Turns


class _Networks(TypedDict, total=False):
    detector: str | FaceDetector | None
    model: str | Path | LandmarkModel | None
    threads: int
    providers: Sequence[Provider] | None
    device: str | None
    emotion: bool
    attributes: bool
    licence: Licence


class _Tracking(TypedDict, total=False):
    every: int
    threshold: float
    memory: float
    smoothing: Smoothing


class Settings(_Settings, total=False):
    """Options that no network depends on: `Pipeline.with_settings` changes them."""

    color: Color


class PipelineOptions(Settings, _Networks, total=False):
    """The options of `Pipeline`, which says what each means."""


class FollowOptions(_Settings, _Networks, _Tracking, total=False):
    """The options of `follow` and `video`: of `Tracker`, and of its pipeline but for the color."""
