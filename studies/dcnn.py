"""What DCNN's parts are worth: the error after each level, and locally shared against global weights.

    python studies/dcnn.py MODEL --data cnn_facepoint:ROOT:validation [--json FILE]
    python studies/dcnn.py --train cnn_facepoint:ROOT:train --data cnn_facepoint:ROOT:validation

MODEL is a name or a run folder. Errors are in percent of the width of the data set's box, its own boxes
given. With `--train`, two first levels learn from the same batches, one of them with weights that are
shared everywhere (`Config.local`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import milliseconds

import meanshape as ms
from meanshape.core import config as configs
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.methods.dcnn import DCNN, Config, training
from meanshape.methods.dcnn.config import LEVELS

POINTS = ("left eye", "right eye", "nose", "left mouth", "right mouth")  # as the paper: of the picture


def errors(model: DCNN, samples: list[Sample], level: int) -> NDArray[np.float64]:
    """Error (N, 5) of each point after a level, in percent of the box's width."""
    found = model.predict_batch([s.image for s in samples], [s.box for s in samples], levels=level)
    distances = [
        np.linalg.norm(f.points - s.shape.points, axis=1) / (s.own_box or s.box).width
        for f, s in zip(found, samples, strict=True)
        if s.shape is not None
    ]
    return 100 * np.stack(distances)


def describe(each: NDArray[np.float64]) -> dict[str, Any]:
    """Mean error of all points and of each, and the share of each above 5 %."""
    return {
        "mean": round(float(each.mean()), 3),
        "points": [round(float(v), 3) for v in each.mean(0)],
        "above_5_percent": [round(float(v), 2) for v in 100 * (each > 5).mean(0)],
    }


def shared(train: list[Sample], valid: list[Sample], steps: int) -> dict[str, Any]:
    """Two first levels that differ in where their weights are shared."""
    results = {}
    for name, local in (("local", "true"), ("global", "false")):
        settings = {"local": local, "steps": f"{steps},0,0"}
        model = DCNN(configs.override(Config(), settings)).fit(train, seed=0)
        results[name] = describe(errors(model, valid, 1))
        results[name]["parameters"] = sum(
            p.numel() for p in training.build(model.config, np.zeros((5, 2))).faces.parameters()
        )
        print(name, results[name], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?")
    parser.add_argument("--data", required=True)
    parser.add_argument("--train")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = load_data(options.data)
    results: dict[str, Any] = {"data": options.data.split(":")[0], "faces": len(samples), "points": POINTS}
    if options.model:
        model = ms.load(options.model)
        for level in range(1, LEVELS + 1):
            results[f"level {level}"] = describe(errors(model, samples, level))
            print(level, results[f"level {level}"], flush=True)
        results["milliseconds"] = round(milliseconds(model, samples[0]), 2)
        print(results["milliseconds"], "ms a face")
    if options.train:
        results["weights"] = shared(load_data(options.train), samples, options.steps)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
