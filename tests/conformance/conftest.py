"""Rendered faces, made once for all suites, and each method fitted on them once."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.register_assert_rewrite("checks", "weight_checks")

from meanshape.core import registry  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets.synthetic import face  # noqa: E402
from meanshape.methods.base import LandmarkModel  # noqa: E402

TORCH = importlib.util.find_spec("torch") is not None
FACES, TEST, SIZE = 24, 12, 96


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


@dataclass(frozen=True)
class Ready:
    """A method fitted by its `tiny()`, and the same read back from its folder."""

    fitted: LandmarkModel
    loaded: LandmarkModel
    folder: Path


@pytest.fixture(scope="session")
def ready(train, tmp_path_factory):
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
