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

out, steps, double = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "double"

class Task:
    def one(self, step):
        rng = np.random.default_rng(step)
        x = rng.normal(size=(8, 6)).astype(np.float32)
        return {"x": x, "y": x @ np.arange(12, dtype=np.float32).reshape(6, 2) / 6}
    def batch(self, step):
        if not double:
            return self.one(step)
        both = self.one(2 * step), self.one(2 * step + 1)
        return {key: np.concatenate([part[key] for part in both]) for key in both[0]}
    def loss(self, module, batch):
        return ((module(batch["x"]) - batch["y"]) ** 2).mean()
    def validate(self, module):
        with torch.no_grad():
            batch = {key: torch.from_numpy(value) for key, value in self.one(10**6).items()}
            return {"error": float(self.loss(module, batch))}

torch.manual_seed(0)
module = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
schedule = Schedule(steps=steps, rate=0.01, warmup=5, ema=0.9, validate_every=1e9)
trainer = Trainer(module, Task(), schedule, out, "toy", 0)
start = trainer.step
figures = trainer.run()
world = join()
weights = torch.cat([p.detach().flatten() for p in module.parameters()]).tolist()
(out / f"rank{world.rank}-of-{world.size}.json").write_text(json.dumps([start, figures["error"], weights]))
world.wait()
"""


def launch(folder: Path, count: int, steps: int, double: bool = False) -> list[tuple[int, float, np.ndarray]]:
    """Run the script in `count` processes and return what each came to."""
    folder.mkdir(exist_ok=True)
    script = folder / "run.py"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if count > 1:
        torchrun = [
            "torch.distributed.run",
            "--nproc-per-node",
            str(count),
            "--master-port",
            "0",
            "--standalone",
        ]
        start += ["-m", *torchrun]
    arguments = [str(script), str(folder), str(steps), "double" if double else "single"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *arguments], capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    found = []
    for rank in range(count):
        first, error, weights = json.loads((folder / f"rank{rank}-of-{count}.json").read_text())
        found.append((first, error, np.array(weights)))
    return found


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_doubled_batches(tmp_path: Path) -> None:
    one, two = launch(tmp_path / "two", 2, 60)
    (whole,) = launch(tmp_path / "one", 1, 60, double=True)
    assert one[2] == pytest.approx(two[2], abs=0)  # all processes end alike
    assert one[2] == pytest.approx(whole[2], abs=2e-4)
    assert one[1] == pytest.approx(whole[1], rel=0.02)
    (single,) = launch(tmp_path / "single", 1, 60)
    assert np.abs(single[2] - whole[2]).max() > 2e-3  # batches that are not doubled learn something else
    records = (tmp_path / "two" / "toy.jsonl").read_text().splitlines()
    assert len(records) == 1  # rank 0 alone writes


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped(tmp_path: Path) -> None:
    launch(tmp_path / "two", 2, 30)
    later = launch(tmp_path / "two", 2, 60)
    assert [first for first, _, _ in later] == [30, 30]
    assert later[0][2] == pytest.approx(later[1][2], abs=0)


def test_batches_are_dealt_in_turn() -> None:
    from meanshape.training.distributed import World, join

    dealt = [World(rank, 3).batch(step) for step in range(4) for rank in range(3)]
    assert dealt == list(range(12))
    assert join() == World(0, 1)
