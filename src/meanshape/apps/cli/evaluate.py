"""Measure models on labelled faces."""

from __future__ import annotations

from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.progress import Progress

    from meanshape.core.sample import Sample
    from meanshape.detectors.base import FaceDetector
    from meanshape.evaluation import Evaluation
    from meanshape.methods.base import LandmarkModel

app = typer.Typer()


class BoxRule(StrEnum):
    """Where models start."""

    truth = "truth"
    detector = "detector"


@app.command()
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Shipped names, run folders or .onnx files; for data with boxes alone: detectors."
        ),
    ],
    data: Annotated[list[str], typer.Option(help="NAME:ROOT[:SPLIT]; may be given again.")],
    box: Annotated[BoxRule, typer.Option(help="Start from true boxes or from a detector's.")] = BoxRule.truth,
    detector: Annotated[
        str | None, typer.Option(help="The detector of --box detector; else the default one.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all results to this file.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take what there is of an incomplete split.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads that one prediction may use.")] = 1,
    device: options.Device = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure so many faces of each data set, evenly spread.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="The mark-up of one's own labels (data set folder).")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Also by groups: age, ethnicity, yaw, blur, size …; may be given again."),
    ] = None,
) -> None:
    """Measure models on labelled faces: errors, failures, speed, in one table and one JSON file."""
    from meanshape.apps.cli import _groups
    from meanshape.core.errors import ConfigError
    from meanshape.evaluation.detection import measures_detectors
    from meanshape.evaluation.schema import write_results
    from meanshape.inference.outputs import writable
    from meanshape.methods import load

    if detector is not None and box is not BoxRule.detector:
        raise ConfigError("--detector finds the boxes of --box detector: add that, or leave it out")
    asked: dict[str, Any] = {"box": box.value, "threads": threads, "by": by or ()}
    asked["detector"] = make_finder(detector, device) if box is BoxRule.detector else None
    # a wrong name is said before the work
    samples = {text: read(text, allow_missing, markup, limit) for text in data}
    if any(measures_detectors(faces) for faces in samples.values()):
        if box is BoxRule.detector:
            raise ConfigError("data with boxes alone measures the detectors named first: leave out --box")
        _groups.measure_detectors(models, samples, by or [], json, device)
        return
    ready = {model: load(model, threads=threads, device=device) for model in models}
    if json is not None:
        writable(json.parent)
    results = measure(ready, samples, asked)
    if json is not None:
        write_results(json, results)
    for part in by_data(results):
        show(part)
        _groups.show(part)


def measure(
    models: Mapping[str, LandmarkModel], data: Mapping[str, Sequence[Sample]], asked: Mapping[str, Any]
) -> list[Evaluation]:
    """Measure each model on each data argument's samples."""
    from meanshape.datasets import origin, parse_data
    from meanshape.evaluation import evaluate as measured

    results = []
    with bar() as progress:
        for text, samples in data.items():
            name, _, split = parse_data(text)
            faces = origin(text).learnt_from[0]
            for model, ready in models.items():
                task = progress.add_task(f"{model} on {name}", total=1.0)
                found = measured(
                    ready,
                    samples,
                    name=model,
                    progress=lambda share, _, task=task: progress.update(task, completed=share),  # type: ignore[misc]
                    data=name,
                    split=split,
                    faces=faces,
                    **asked,
                )
                results.append(found)
    return results


def read(text: str, allow_missing: bool, markup: str | None, limit: int | None) -> list[Sample]:
    """Return the samples of a data argument, or `limit` of them, evenly spread."""
    from meanshape.datasets import load_data, thinned

    return thinned(load_data(text, allow_missing, markup), limit)


def make_finder(name: str | None, device: str | None = None) -> FaceDetector:
    """Return a detector that looks at each picture once, however many models there are."""
    from meanshape.evaluation.starts import Remembered, make_detector

    return Remembered(make_detector(name, device))


def bar() -> Progress:
    """Return a progress bar on stderr, which goes when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)


def by_data(results: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Return results in groups of the same data, norm and mark-up, in order."""
    groups: dict[tuple[object, ...], list[Evaluation]] = {}
    for found in results:
        key = (found.about.data, found.about.split, found.norm, found.markup.name, found.about.box)
        groups.setdefault(key, []).append(found)
    return list(groups.values())


def show(results: Sequence[Evaluation]) -> None:
    """Print one table for results on the same data, and what it has no room for."""
    from meanshape.evaluation.seen import MARK

    first = results[0]
    where = ":".join(part for part in (first.about.data, first.about.split) if part) or "the data"
    console.show(
        f"{where}: {len(first)} faces, {first.markup.name}, box {first.about.box}; in % of {first.norm}"
    )
    columns = {"model": [f"{r.about.model or '?'}{f' {MARK}' if r.about.seen else ''}" for r in results]}
    columns |= {"NME": _column(found.nme() for found in results), "95 %": [_interval(r) for r in results]}
    columns["AUC 8"] = _column(found.auc(8) for found in results)
    columns |= {f"FR {limit}": _column(r.failure_rate(limit) for r in results) for limit in (8, 10)}
    if first.about.box == "detector":
        columns["missed"] = [str(int(found.missed.sum())) for found in results]
    columns["ms"] = _column(found.milliseconds() for found in results)
    columns["MB"] = ["–" if (size := r.about.bytes) is None else f"{size / 1e6:.2f}" for r in results]
    rows = list(zip(*columns.values(), strict=True))
    console.grid(rows, list(columns), right=range(1, len(columns)))
    for line in remarks(results):
        console.show(line)


def remarks(results: Sequence[Evaluation]) -> list[str]:
    """Return what the table has no room for: parts, other normalisers, accuracies, broken pictures."""
    from meanshape.core.metrics import NORMALISERS
    from meanshape.evaluation.seen import CHOSEN, NOTE

    lines = [NOTE] if any(found.about.seen for found in results) else []
    for found in results:
        if found.about.chosen and not found.about.seen:
            lines.append(f"{found.about.model or '?'}: {CHOSEN}")
        name, plain = found.about.model or "?", found.to_dict()
        parts = {"median": found.median()}
        parts |= {key: value for key, value in found.groups().items() if key in ("inner", "contour")}
        parts |= {f"by {norm}": found.nme(norm) for norm in NORMALISERS if norm != found.norm}
        said = [f"{key} {value:.2f}" for key, value in parts.items() if not isnan(value)]
        if not isnan(found.nme()):
            lines.append(f"{name}: {', '.join(said)}")
        for key, value in plain["accuracy"].items():
            balanced = plain["balanced_accuracy"][key]
            lines.append(f"{name}: {key} {value:.1f} % right, {balanced:.1f} % balanced over its labels")
        for key, counts in plain["unknown_labels"].items():
            told = ", ".join(f"{count} {label}" for label, count in counts.items())
            lines.append(f"{name}: {key} is none of its labels for {told}: not counted")
    broken = results[0].about.broken
    if broken:
        sample, why = next(iter(broken.items()))
        lines.append(f"{len(broken)} pictures cannot be read and were left out; the first, {sample}: {why}")
    return lines


def _column(values: Iterable[float]) -> list[str]:
    """Return numbers with two decimals, a dash for nothing."""
    return ["–" if isnan(value) else f"{value:.2f}" for value in values]


def _interval(found: Evaluation) -> str:
    interval = found.interval()
    return "–" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}"
