"""The folder of a training run: what was asked for, with which versions, and the curves as a picture."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import ConfigError, writing

PACKAGES = ("meanshape", "numpy", "torch", "onnx", "onnxruntime", "opencv-python-headless")


def prepare(folder: Path, resume: bool) -> None:
    """Make the folder; checkpoints of an earlier run in it want ``resume``, or another folder."""
    if not resume and any(folder.glob("*.checkpoint.pt")):
        raise ConfigError(f"{folder} holds an unfinished run: add --resume to go on, or choose another --out")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


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


def read_curves(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of each stage's JSON-lines file, by stage; a line torn by a kill is left out."""
    curves = {}
    for path in sorted(folder.glob("*.jsonl")):
        records = []
        for line in path.read_text("utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        if records and "error" in records[0]:
            curves[path.stem] = records
    return curves


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
            axis.plot(minutes, [record[key] for record in records], label=name)
    _label(axes, ("training loss", "validation error, % of the inter-pupil distance"))
    path = folder / "curves.png"
    figure.savefig(path, dpi=110)
    return path


def _label(axes: Iterable[Any], titles: Iterable[str]) -> None:
    for axis, title in zip(axes, titles, strict=True):
        above = any((np.asarray(line.get_ydata(), float) > 0).any() for line in axis.lines)
        axis.set(title=title, xlabel="minutes", yscale="log" if above else "linear")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
