"""The torch networks that models were exported from: a fitted model keeps the graph alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

METHODS = ("dan", "dcnn", "emotional_dan", "facepp", "tcdcn", "tcnn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file on one worker: what it trains once would be trained on every worker."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session", autouse=True)
def exported() -> Iterator[dict[Path, Any]]:
    """Keep the network of each export by its folder."""
    kept: dict[Path, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torch"):
            for method in METHODS:
                training: Any = import_module(f"meanshape.methods.{method}.training")
                patch.setattr(training, "save", _keeping(training.save, kept))
        yield kept


def _keeping(save: Callable[..., None], kept: dict[Path, Any]) -> Callable[..., None]:
    def keep(module: Any, folder: Path, *rest: Any) -> None:
        kept[folder] = module
        save(module, folder, *rest)

    return keep


@pytest.fixture(scope="session")
def network(exported: dict[Path, Any]) -> Callable[[Any], Any]:
    """What returns the network that a model, which was fitted here, was exported from."""
    return lambda model: exported[model._folder]


@pytest.fixture(scope="session")
def by_torch() -> Callable[..., list[np.ndarray]]:
    """What returns the answers of a network to crops (N, S, S, 3)."""

    def answers(module: Any, crops: np.ndarray, **options: Any) -> list[np.ndarray]:
        import torch

        with torch.no_grad():
            said = module(torch.from_numpy(crops).permute(0, 3, 1, 2).float(), **options)
        return [answer.numpy() for answer in said]

    return answers
