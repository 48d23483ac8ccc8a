"""Checkpoints that somebody else put into a run's folder: refused in one sentence, or trained on from."""

from __future__ import annotations

import copy
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import bounded

from meanshape.core.errors import WeightsError
from meanshape.core.markup import markup

torch = pytest.importorskip("torch")

from meanshape.methods.mtcnn.training import stage  # noqa: E402
from meanshape.training.loop import Schedule, Trainer, read_checkpoint  # noqa: E402

NAME = "points.checkpoint.pt"
NAN = math.nan


class Nothing:
    """A task that teaches nothing."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return {"x": np.ones((1, 1), np.float32)}

    def loss(self, module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return module(batch["x"]).sum()

    def validate(self, module: torch.nn.Module) -> dict[str, float]:
        return {"error": 1.0}


def run(folder: Path, steps: int = 3) -> Trainer:
    made = Trainer(torch.nn.Linear(1, 1), Nothing(), Schedule(steps=steps), folder, "points", 0)
    made.run()
    return made


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    run(folder)
    return read_checkpoint(folder / NAME)


def spread() -> torch.Tensor:
    """Return a terabyte that a file holds as one number."""
    return torch.zeros(1).expand(2**20, 2**20)


def laughs() -> list[Any]:
    """Return a list that is small, and endless when it is written."""
    found: list[Any] = []
    for _ in range(40):
        found = [found] * 10
    return found


def other(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state[name].update({key: value})


def group(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state["optimiser"]["param_groups"][0].update(values)


def moment(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state["optimiser"]["state"][0].update(values)


REFUSED: dict[str, Callable[[dict[str, Any]], Any]] = {
    f"{key} {number}": lambda state, key=key, value=value: state.update({key: value})
    for key, values in {
        "step": (NAN, "1", None, -1, 10**30, [1], laughs(), True),
        "seconds": ("x", NAN, -1.0, math.inf),
        "stale": ("x", -1),
        "best": ([1], {"a": 1.0}, {"error": "x"}, {"error": NAN}, laughs()),
        "best_state": (None, [1], {"weight": 1}, {}, {"weight": torch.zeros(9, 9), "bias": torch.zeros(1)}),
        "module": (None, [1], {"weight": 1, "bias": 2}, {1: 2}),
        "optimiser": (None, {}, {"state": [1], "param_groups": []}, {"state": {}, "param_groups": [1]}),
        "rng": (torch.zeros(5), [1]),
    }.items()
    for number, value in enumerate(values)
}
REFUSED |= {
    "a weight that is no number": other("module", "weight", torch.full((1, 1), NAN)),
    "an average that is no number": other("average", "bias", torch.full((1,), math.inf)),
    "a best one that is no number": other("best_state", "bias", torch.full((1,), NAN)),
    "whole numbers": other("module", "weight", torch.ones((1, 1), dtype=torch.int64)),
    "complex numbers": other("module", "weight", torch.ones((1, 1), dtype=torch.complex64)),
    "another shape": other("module", "weight", torch.ones(2, 1)),
    "a tensor more": other("module", "other", torch.ones(2, 1)),
    "a terabyte": other("module", "weight", spread()),
    "nothing held": other("module", "weight", torch.ones((1, 1), device="meta")),
    "sparse": other("module", "weight", torch.ones(1, 1).to_sparse()),
    "a moment of a terabyte": moment(exp_avg=spread()),
    "a moment of another shape": moment(exp_avg=torch.zeros(7, 7)),
    "no moment": moment(exp_avg=None),
    "a moment's step": moment(step=torch.tensor(NAN)),
    "a moment more": moment(other=torch.zeros(1)),
    "other parameters": group(params=[5]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_state_of_this_run(what: str, state: dict[str, Any], tmp_path: Path) -> None:
    planted = copy.deepcopy(state)
    REFUSED[what](planted)
    torch.save(planted, tmp_path / NAME)
    with bounded(), pytest.raises(WeightsError, match=r"points\.checkpoint\.pt"):
        run(tmp_path, 5)


@pytest.mark.parametrize(
    "settings",
    [
        {"betas": (5,)}, {"betas": "ab"}, {"weight_decay": "x"}, {"eps": None}, {"capturable": True},
        {"amsgrad": True},
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_those_of_the_run(
    settings: dict[str, Any], state: dict[str, Any], tmp_path: Path
) -> None:
    planted = copy.deepcopy(state)
    group(**settings)(planted)
    found = []
    for name, held in (("plain", state), ("planted", planted)):
        (tmp_path / name).mkdir()
        torch.save(held, tmp_path / name / NAME)
        found.append(run(tmp_path / name, 5).module.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.parametrize("what", ["plain", "legacy", "bomb"])
def test_files_that_unpack_to_more_than_they_are(what: str, state: dict[str, Any], tmp_path: Path) -> None:
    path, file = tmp_path / NAME, io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=what != "legacy")
    path.write_bytes(file.getvalue())
    if what == "bomb":
        with zipfile.ZipFile(file) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for part in whole.infolist():
                packed.writestr(part.filename, whole.read(part) + bytes(2**20))
    if what == "plain":
        assert read_checkpoint(path)["step"] == 3
        return
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        read_checkpoint(path)


class Program:
    """An object that is made by running something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_programs_are_refused_without_advice_to_run_them(tmp_path: Path, capsys) -> None:
    """Torch says how to read them all the same, in several lines."""
    torch.save({"step": Program()}, tmp_path / NAME)
    with pytest.raises(WeightsError, match=r"more than tensors and numbers.*remove it") as told:
        read_checkpoint(tmp_path / NAME)
    assert "\n" not in str(told.value) and "weights_only" not in str(told.value)
    assert not capsys.readouterr().out


