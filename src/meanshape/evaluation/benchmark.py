"""Many models on many data: a grid of cells, each measured once and kept as a file, so that a run resumes.

A cell is one model, one data argument, one box rule and one number of threads. Its file is named after all
that decides its numbers, the SHA-256 of the weights included: what was trained anew is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from meanshape.core import config as configs
from meanshape.core import toml, weights
from meanshape.core.errors import ConfigError, FormatError, MarkUpError, in_words, writing
from meanshape.core.files import fitting, read_below, write_below
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import load_data, origin, parse_data, thinned
from meanshape.detectors.base import FaceDetector
from meanshape.evaluation import records
from meanshape.evaluation.protocol import evaluate
from meanshape.evaluation.result import Evaluation
from meanshape.evaluation.starts import Remembered, find_start, make_detector
from meanshape.formats.text import dump_json
from meanshape.inference.turns import view
from meanshape.methods import load
from meanshape.methods.base import LandmarkModel

ALL = "all"
WORST = 6
"""Faces of a cell that the report draws: those with the largest errors."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is measured.

    Attributes
    ----------
    models : shipped names, run folders, .onnx files; "all": everything that came with the package
    data : NAME:ROOT[:SPLIT]
    boxes : "truth", "detector" or both
    threads : that one prediction may use
    detector : of box "detector"; none: the default one
    limit : faces of each data set, evenly spread; 0: all
    """

    models: tuple[str, ...] = (ALL,)
    data: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ("truth",)
    threads: tuple[int, ...] = (1,)
    detector: str = ""
    limit: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked before any work."""
        if not self.data:
            raise ConfigError(
                "a benchmark needs data: --data ibug300w:ROOT:validation, "
                'or in a file data = ["ibug300w:ROOT:validation"]'
            )
        if wrong := set(self.boxes) - {"truth", "detector"}:
            raise ConfigError(f"boxes are 'truth' and 'detector', not {sorted(wrong)[0]!r}")
        if not self.boxes or min(self.threads, default=0) < 1 or self.limit < 0:
            raise ConfigError("boxes and threads need one value at least, threads from 1, limit from 0")

    @classmethod
    def read(cls, path: str | Path) -> Grid:
        """Read a TOML file; an unknown key is answered with the nearest."""
        try:
            values = toml.read(path)
        except (OSError, ValueError) as error:
            raise FormatError(f"a benchmark's config cannot be read ({error})", path=path) from error
        return configs.from_dict(cls, values)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, those of one model on one data set together."""
        models = [n for given in self.models for n in (weights.names() if given == ALL else (given,))]
        for data, model, box, threads in product(self.data, models, self.boxes, self.threads):
            rule = cast(Literal["truth", "detector"], box)
            yield Cell(model, data, rule, threads, self.detector, self.limit)


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one data set, from one kind of box."""

    model: str
    data: str
    box: Literal["truth", "detector"]
    threads: int
    detector: str
    limit: int

    def path(self, folder: Path) -> Path:
        """Return the file of this cell: readable, and different where anything that counts is."""
        name, _, split = parse_data(self.data)
        words = (Path(self.model).name, name, split, self.box, f"t{self.threads}")
        whole = [self.model, self.data, self.box, self.threads, self.detector, self.limit]
        stem = f"{'-'.join(filter(None, words))}-{_hash([*whole, fingerprint(self.model)])}"
        return folder / "cells" / f"{fitting(stem)}.json"


def fingerprint(model: str) -> str:
    """Return a hash of a model's weights; "" for what has none."""
    path = weights.folder(model) if model in weights.names() else Path(model)
    if path.is_dir():
        return _hash(sorted(weights.read_card(path).files.items()))
    return weights.sha256(path) if path.is_file() else ""


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:10]


