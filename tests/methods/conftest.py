"""The torch networks that models were exported from: a fitted model keeps the graph alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file on one worker: what it trains once would be trained on every worker.

    That of a method goes where the conformance tests train it.
    """
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(item.path.stem.removeprefix("test_")))


@pytest.fixture(scope="session", autouse=True)
def exports_are_kept(exported: dict[Path, Any]) -> None:
    """Keep the networks from the first training on."""


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