def saved(folder: Path) -> tuple[Any, ...]:
    net = torch.nn.Linear(1, 1)
    optimiser = torch.optim.AdamW(net.parameters())
    return net, optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + step))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", NAN), ("step", math.inf), ("net", {}), ("optimiser", {}), ("schedule", {}),
        ("schedule", {"step": 1}), ("schedule", {"last_epoch": "x"}), ("schedule", {"base_lrs": [NAN]}),
        ("schedule", {"base_lrs": []}), ("schedule", {"last_epoch": -3}),
    ],
)  # fmt: skip
def test_what_is_no_state_of_a_stage(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "pnet.checkpoint.pt"
    net, optimiser, schedule = saved(tmp_path)
    stage.save(path, net, optimiser, schedule, 1)
    held = read_checkpoint(path)
    if key == "schedule" and value:
        held[key] = held[key] | value
    else:
        held[key] = value
    torch.save(held, path)
    with bounded(), pytest.raises(WeightsError, match=r"pnet\.checkpoint\.pt"):
        stage.restore(path, *saved(tmp_path))


def test_a_stage_goes_on_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "pnet.checkpoint.pt"
    net, optimiser, schedule = saved(tmp_path)
    for _ in range(3):
        optimiser.step()
        schedule.step()
    stage.save(path, net, optimiser, schedule, 3)
    later = saved(tmp_path)
    assert stage.restore(path, *later) == 3
    assert later[1].param_groups[0]["lr"] == optimiser.param_groups[0]["lr"] == 1e-3 / 4
    assert torch.equal(later[0].weight, net.weight)


FRAMES: dict[str, dict[str, Any]] = {
    "floats": {"frames": np.zeros((2, 8, 8))},
    "no squares": {"frames": np.zeros((2, 8, 9), np.uint8)},
    "no count": {"frames": np.uint8(3)},
    "no frames": {
        "frames": np.zeros((0, 8, 8), np.uint8), "placed": np.zeros((0, 68, 2)), "labels": np.zeros(0, int)
    },
    "one point": {"placed": np.zeros((2, 1, 2), np.float32)},
    "no numbers": {"placed": np.full((2, 68, 2), np.nan, np.float32)},
    "another label": {"labels": np.array([0, 2])},
    "a label below": {"labels": np.array([0, -1])},
    "one label": {"labels": np.array([0])},
    "objects": {"labels": np.array([{}, {}], object)},
}  # fmt: skip


@pytest.mark.parametrize("what", ["plain", "packed", *FRAMES])
def test_frames_that_are_none(what: str, tmp_path: Path) -> None:
    from meanshape.methods.emotional_dan.training.data import build

    class Sized:
        size = 8

    plain: dict[str, Any] = {
        "frames": np.zeros((2, 8, 8), np.uint8),
        "placed": np.zeros((2, 68, 2), np.float32),
        "labels": np.array([0, 1]),
    }
    path = tmp_path / "frames-train.npz"
    save: Any = np.savez_compressed if what == "packed" else np.savez
    save(path, **plain | FRAMES.get(what, {}))
    read = lambda: build(Sized(), [], ["a", "b"], markup("ibug68"), path)  # type: ignore[arg-type]  # noqa: E731
    if what == "plain":
        assert len(read()) == 2
        return
    with bounded(), pytest.raises(WeightsError, match=r"frames-train\.npz: no frames that can be read"):
        read()
