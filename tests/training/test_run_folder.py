"""What lies in a run's folder: only regular files are read, nothing is written through a link."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from meanshape.core import config as configs
from meanshape.core.errors import ConfigError, MeanshapeError, OutputError, WeightsError
from meanshape.core.image import read_image
from meanshape.methods.shared import arrays
from meanshape.training import run_folder

torch = pytest.importorskip("torch")

from meanshape.methods.mtcnn import training as mtcnn_training  # noqa: E402
from meanshape.methods.mtcnn.training.stage import save  # noqa: E402
from meanshape.methods.tcdcn import training as tcdcn_training  # noqa: E402
from meanshape.training.loop import Schedule, Trainer, read_checkpoint, write_checkpoint  # noqa: E402

MASTER = {"MASTER_ADDR": "localhost", "MASTER_PORT": "9"}
RECORD = {"step": 3, "seconds": 60.0, "loss": 0.5, "error": 4.0}
pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")


class Nothing:
    """A task that is done before it begins."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return {"x": np.ones((1, 1), np.float32)}

    def loss(self, module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return module(batch["x"]).sum()

    def validate(self, module: torch.nn.Module) -> dict[str, float]:
        return {"error": 1.0}


def trainer(folder: Path) -> Trainer:
    return Trainer(torch.nn.Linear(1, 1), Nothing(), Schedule(steps=1), folder, "points", 0)


def bank(path: Path) -> None:
    """Read the frames that emotional_dan keeps."""
    from meanshape.core.markup import markup
    from meanshape.methods.emotional_dan.training.data import build

    class Sized:
        size = 32

    build(Sized(), [], [], markup("ibug68"), path)  # type: ignore[arg-type]


READERS = {
    "asked.json": lambda path: run_folder.begin(path.parent, {"seed": 0}),
    "curves.jsonl": lambda path: run_folder.read_curves(path.parent),
    tcdcn_training.TASK_LOG: lambda path: tcdcn_training.read_stops(path.parent),
    "points.checkpoint.pt": lambda path: trainer(path.parent),
    "frames-train.npz": bank,
    "config.toml": lambda path: goes_on(path),
}


def goes_on(path: Path) -> None:
    """Go on with a training of mtcnn."""
    (path.parent / "pnet.checkpoint.pt").touch()
    mtcnn_training._resume(path.parent, configs_of("mtcnn")())


def configs_of(method: str) -> type:
    from meanshape.core import registry

    config: type = registry.method(method).Config
    return config


@pipes
@pytest.mark.parametrize("name", READERS)
def test_pipes_are_not_read(name: str, tmp_path: Path) -> None:
    """Reading one would wait for ever."""
    if name == "asked.json":
        (tmp_path / "points.checkpoint.pt").touch()
    os.mkfifo(tmp_path / name)
    with pytest.raises(MeanshapeError, match="a pipe"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", READERS)
def test_links_are_not_read(name: str, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_text("secret")
    if name == "asked.json":
        (folder / "points.checkpoint.pt").touch()
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(MeanshapeError, match="a link, which is not followed"):
        READERS[name](folder / name)
    assert elsewhere.read_text() == "secret"


WRITERS = {
    "asked.json": lambda path: run_folder.begin(path.parent, {"seed": 0}),
    "curves.png": lambda path: run_folder.draw_curves(path.parent),
    "points.checkpoint.pt": lambda path: write_checkpoint(path, {"step": 1}),
    "pnet.checkpoint.pt": lambda path: save(
        path, torch.nn.Linear(1, 1), *[torch.optim.SGD([torch.zeros(1)])] * 2, 1
    ),
    "config.toml": lambda path: configs.save(configs_of("mtcnn")(), path),
    "confidence.npz": lambda path: arrays.save(path, {"shapes": {"mean": np.zeros(3)}}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_files_take_the_place_of_links(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    for link in (
        name,
        f"{name}.part",
        Path(name).with_suffix(".part").name,
    ):
        (folder / link).symlink_to(tmp_path / "secret")
    if name == "curves.png":
        pytest.importorskip("matplotlib")
        (folder / "points.jsonl").write_text(json.dumps(RECORD))
    WRITERS[name](folder / name)
    assert (tmp_path / "secret").read_text() == "secret"
    assert (folder / name).is_file() and not (folder / name).is_symlink()


@pytest.mark.parametrize("kind", ["link", "dangling", pytest.param("pipe", marks=pipes), "folder"])
def test_records_are_added_to_files_alone(kind: str, tmp_path: Path) -> None:
    folder, secret = tmp_path / "run", tmp_path / "secret"
    folder.mkdir()
    path = folder / "points.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(secret)
        if kind == "link":
            secret.write_text("secret")
    with pytest.raises(OutputError, match=r"points\.jsonl: cannot be written"):
        trainer(folder).run()
    assert not secret.exists() or secret.read_text() == "secret"


def test_what_tasks_are_watched_for_is_added_to_files_alone(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / tcdcn_training.TASK_LOG).symlink_to(tmp_path / "secret")
    learning = object.__new__(tcdcn_training.MultiTaskObjective)
    learning.config = configs_of("tcdcn")(check_every=1)
    learning.tasks, learning.stoppers, learning.folder = {}, [], tmp_path / "run"
    learning.valid = learning.sampler = None
    learning.sampler = object()
    learning.labels = learning.valid_labels = None
    monkeypatch.setattr(learning, "mean_task_losses", lambda *given: [])
    with pytest.raises(OutputError, match="cannot be written"):
        learning._check_stopping(torch.nn.Linear(1, 1), 1)
    assert not (tmp_path / "secret").exists()


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    stops = {"step": 7, "smile": {"train": 1.0, "valid": 2.0, "stops": True}}
    path = tmp_path / tcdcn_training.TASK_LOG
    path.write_text(json.dumps(stops) + '\n[1]\n7\n{"step": 8, "glas')
    assert tcdcn_training.read_stops(tmp_path) == {"smile": 7}
    run_folder.add_record(tmp_path / "points.jsonl", RECORD)
    run_folder.add_record(tmp_path / "points.jsonl", {**RECORD, "seconds": "soon"})
    assert run_folder.read_curves(tmp_path) == {"points": [RECORD]}
    path.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"tasks\.jsonl: cannot be read"):
        run_folder.read_records(path)


@pytest.mark.parametrize("state", [{}, {"net": 1}, {"step": "x"}])
def test_a_checkpoint_of_something_else_is_told(state: dict, tmp_path: Path) -> None:
    from meanshape.methods.mtcnn.training import _done

    path = tmp_path / "pnet.checkpoint.pt"
    write_checkpoint(path, state)
    assert read_checkpoint(path) == state
    with pytest.raises(WeightsError, match="a checkpoint of another network"):
        _done(path, 1)
    path.write_bytes(b"none")
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        _done(path, 1)


def test_the_curves_are_a_picture_with_a_line_for_each_stage(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run_folder.draw_curves(tmp_path) is None and not any(tmp_path.iterdir())
    for number, name in enumerate(("first", "second")):
        for step in range(5):
            figures = {"seconds": 60.0 * step, "loss": 1 / (step + 1 + number), "error": 9.0 - step - number}
            run_folder.add_record(tmp_path / f"{name}.jsonl", {"step": step, **figures})
    run_folder.add_record(tmp_path / tcdcn_training.TASK_LOG, {"step": 1, "smile": {"stops": True}})
    assert run_folder.draw_curves(tmp_path) == tmp_path / run_folder.CURVES
    pixels = read_image(tmp_path / run_folder.CURVES)
    assert pixels.shape == (440, 990, 3)
    half = pixels.shape[1] // 2
    drawn = {"first": (31, 119, 180), "second": (255, 127, 14)}  # the first two colours of matplotlib
    for side in (pixels[:, :half], pixels[:, half:]):
        for name, colour in drawn.items():
            assert (side == colour).all(2).sum() > 50, name
        assert not (side == (44, 160, 44)).all(2).any()  # the third: what tasks were watched for is no curve
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ("first.jsonl", "second.jsonl", run_folder.CURVES, tcdcn_training.TASK_LOG)
    )


def test_curves_are_drawn_whatever_lies_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [RECORD, *({**RECORD, "loss": value} for value in (10**400, float("nan"), float("inf"), -1, 0))]
    (tmp_path / r"$\frac$.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert len(run_folder.read_curves(tmp_path)[r"$\frac$"]) == 3
    assert run_folder.draw_curves(tmp_path) == tmp_path / "curves.png"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, (0, 1)),
        ({"RANK": "1"}, (0, 1)),  # of something else than torchrun: this process must write what it learns
        ({"WORLD_SIZE": "1", "RANK": "3"}, (0, 1)),
        ({"WORLD_SIZE": "2", "RANK": "1", **MASTER}, (1, 2)),
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc'"),
        ({"WORLD_SIZE": "-1", "RANK": "0", **MASTER}, "WORLD_SIZE is '-1'"),
        ({"WORLD_SIZE": "0", "RANK": "0", **MASTER}, "WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", **MASTER}, "RANK is '2'"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR is not set"),
    ],
)  # fmt: skip
def test_what_torchrun_says(
    said: dict[str, str], found: tuple[int, int] | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in said.items():
        monkeypatch.setenv(name, text)
    if isinstance(found, str):
        with pytest.raises(ConfigError, match=f"{found}.*: start with torchrun"):
            run_folder.place()
    else:
        assert run_folder.place() == found
