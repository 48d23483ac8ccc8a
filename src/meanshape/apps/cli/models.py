"""List the models, their size and what they may be used for."""

from __future__ import annotations

from typing import Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.core import registry, weights

app = typer.Typer()

HEADER = ["model", "method", "points", "MB", "commercial use", "licence of the weights"]


@app.command()
def models() -> None:
    """List the models that come with the package, then the methods that can be trained.

    The code is free (Apache-2.0). Weights are not code: each has the terms of the data it was trained on.
    """
    rows = [_shipped(name) for name in (*weights.names(), *weights.detector_names())]
    if rows:
        console.grid(rows, HEADER, right=(2, 3))
    else:
        console.show("This package has no weights. Train a model with meanshape train, and name its folder.")
    console.grid(
        [_known("methods", name) for name in registry.names("methods")],
        ["method", "year", "family", "what it does"],
    )
    console.grid(
        [_known("detectors", name)[::3] for name in registry.names("detectors")],
        ["detector", "what it does"],
    )


def _shipped(name: str) -> list[str]:
    """Return the row of one model."""
    folder = weights.folder(name)
    card = weights.read_card(folder)
    points = "-" if card.markup is None else str(len(registry.markup(card.markup)))
    size = f"{card.bytes(folder) / 1e6:.1f}"
    return [name, card.method, points, size, "yes" if card.commercial_use else "no", card.licence]


def _known(kind: registry.Kind, name: str) -> list[str]:
    """Return the row of one method or detector."""
    card: dict[str, Any] = registry.card(kind, name)
    return [name, *(str(card.get(key, "-")) for key in ("year", "family", "summary"))]
