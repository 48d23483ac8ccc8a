"""Rendered faces, made once for all suites, and each method fitted on them once in a worker.

Tests that ask for a trained model say so in their xdist group: the method's name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic import face
from meanshape.methods.base import LandmarkModel

TORCH = importlib.util.find_spec("torch") is not None
FACES, TEST, SIZE = 24, 12, 96
EXPORTING = ("dan", "dcnn", "emotional_dan", "facepp", "tcdcn", "tcnn")


def mirrored(sample: Sample) -> Sample:
    """Return the face in a mirror."""
    pixels = sample.pixels()
    shape, box = sample.shape.mirrored(pixels.shape[1]), sample.box.mirrored(pixels.shape[1])
    return replace(sample, id=f"{sample.id}-m", image=pixels[:, ::-1].copy(), shape=shape, box=box)


def with_holes(sample: Sample) -> Sample:
    """Return the face without two of its points, in the box of all."""
    points = sample.shape.points.copy()
    points[[3, 48]] = np.nan
    return replace(sample, shape=Shape(points, sample.shape.markup))


@pytest.fixture(scope="session")
def train() -> list[Sample]:
    """24 rendered faces and their mirror images, so that their mean is symmetric; nine lack two points."""
    faces = [face(seed, SIZE) for seed in range(FACES)]
    both = [one for sample in faces for one in (sample, mirrored(sample))]
    return [with_holes(sample) if n % 5 == 1 else sample for n, sample in enumerate(both)]


@pytest.fixture(scope="session")
def others() -> list[Sample]:
    """12 faces that no model saw."""
    return [face(seed, SIZE) for seed in range(FACES, FACES + TEST)]


@pytest.fixture(scope="session")
def exported() -> Iterator[dict[Path, Any]]:
    """Keep the torch network of each export by its folder: a fitted model keeps the graph alone."""
    kept: dict[Path, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        if TORCH:
            for method in EXPORTING:
                training: Any = import_module(f"meanshape.methods.{method}.training")
                patch.setattr(training, "save", _keeping(training.save, kept))
        yield kept


def _keeping(save: Callable[..., None], kept: dict[Path, Any]) -> Callable[..., None]:
    def keep(module: Any, folder: Path, *rest: Any) -> None:
        kept[folder] = module
        save(module, folder, *rest)

    return keep


@dataclass(frozen=True)
class Ready:
    """A method fitted by its `tiny()`, and the same read back from its folder."""

    fitted: LandmarkModel
    loaded: LandmarkModel
    folder: Path


@pytest.fixture(scope="session")
def ready(
    train: list[Sample], exported: dict[Path, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Ready]:
    """Return a function from a method's name to `Ready`; each is fitted once."""
    if TORCH:
        import torch

        torch.set_num_threads(1)  # two that wait for each other are slower than one, when the machine is busy

    @cache
    def make(name: str) -> Ready:
        needs_torch(name)
        kind = registry.method(name)
        fitted = kind.tiny().fit(train, seed=1)
        folder = fitted.save(tmp_path_factory.mktemp(name) / "model")
        return Ready(fitted, kind.load(folder), folder)

    return make


def needs_torch(name: str) -> None:
    """Skip what cannot be fitted without torch, where torch is missing."""
    if registry.card("methods", name).get("deep") and not TORCH:
        pytest.skip(f"{name} is fitted with torch, which is not installed")
