"""What the tasks bring to TCDCN's points, and what stopping them task by task does.

    python benchmarks/tcdcn_study.py --train mtfl:ROOT:train --valid mtfl:ROOT:validation --out runs/tasks
           [--arms none all gender smile glasses pose stopping] [--seeds 0 1] [--set KEY=VALUE ...]

Every arm trains the paper's network widths with one look on the same batches; only the tasks differ. The
error is that of the averaged weights after the last step, in percent of the inter-pupil distance, in the
frames of the faces' outlines (as a detector frames them). One JSON line per run goes to OUT/arms.jsonl.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch

from meanshape.core.config import override
from meanshape.datasets import load_data
from meanshape.methods.nets import tcdcn_training as training
from meanshape.methods.tcdcn import TASKS, Config
from meanshape.training.loop import Schedule, Trainer
from meanshape.training.sampling import square_mean
from meanshape.training.tensors import FaceTensors, TensorSampler

BASE = Config(
    looks=1, upright=0.0, widths=(16, 48, 64, 64), features=100, stopping=False, steps=2000, check_every=50
)


def tasks_of(arm: str) -> tuple[str, ...]:
    """The tasks of an arm: one by its name, all, or none."""
    return {"none": (), "all": tuple(TASKS), "stopping": tuple(TASKS)}.get(arm, (arm,))


def run(
    arm: str, seed: int, config: Config, train: FaceTensors, valid: FaceTensors, out: Path
) -> dict[str, Any]:
    """Train one arm; its figures on the validation faces."""
    torch.manual_seed(seed)
    config = replace(config, tasks=tasks_of(arm), stopping=arm == "stopping")
    tasks = {task: TASKS[task] for task in config.tasks}
    mean = square_mean(train.kept, train.markup)
    module = training.build(config, mean, tasks)
    sampler = TensorSampler(train, config.size, config.scale, config.batch, config.changes, seed)
    learning = training.Learning(config, tasks, sampler, valid, out / f"{arm}-{seed}")
    schedule = Schedule(
        steps=config.steps, rate=config.rate, warmup=config.warmup, ema=config.ema,
        weight_decay=config.weight_decay, validate_every=1e9,
    )  # fmt: skip
    Trainer(module, learning, schedule, None, arm, seed).run()
    if tasks and config.refit:
        training.refit_heads(module, learning, config)
    return {"arm": arm, "seed": seed, "stops": learning.stops, **learning.validate(module.eval())}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", default=["none", "all", *TASKS, "stopping"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    config = override(BASE, dict(pair.split("=", 1) for pair in given.set))
    samples, others = load_data(given.train), load_data(given.valid)
    markup = samples[0].shape.markup
    train, valid = (FaceTensors(part, markup, config.channels) for part in (samples, others))
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        for arm in given.arms:
            result = run(arm, seed, config, train, valid, given.out)
            print(json.dumps(result), flush=True)
            with (given.out / "arms.jsonl").open("a") as file:
                file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
