"""What many tests share: a model that needs no training, photos made on the spot, and no network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from real_data import DATA
from trained import exported, others, ready, train  # noqa: F401

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs real photos where there are none."""
    if DATA.is_dir():
        return
    skip = pytest.mark.skip(reason="no real data: set MEANSHAPE_DATA, or lay it into ../shared/data")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail any test that looks beyond this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            pytest.fail(f"a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def mean_face() -> np.ndarray:
    """Return 68 points (68, 2) that resemble a face, in the unit square of their box."""
    from meanshape.core.markup import markup

    jaw = [(0.5 - 0.5 * np.cos(a), 0.25 + 0.75 * np.sin(a)) for a in np.linspace(0, np.pi, 17)]
    across = [*np.linspace(0.1, 0.4, 5), *np.linspace(0.6, 0.9, 5)]
    brows = [(x, 0.02 + 0.2 * abs(abs(x - 0.5) - 0.25)) for x in across]
    nose = [(0.5, y) for y in np.linspace(0.2, 0.5, 4)] + [(x, 0.56) for x in np.linspace(0.4, 0.6, 5)]
    ring = [(np.cos(a), np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 7)[:-1]]
    eyes = [(cx + 0.08 * x, 0.22 + 0.04 * y) for cx in (0.28, 0.72) for x, y in ring]
    lips = [
        (0.5 + w * np.cos(a), 0.75 + h * np.sin(a))
        for w, h, n in ((0.17, 0.08, 12), (0.13, 0.03, 8))
        for a in np.linspace(np.pi, 3 * np.pi, n + 1)[:-1]
    ]
    points = np.array([*jaw, *brows, *nose, *eyes, *lips])
    assert points.shape == (len(markup("ibug68")), 2)
    low, high = points.min(0), points.max(0)
    return np.asarray((points - low) / (high - low))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, mean_face: np.ndarray) -> Path:
    """Return a folder with a model that answers the mean face, whatever the photo."""
    from meanshape import Box, Sample, Shape
    from meanshape.methods.mean_shape import MeanShape

    box = Box(10, 20, 110, 140)
    shape = Shape(box.absolute(mean_face))
    return (
        MeanShape()
        .fit([Sample("one", "none.png", shape, box)])
        .save(tmp_path_factory.mktemp("weights") / "mean")
    )


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small photo into the test's folder and returns its path."""

    def write(name: str = "photo.png", size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in its own folder."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
