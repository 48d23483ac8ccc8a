"""Another mark-up: methods learnt and measured on IMM's 73 points, each person by models that never saw him.

    python benchmarks/imm_by_person.py asm aam --data imm:ROOT [--folds 4]

Prints, in percent of the distance of the outer eye corners, mean and median over all photos.
"""

from __future__ import annotations

import argparse

import numpy as np

from meanshape.core import registry
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.methods.base import LandmarkModel


def errors(model: LandmarkModel, samples: list[Sample]) -> list[float]:
    """Return the error of each photo, in percent."""
    found = []
    for sample in samples:
        assert sample.shape is not None and sample.shape.markup.inter_ocular is not None
        true = sample.shape.points
        right, left = true[list(sample.shape.markup.inter_ocular)]
        off = np.hypot(*(model.predict(sample.image, sample.shape.box()).points - true).T)
        found.append(float(100 * off.mean() / np.hypot(*(left - right))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of the methods' Config")
    given = parser.parse_args()
    from meanshape.core.config import override

    samples = load_data(given.data)
    people = sorted({str(sample.attributes["person"]) for sample in samples})
    settings = dict(setting.split("=", 1) for setting in given.set)
    for name in ("mean_shape", *given.methods):
        kind, found = registry.method(name), []
        for fold in range(given.folds):
            held = set(people[fold :: given.folds])
            train = [s for s in samples if s.attributes["person"] not in held]
            chosen = override(kind.Config(), settings if name != "mean_shape" else {})
            model = kind(chosen).fit(train)
            found += errors(model, [s for s in samples if s.attributes["person"] in held])
        print(f"{name:12} {len(found)} photos  mean {np.mean(found):.2f}  median {np.median(found):.2f}")


if __name__ == "__main__":
    main()
