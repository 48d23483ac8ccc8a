"""Measure how far a confidence can be trusted beyond plain faces: infants, turned and covered ones, nobody.

    python benchmarks/confidence_beyond.py MODEL... --infanface ROOT --ibug300w ROOT
        --negatives FOLDER [--save]

Infants as they are; every third face of 300-W validation, from its true box, once turned by 30 to 180 degrees
and once covered by 10 to 40 %; and boxes in photos without people. Printed for each: the share of points
within 5 %, the mean confidence, and the AUROC; "all faces" are the first three together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

import meanshape as ms
from meanshape.core.image import Pixels
from meanshape.datasets import load_data
from meanshape.evaluation import perturb
from meanshape.evaluation.domain import (
    NO_FACE,
    ViewPredictions,
    empty_view,
    figures,
    photos_without_people,
    predict_views,
)
from meanshape.evaluation.perturb import View
from meanshape.methods.shared.confidence import Found

RESULTS = Path(__file__).parent / "results" / "confidence_beyond.json"


def main() -> None:
    options = _options()
    empty = photos_without_people(options.negatives)
    infants = load_data(f"infanface:{options.infanface}")
    adults = load_data(f"ibug300w:{options.ibug300w}:validation")[::3]
    found = {}
    for name in options.models:
        model = ms.load(name)
        parts = [
            predict_views(model, infants, as_they_are, (0, 3), lambda share, text: None),
            predict_views(model, adults, partial(changed, empty), (0, 4), lambda share, text: None),
        ]
        assert model.confidence is not None
        found[name] = figures(model.confidence, joined(parts))
        for kind, told in found[name].items():
            area = f"{told['auroc']:.1f}" if "auroc" in told else "-"
            print(f"{name}: {kind}: right {told['right']:.1f}, said {told['mean']:.1f}, AUROC {area}")
    if options.save:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def as_they_are(view: View, rng: np.random.Generator) -> Iterator[tuple[str, View]]:
    yield "infants", view


def changed(empty: list[Pixels], view: View, rng: np.random.Generator) -> Iterator[tuple[str, View]]:
    yield "turned", perturb.rotate(view, rng.choice((-1, 1)) * rng.uniform(30, 180), rng)
    yield "covered", perturb.occlude(view, rng.uniform(0.1, 0.4), rng)
    yield NO_FACE, empty_view(view, empty, rng)


def joined(parts: list[ViewPredictions]) -> ViewPredictions:
    """Return all that was seen as one; methods that do not vote have no spread."""
    spread = [part.found.spread for part in parts if part.found.spread is not None]
    found = Found(
        np.concatenate([part.found.stages for part in parts]), np.concatenate(spread) if spread else None
    )
    return ViewPredictions(
        np.concatenate([part.names for part in parts]),
        [picture for part in parts for picture in part.pictures],
        found,
        np.concatenate([part.errors for part in parts]),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--infanface", required=True, metavar="ROOT")
    parser.add_argument("--ibug300w", required=True, metavar="ROOT")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--negatives", type=Path, required=True, metavar="FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    main()
