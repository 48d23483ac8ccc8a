"""The folder of a training run: what was asked for, with which versions, and the curves as a picture."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import ConfigError, writing
from meanshape.core.files import open_to_append, read_below, replacing
from meanshape.core.sample import Sample
from meanshape.formats.text import whole

RECORD, CURVES = "asked.json", "curves.png"
DRAWN = ("seconds", "loss", "error")
LARGEST = 1e15
"""What a figure stays below; of larger ones, as of NaN, no curve can be drawn."""
PACKAGES = ("meanshape", "numpy", "torch", "onnx", "onnxruntime", "opencv-python-headless")


def place() -> tuple[int, int]:
    """Return which of how many processes this is, as `torchrun` says in the environment; alone, (0, 1)."""
    texts = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")}
    if not texts["WORLD_SIZE"]:
        return 0, 1
    size, rank = whole(texts["WORLD_SIZE"]), whole(texts["RANK"])
    if size == 1:
        return 0, 1
    if not 0 <= rank < size or not all(texts.values()):
        told = ", ".join(
            f"{name} is {text!r}" if text else f"{name} is not set" for name, text in texts.items()
        )
        raise ConfigError(f"{told}: start with torchrun, which sets all of them, or unset WORLD_SIZE")
    return rank, size


def prepare(folder: Path, resume: bool) -> None:
    """Make the folder; checkpoints of an earlier run in it want ``resume``, or another folder."""
    if not resume and checkpoints(folder):
        raise ConfigError(f"{folder} holds an unfinished run: add --resume to go on, or choose another --out")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run that may go on."""
    return sorted(folder.glob("*.checkpoint.pt"))


def begin(folder: Path, asked: Mapping[str, Any]) -> None:
    """Write down what a run is asked for; refuse to go on with one that was asked for something else.

    Parameters
    ----------
    folder : of the run
    asked : seed, settings, faces …: plain values, tables in tables

    Raises
    ------
    ConfigError : the folder holds checkpoints, or frames cut from faces, of a run that differs, and in what
    """
    path, now = folder / RECORD, json.loads(json.dumps(asked))
    kept = [*checkpoints(folder), *folder.glob("frames-*.npz")]  # what a run would go on with
    if kept and path.exists():
        before = _read_record(path)
        keys = sorted(before.keys() | _flat(now).keys())
        others = [(key, before.get(key), _flat(now).get(key)) for key in keys]
        told = [f"{key} was {was}, now {is_}" for key, was, is_ in others if was != is_]
        if told:
            raise ConfigError(
                f"{folder} holds an unfinished run that was asked for something else: {'; '.join(told)}; "
                "ask for the same, or choose another --out"
            )
    if place()[0] == 0:
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(f"{json.dumps(now, indent=1)}\n".encode())


def faces(samples: Sequence[Sample] | None) -> str:
    """Return how many faces there are, and a digest of their names, points, boxes and labels."""
    digest = hashlib.sha256()
    for sample in samples or ():
        points = None if sample.shape is None else (sample.shape.markup.name, sample.shape.points.tolist())
        box = None if sample.box is None else sample.box.as_list()
        digest.update(repr((sample.id, points, box, sorted(sample.attributes.items(), key=str))).encode())
    return f"{len(samples or ())} ({digest.hexdigest()[:12]})"


def photos(folder: str | Path) -> str:
    """Return how many files there are in a folder of photos, and a digest of their names and sizes."""
    root = Path(folder)
    files = sorted((path.relative_to(root).as_posix(), path.stat().st_size) for path in root.rglob("*.*"))
    return f"{len(files)} ({hashlib.sha256(repr(files).encode()).hexdigest()[:12]})"


def _read_record(path: Path) -> dict[str, Any]:
    """Return what a run was asked for, tables in tables as `table.key`."""
    try:
        return _flat(json.loads(own_text(path)))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); choose another folder") from error


def own_text(path: Path) -> str:
    """Return the text of a file of a run's folder, which is none where it is a link (`OSError`)."""
    return read_below(path.parent.resolve(), path.name).decode("utf-8")


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def versions() -> dict[str, str]:
    """Python's version, the machine and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the checkout that the code runs from, or nothing outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def add_record(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line to a JSON-lines file of a run."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(path) as file:
            file.write(json.dumps(record) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON-lines file of a run; a line that a kill tore is left out."""
    try:
        lines = own_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); remove it, or choose another folder") from error
    records = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def read_curves(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each stage that have a time, a loss and an error, by stage."""
    curves = {}
    for path in sorted(folder.glob("*.jsonl")):
        records = [record for record in read_records(path) if all(map(_is_number, map(record.get, DRAWN)))]
        if records:
            curves[path.stem] = records
    return curves


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def draw_curves(folder: Path) -> Path | None:
    """Draw loss and error over minutes into ``curves.png``; nothing without matplotlib or records."""
    curves = read_curves(folder)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not curves:
        return None
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for name, records in curves.items():
        minutes = np.array([record["seconds"] for record in records]) / 60
        for axis, key in zip(axes, ("loss", "error"), strict=True):
            axis.plot(
                minutes, [record[key] for record in records], label=name.replace("$", r"\$")
            )  # no formula
    _label(axes, ("training loss", "validation error, % of the inter-pupil distance"))
    path = folder / CURVES
    with writing(path), replacing(path) as file:
        figure.savefig(file, dpi=110, format="png")
    return path


def _label(axes: Iterable[Any], titles: Iterable[str]) -> None:
    for axis, title in zip(axes, titles, strict=True):
        above = any((np.asarray(line.get_ydata(), float) > 0).any() for line in axis.lines)
        axis.set(title=title, xlabel="minutes", yscale="log" if above else "linear")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
