"""What the tasks bring to TCDCN's points, and what stopping them task by task does.

    python studies/tcdcn.py --train mtfl:ROOT:train --valid mtfl:ROOT:validation --out runs/tasks
           [--arms none all gender smile glasses pose stopping] [--seeds 0 1 2] [--set KEY=VALUE ...]

Every arm trains the paper's network widths with one look, for as many steps, on the same batches from the
same first weights; only the tasks differ. The error is that of the averaged weights after the last step, in
percent of the inter-pupil distance, in the frames of the faces' outlines (as a detector frames them). Each
run leaves its figures and the error of each face in OUT/ARM-SEED, and is not run again where they are; so
seeds may be run one by one. OUT/study.json has, of these runs, means over seeds and paired differences to the
arm without tasks and, for the one that stops them, to the one that does not. Of each difference two 95 %
intervals: over faces (bootstrap, errors averaged over the seeds) and over seeds (Student's t).
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
from scipy.stats import t as student

from meanshape.core.config import override
from meanshape.datasets import load_data
from meanshape.methods.tcdcn import Config, training
from meanshape.methods.tcdcn.config import TASKS
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
    if not config.stopping:
        config = replace(config, check_every=config.steps + 1)  # nobody asks
    tasks = {task: TASKS[task] for task in config.tasks}
    mean = square_mean(sampler.faces.kept, sampler.faces.markup)
    module = training.build(config, mean, tasks)
    torch.manual_seed(seed)  # tasks draw numbers before the points' head does
    torch.nn.init.normal_(module.points.weight, std=0.01)
    learning = training.MultiTaskObjective(config, tasks, sampler, valid, out)
    schedule = Schedule(
        steps=config.steps, rate=config.rate, warmup=config.warmup, ema=config.ema,
        weight_decay=training.WEIGHT_DECAY, validate_steps=config.steps,
    )  # fmt: skip
    Trainer(module, learning, schedule, None, arm, seed).run()
    if tasks and config.refit:
        training.refit_heads(module, learning, config)
    figures = learning.validate(module.eval())
    return {"arm": arm, "seed": seed, "stops": learning.stops, **figures}, learning.predictions(module)[0]


def stored(out: Path, arm: str, seed: int) -> tuple[dict[str, Any], NDArray[np.float64]] | None:
    """What an earlier run left."""
    folder = out / f"{arm}-{seed}"
    if not (folder / "figures.json").exists():
        return None
    return json.loads((folder / "figures.json").read_text("utf-8")), np.load(folder / "errors.npy")


def difference(arm: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, Any]:
    """The mean of errors (seeds, faces) minus those of another arm, with intervals over faces and seeds."""
    rng, off = np.random.default_rng(0), arm - other
    faces, seeds = off.mean(0), off.mean(1)
    means = faces[rng.integers(0, len(faces), (2000, len(faces)))].mean(1)
    found = {"mean": float(faces.mean()), "over faces": np.percentile(means, [2.5, 97.5]).tolist()}
    found["of each seed"] = seeds.tolist()
    if len(seeds) > 1:
        reach = student.ppf(0.975, len(seeds) - 1) * seeds.std(ddof=1) / np.sqrt(len(seeds))
        found["over seeds"] = [float(seeds.mean() - reach), float(seeds.mean() + reach)]
    return found


def summary(out: Path, arms: list[str], seeds: list[int]) -> dict[str, Any]:
    """Means over the seeds of each arm that is there for all of them, and its differences to others."""
    table: dict[str, dict[str, Any]] = {}
    errors: dict[str, NDArray[np.float64]] = {}
    for arm in arms:
        runs = [found for seed in seeds if (found := stored(out, arm, seed))]
        if len(runs) < len(seeds):
            continue
        figures, errors[arm] = [run[0] for run in runs], np.stack([run[1] for run in runs])
        kinds = [kind for kind in ("error", *TASKS) if kind in figures[0]]
        table[arm] = {kind: float(np.mean([each[kind] for each in figures])) for kind in kinds}
        table[arm]["of each seed"] = [each["error"] for each in figures]
        table[arm]["stops"] = [each["stops"] for each in figures]
        for other in ("none", "all"):
            if other in errors and arm not in ("none", other) and (other == "none" or arm == "stopping"):
                table[arm][f"minus {other}"] = difference(errors[arm], errors[other])
    return {"seeds": seeds, "arms": table}


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
    train, valid = (FaceTensors(part, markup, training.CHANNELS) for part in (samples, others))
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        sampler = Remembering(train, config.size, training.SCALE, config.batch, training.AUGMENTATION, seed)
        for arm in given.arms:
            if stored(given.out, arm, seed):
                continue
            folder = given.out / f"{arm}-{seed}"
            result, each = run(arm, seed, config, sampler, valid, folder)
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "errors.npy", each)
            (folder / "figures.json").write_text(json.dumps(result), "utf-8")
            print(json.dumps(result), flush=True)
    text = json.dumps({"faces": len(valid), **summary(given.out, given.arms, given.seeds)}, indent=1)
    (given.out / "study.json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
