"""What the ideas of Zhou 2013 are worth: the error after each level, and short runs without one of them.

    python studies/facepp.py MODEL --data ibug300w:ROOT:validation [--json FILE]
    python studies/facepp.py RUN --train ibug300w:ROOT:train --data ibug300w:ROOT:validation

Errors are in percent of the distance of the outer eye corners, true boxes given (and the same boxes moved
by 10 % at random). MODEL is a name or a run folder. With `--train`, networks learn for a few hundred steps,
all from the same batches: level 2 in the boxes of level 1 or in the mean ones, two branches or one; level 3
by parts or with one network for all inner points, on the levels 1 and 2 of RUN.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from timing import milliseconds

import meanshape as ms
from meanshape.core import config as configs
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.methods.facepp import Config, FacePP
from meanshape.methods.onnx.state import STATE

CONTOUR = slice(0, 17)
INNER = slice(17, 68)


def moved(samples: Sequence[Sample], share: float) -> list[Box]:
    """The samples' boxes, shifted and scaled at random by a deviation of this share."""
    rng = np.random.default_rng(0)
    boxes = []
    for sample in samples:
        assert sample.box is not None
        dx, dy, scale = rng.normal(0, share, 3) if share else (0.0, 0.0, 0.0)
        box = sample.box.shifted(dx * sample.box.width, dy * sample.box.height)
        boxes.append(box.scaled(float(np.exp(scale))))
    return boxes


def errors(model: FacePP, samples: list[Sample], level: int, share: float = 0.0) -> dict[str, float]:
    """Mean error after a level, in percent of the distance of the outer eye corners."""
    found = model.predict_batch([s.image for s in samples], moved(samples, share), levels=level)
    each: list[NDArray[np.float64]] = []
    for f, s in zip(found, samples, strict=True):
        assert s.shape is not None
        truth = s.shape.points
        each.append(np.linalg.norm(f.points - truth, axis=1) / np.linalg.norm(truth[36] - truth[45]))
    percent = 100 * np.stack(each)
    return {
        "all": round(float(percent.mean()), 3),
        "inner": round(float(percent[:, INNER].mean()), 3),
        "contour": round(float(percent[:, CONTOUR].mean()), 3),
        "above_8_percent": round(100 * float((percent.mean(1) > 8).mean()), 2),
    }


def first_levels(run: Path, folder: Path) -> Path:
    """Levels 1 and 2 of a run, to start from."""
    state = load_file(run / STATE)
    save_file({k: v for k, v in state.items() if k.startswith(("boxes", "wholes"))}, folder / STATE)
    weights.write_card(folder, weights.read_card(run), [STATE])
    return folder


def without_boxes(run: Path, train: list[Sample], valid: list[Sample]) -> dict[str, Any]:
    """The finished levels 2 to 4 in the mean boxes in place of level 1's; nothing is learnt anew."""
    config = configs.override(configs.load(Config, run / "config.toml"), {"steps": "0,0,0,0"})
    found: dict[str, Any] = {}
    for name, used in (("level 4 by torch", True), ("level 4 without level 1", False)):
        model = FacePP(replace(config, use_boxes=used))
        model.initial = run
        model.fit(train)
        found[name] = errors(model, valid, 4)
        found[f"{name}, moved by 10 %"] = errors(model, valid, 4, 0.1)
        print(name, found[name], found[f"{name}, moved by 10 %"], flush=True)
    return found


def ablations(run: Path, train: list[Sample], valid: list[Sample], steps: int) -> dict[str, Any]:
    """Short runs, each without one idea: level 2 with its own first level, level 3 on that of RUN."""
    second, third = f"{steps // 2},{steps},0,0", f"0,0,{steps},0"
    plans = {
        "level 2": (2, {"steps": second}, False),
        "level 2 without level 1": (2, {"steps": second, "use_boxes": "false"}, False),
        "level 2 in one branch": (2, {"steps": second, "two_branches": "false"}, False),
        "level 3 by parts": (3, {"steps": third}, True),
        "level 3 as a whole": (3, {"steps": third, "parts": "false"}, True),
    }
    base = configs.load(Config, run / "config.toml")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        start = first_levels(run, Path(folder))
        for name, (level, settings, built) in plans.items():
            model = FacePP(configs.override(base, settings))
            model.initial = start if built else None
            begin = time.process_time()
            model.fit(train, seed=0)
            results[name] = {
                "true box": errors(model, valid, level),
                "moved by 10 %": errors(model, valid, level, 0.1),
                "seconds": round(time.process_time() - begin),
            }
            print(name, results[name], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--train")
    parser.add_argument("--steps", type=int, default=400, help="0: the finished model without its level 1")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = load_data(options.data)
    results: dict[str, Any] = {"data": options.data.split(":")[0], "faces": len(samples)}
    if options.train:
        train, run = load_data(options.train), Path(options.model)
        if options.steps:
            results["short runs"] = ablations(run, train, samples, options.steps)
        else:
            results |= without_boxes(run, train, samples)
    else:
        model = ms.load(options.model)
        for level in (2, 3, 4):
            results[f"level {level}"] = errors(model, samples, level)
            results[f"level {level}, moved by 10 %"] = errors(model, samples, level, 0.1)
            print(level, results[f"level {level}"], results[f"level {level}, moved by 10 %"], flush=True)
        results["milliseconds"] = round(milliseconds(model, samples[0]), 2)
        print(results["milliseconds"], "ms a face")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
