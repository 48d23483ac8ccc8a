"""What the tasks bring to TCDCN's points, and what stopping them task by task does.

    python benchmarks/tcdcn_study.py --train mtfl:ROOT:train --valid mtfl:ROOT:validation --out runs/tasks
           [--arms none all gender smile glasses pose stopping] [--seeds 0 1 2] [--set KEY=VALUE ...]

Every arm trains the paper's network widths with one look on the same batches from the same first weights;
only the tasks differ. The error is that of the averaged weights after the last step, in percent of the
inter-pupil distance, in the frames of the faces' outlines (as a detector frames them). One JSON line per run
goes to OUT/arms.jsonl; OUT/study.json has means over seeds and the paired differences to the arm without
tasks (95 % bootstrap over faces, errors averaged over the seeds).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from meanshape.core.config import override
from meanshape.datasets import load_data
from meanshape.methods.nets import tcdcn_training as training
from meanshape.methods.tcdcn import TASKS, Config
from meanshape.training.loop import Batch, Schedule, Trainer
from meanshape.training.sampling import square_mean
from meanshape.training.tensors import FaceTensors, TensorSampler

BASE = Config(
    looks=1, upright=0.0, widths=(16, 48, 64, 64), features=100, stopping=False, steps=2000, check_every=50
)


def tasks_of(arm: str) -> tuple[str, ...]:
    """The tasks of an arm: one by its name, all, or none."""
    return {"none": (), "all": tuple(TASKS), "stopping": tuple(TASKS)}.get(arm, (arm,))


@dataclass(frozen=True)
class Remembering(TensorSampler):
    """Draws each batch once, for all arms of a seed."""

    memory: dict[int, Batch] = field(default_factory=dict)

    def batch(self, step: int) -> Batch:
        """Batch `step`, its pixels in half precision meanwhile."""
        if step not in self.memory:
            drawn = TensorSampler.batch(self, step)
            self.memory[step] = {**drawn, "image": drawn["image"].astype(np.float16)}
        kept = self.memory[step]
        return {**kept, "image": kept["image"].astype(np.float32)}


def run(
    arm: str, seed: int, config: Config, sampler: Remembering, valid: FaceTensors, out: Path
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Train one arm; its figures on the validation faces, and the error of each."""
    torch.manual_seed(seed)
    config = replace(config, tasks=tasks_of(arm), stopping=arm == "stopping")
    tasks = {task: TASKS[task] for task in config.tasks}
    mean = square_mean(sampler.faces.kept, sampler.faces.markup)
    module = training.build(config, mean, tasks)
    learning = training.Learning(config, tasks, sampler, valid, out / f"{arm}-{seed}")
    schedule = Schedule(
        steps=config.steps, rate=config.rate, warmup=config.warmup, ema=config.ema,
        weight_decay=config.weight_decay, validate_every=1e9,
    )  # fmt: skip
    Trainer(module, learning, schedule, None, arm, seed).run()
    if tasks and config.refit:
        training.refit_heads(module, learning, config)
    figures = learning.validate(module.eval())
    return {"arm": arm, "seed": seed, "stops": learning.stops, **figures}, learning.measured(module)[0]


def summary(
    figures: dict[str, list[dict[str, Any]]], errors: dict[str, list[NDArray[np.float64]]]
) -> dict[str, Any]:
    """Means over the seeds of each arm, and its paired difference to the arm without tasks."""
    rng = np.random.default_rng(0)
    table: dict[str, dict[str, Any]] = {}
    for arm, runs in figures.items():
        kinds = [kind for kind in ("error", *TASKS) if kind in runs[0]]
        table[arm] = {kind: float(np.mean([run[kind] for run in runs])) for kind in kinds}
        table[arm]["of each seed"] = [run["error"] for run in runs]
        table[arm]["stops"] = [run["stops"] for run in runs]
        if "none" in errors and arm != "none":
            off = np.mean(errors[arm], 0) - np.mean(errors["none"], 0)
            means = off[rng.integers(0, len(off), (2000, len(off)))].mean(1)
            table[arm]["minus none"] = float(off.mean())
            table[arm]["interval"] = [float(v) for v in np.percentile(means, [2.5, 97.5])]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", default=["none", "all", *TASKS, "stopping"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    config = override(BASE, dict(pair.split("=", 1) for pair in given.set))
    samples, others = load_data(given.train), load_data(given.valid)
    markup = samples[0].shape.markup
    train, valid = (FaceTensors(part, markup, config.channels) for part in (samples, others))
    given.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict[str, Any]]] = {arm: [] for arm in given.arms}
    errors: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in given.arms}
    for seed in given.seeds:
        sampler = Remembering(train, config.size, config.scale, config.batch, config.changes, seed)
        for arm in given.arms:
            result, each = run(arm, seed, config, sampler, valid, given.out)
            figures[arm].append(result)
            errors[arm].append(each)
            print(json.dumps(result), flush=True)
            with (given.out / "arms.jsonl").open("a") as file:
                file.write(json.dumps(result) + "\n")
    text = json.dumps({"faces": len(valid), "arms": summary(figures, errors)}, indent=1)
    (given.out / "study.json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