def run(
    grid: Grid, folder: Path, commit: str = "", progress: Callable[[int, int, str], None] | None = None
) -> list[dict[str, Any]]:
    """Measure all cells that are not in the folder yet and return all of them, in the grid's order.

    A model that cannot be compared with a data set's points (no conversion) is left out there. The folder
    may be a link; what lies in it may not.
    """
    cells = list(grid.cells())
    root = made(folder)
    finder: FaceDetector | None = None
    found: list[dict[str, Any]] = []
    samples: dict[str, list[Sample]] = {}
    for number, cell in enumerate(cells):
        if progress is not None:
            progress(number, len(cells), f"{cell.model} on {cell.data}, box {cell.box}")
        path = cell.path(folder)
        name = path.relative_to(folder).as_posix()
        with suppress(FileNotFoundError):
            found.append(_cell(path, partial(read_below, root, name)))
            continue
        if cell.box == "detector" and finder is None:
            finder = Remembered(make_detector(grid.detector or None))
        if cell.data not in samples:
            samples = {cell.data: thinned(load_data(cell.data), grid.limit)}  # one data set in memory
        try:
            record = measure(cell, samples[cell.data], finder if cell.box == "detector" else None)
        except MarkUpError as error:
            record = {"left_out": str(error), "cell": _told(cell)}
        record |= {"machine": machine(), "commit": commit}
        with writing(path):
            write_below(root, name, f"{dump_json(record)}\n".encode(), make=True)
        found.append(record)
    return found


def made(folder: Path) -> Path:
    """Make the folder of a report, and return where it lies."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve()


def cells_in(folder: Path) -> list[Path]:
    """Return the files of cells that something else measured into a folder, such as benchmarks/peers.py."""
    found = sorted(folder.glob("*.json"))
    if not found:
        raise ConfigError(f"{folder}: there are no cells of a benchmark (.json) in this folder")
    return found


def read_cell(path: Path) -> dict[str, Any]:
    """Return a cell's record; a link is none: its folder may be somebody else's."""
    try:
        return _cell(path, partial(read_below, path.parent.resolve(), path.name))
    except FileNotFoundError as error:
        raise FormatError("there is no such file", path=path) from error


def _cell(path: Path, read: Callable[[], bytes]) -> dict[str, Any]:
    """Return the record of a cell; that there is none stays a `FileNotFoundError`."""
    try:
        record: dict[str, Any] = json.loads(read())
        records.check(record)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else in_words(error)
        raise FormatError(f"not a cell of a benchmark ({said}); remove it", path=path) from error
    return record


def measure(cell: Cell, samples: Sequence[Sample], finder: FaceDetector | None) -> dict[str, Any]:
    """Return a cell's record: the evaluation, and the worst faces as points."""
    model = load(cell.model, threads=cell.threads)
    name, _, split = parse_data(cell.data)
    result = evaluate(
        model, samples, box=cell.box, detector=finder, threads=cell.threads,
        name=cell.model, data=name, split=split, faces=origin(cell.data).learnt_from[0],
    )  # fmt: skip
    return {"cell": _told(cell), "result": result.to_dict(), "worst": worst(model, samples, result, finder)}


def worst(
    model: LandmarkModel, samples: Sequence[Sample], result: Evaluation, finder: FaceDetector | None
) -> list[dict[str, Any]]:
    """Return the faces with the largest errors: true and predicted points, in pixels, and no photo."""
    by_id = {sample.id: sample for sample in samples}
    errors = result.per_face()
    order = np.argsort(np.where(np.isfinite(errors), -errors, np.inf))[:WORST]
    cases = []
    for number in order.tolist():
        sample = by_id.get(result.ids[number])
        if sample is None or sample.shape is None or not np.isfinite(errors[number]):
            continue
        pixels = sample.pixels()
        start, kind = find_start(sample, pixels, finder), result.markup.name
        found = None
        if start.given is not None:
            seen = view(pixels, start.given, start.roll)
            found = _points(seen.placed(model.predict(seen.pixels, seen.box)).to(kind))
        true = _points(sample.shape.to(kind))
        cases.append(
            {"id": sample.id, "error": round(float(errors[number]), 3), "true": true, "predicted": found}
        )
    return cases


def machine() -> dict[str, Any]:
    """Return what the times depend on."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _told(cell: Cell) -> Mapping[str, Any]:
    """Return what a report says of a cell; of the data the name and the split, not where it lies."""
    name, _, split = parse_data(cell.data)
    data = ":".join(part for part in (name, split) if part)
    return {"model": cell.model, "data": data, "box": cell.box, "threads": cell.threads}


def _points(shape: Shape) -> list[list[float | None]]:
    return [[None, None] if np.isnan(x) else [round(x, 2), round(y, 2)] for x, y in shape.points.tolist()]
