"""The loop learns, resumes exactly, stops on Ctrl-C with the best, and writes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanshape.training.loop import Schedule, Trainer, fraction_done, rate_at  # noqa: E402


class Line:
    """A task: learn y = 2x - 1 from batches that depend on the step alone."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.asked: list[int] = []

    def batch(self, step: int) -> dict[str, np.ndarray]:
        self.asked.append(step)
        x = np.random.default_rng((7, step)).normal(size=(16, 1)).astype(np.float32)
        return {"x": x, "y": 2 * x - 1}

    def loss(self, module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.stop_at is not None and len(self.asked) > self.stop_at:
            raise KeyboardInterrupt
        return ((module(batch["x"]) - batch["y"]) ** 2).mean()

    def validate(self, module: torch.nn.Module) -> dict[str, float]:
        return {"error": float((module.weight - 2).abs() + (module.bias + 1).abs())}


def trainer(folder: Path | None, task: Line, **schedule: float) -> Trainer:
    torch.manual_seed(0)
    plan = {"steps": 120, "rate": 0.1, "warmup": 5, "weight_decay": 0.0, "ema": 0.8, "checkpoint_every": 0.0}
    return Trainer(torch.nn.Linear(1, 1), task, Schedule(**(plan | schedule)), folder, "line", 0)


def test_it_learns() -> None:
    best = trainer(None, Line()).run()
    assert best["error"] < 0.05


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = trainer(None, Line())
    whole.run()

    class KillError(Exception):
        pass

    task = Line()
    killed = trainer(tmp_path, task)
    update = killed._update

    def until_60(batch: object, rate: float) -> float:
        if killed.step == 60:
            raise KillError
        return update(batch, rate)

    killed._update = until_60
    with pytest.raises(KillError):
        killed.run()
    resumed = trainer(tmp_path, Line())
    assert resumed.step == 60
    resumed.run()
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name


def test_a_slow_machine_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept as best depends on steps alone, however long they take."""
    quick, slow = trainer(None, Line(), validate_steps=10), trainer(None, Line(), validate_steps=10)
    quick.run()
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr("meanshape.training.loop.time.monotonic", lambda: next(clock))
    slow.run()
    assert slow.seconds > 1000 > quick.seconds and slow.best == quick.best
    for name, value in quick.module.state_dict().items():
        assert torch.equal(value, slow.module.state_dict()[name]), name


def test_ctrl_c_keeps_the_best(tmp_path: Path) -> None:
    stopped = trainer(tmp_path, Line(stop_at=80))
    best = stopped.run()
    assert stopped.stopped
    assert stopped.step < 120
    assert best["error"] < 1.0
    module = dict(stopped.module.state_dict())
    assert all(torch.equal(module[name], value) for name, value in stopped.best_state.items())


def test_no_checkpoint_is_ever_half_written(tmp_path: Path) -> None:
    trainer(tmp_path, Line()).run()
    assert not list(tmp_path.glob("*.part"))
    state = torch.load(tmp_path / "line.checkpoint.pt", weights_only=True)
    assert state["step"] == 120


def test_records_are_json_lines(tmp_path: Path) -> None:
    trainer(tmp_path, Line(), validate_steps=1).run()
    records = [json.loads(line) for line in (tmp_path / "line.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 120
    assert records[-1]["error"] < records[0]["error"]


def test_patience_ends_a_stage() -> None:
    task = Line()
    task.validate = lambda module: {"error": 1.0 + len(task.asked)}  # type: ignore[method-assign]
    patient = trainer(None, task, validate_steps=1, patience=3)
    patient.run()
    assert patient.step < 10


def test_the_cosine_by_steps_and_by_time() -> None:
    steps, minutes = Schedule(steps=100, warmup=0), Schedule(minutes=2.0, warmup=0)
    assert fraction_done(steps, 50, 0.0) == 0.5
    assert fraction_done(minutes, 0, 60.0) == 0.5
    assert rate_at(steps, 10, 0.0) == pytest.approx(steps.rate)
    assert rate_at(steps, 10, 1.0) == pytest.approx(steps.rate * steps.floor)
    warm = Schedule(steps=100, warmup=10)
    assert rate_at(warm, 4, 0.0) == pytest.approx(warm.rate / 2)
