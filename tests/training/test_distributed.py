"""Two processes learn what one does with batches twice as large; rank 0 writes; a stopped run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

SCRIPT = """
import json, sys
import numpy as np, torch
from pathlib import Path
from torch import nn
from meanshape.training.distributed import join
from meanshape.training.loop import Schedule, Trainer

def learn(out: Path, steps: int, double: bool):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    schedule = Schedule(steps=steps, rate=0.01, warmup=5, ema=0.9, validate_every=1e9)
    trainer = Trainer(module, Task(double), schedule, out, "toy", 0)
    start = trainer.step
    figures = trainer.run()
    return start, figures["error"], torch.cat([p.detach().flatten() for p in module.parameters()]).tolist()

class Task:
    def __init__(self, double):
        self.double = double
    def one(self, step):
        rng = np.random.default_rng(step)
        x = rng.normal(size=(8, 6)).astype(np.float32)
        return {"x": x, "y": x @ np.arange(12, dtype=np.float32).reshape(6, 2) / 6}
    def batch(self, step):
        if not self.double:
            return self.one(step)
        both = self.one(2 * step), self.one(2 * step + 1)
        return {key: np.concatenate([part[key] for part in both]) for key in both[0]}
    def loss(self, module, batch):
        return ((module(batch["x"]) - batch["y"]) ** 2).mean()
    def validate(self, module):
        with torch.no_grad():
            batch = {key: torch.from_numpy(value) for key, value in self.one(10**6).items()}
            return {"error": float(self.loss(module, batch))}

world = join()
for name in sys.argv[1:]:
    out = Path(name)
    found = [learn(out, steps, out.name == "double") for steps in (30, 60)]
    (out / f"rank{world.rank}-of-{world.size}.json").write_text(json.dumps(found))
    world.wait()
"""


def launch(count: int, *folders: Path) -> list[list[tuple[int, float, np.ndarray]]]:
    """Train in each folder with `count` processes, 30 steps and then up to 60.

    Returns
    -------
    For each folder and process: where both parts began, the error and the weights after the second.
    """
    for folder in folders:
        folder.mkdir()
    script = folders[0] / "run.py"
    script.write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--master-port", "0"]
    start = [sys.executable, *([*torchrun, "--standalone"] if count > 1 else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*start, str(script), *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [f"rank{rank}-of-{count}.json" for rank in range(count)]
    return [[found(folder / rank) for rank in ranks] for folder in folders]


def found(file: Path) -> tuple[int, float, np.ndarray]:
    (first, _, _), (start, error, weights) = json.loads(file.read_text())
    assert first == 0
    return start, error, np.array(weights)


@pytest.mark.slow
def test_two_processes_learn_and_go_on_as_one_does_with_doubled_batches(tmp_path: Path) -> None:
    (two,) = launch(2, tmp_path / "two")
    (whole,), (single,) = launch(1, tmp_path / "double", tmp_path / "single")
    assert [start for start, _, _ in (*two, whole, single)] == [30] * 4
    assert two[0][2] == pytest.approx(two[1][2], abs=0)  # all processes end alike
    assert two[0][2] == pytest.approx(whole[2], abs=2e-4)
    assert two[0][1] == pytest.approx(whole[1], rel=0.02)
    assert np.abs(single[2] - whole[2]).max() > 2e-3  # batches that are not doubled learn something else
    records = (tmp_path / "two" / "toy.jsonl").read_text().splitlines()
    assert len(records) == 2  # one for each part: rank 0 alone writes


def test_batches_are_dealt_in_turn() -> None:
    from meanshape.training.distributed import World, join

    dealt = [World(rank, 3).batch(step) for step in range(4) for rank in range(3)]
    assert dealt == list(range(12))
    assert join() == World(0, 1)
