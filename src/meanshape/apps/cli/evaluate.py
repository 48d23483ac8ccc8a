"""Measure models on labelled faces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from meanshape.core.types import Sample
    from meanshape.detectors.base import FaceDetector
    from meanshape.evaluation import Evaluation

app = typer.Typer()


class BoxRule(StrEnum):
    """Where models start."""

    truth = "truth"
    detector = "detector"


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Shipped names, run folders or .onnx files.")],
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
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure so many faces of each data set, evenly spread.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="The mark-up of one's own labels (data set folder).")
    ] = None,
) -> None:
    """Measure models on labelled faces: errors, failures, speed, in one table and one JSON file."""
    from rich.console import Console

    from meanshape.datasets import parse_data
    from meanshape.evaluation.protocol import evaluate as measure
    from meanshape.evaluation.schema import write_results

    finder = make_finder(detector) if box is BoxRule.detector else None
    results = []
    with bar() as progress:
        for text in data:
            name, _, split = parse_data(text)
            samples = read(text, allow_missing, markup, limit)
            for model in models:
                task = progress.add_task(f"{model} on {name}", total=1.0)
                found = measure(
                    model,
                    samples,
                    box=box.value,
                    detector=finder,
                    threads=threads,
                    progress=lambda share, _, task=task: progress.update(task, completed=share),  # type: ignore[misc]
                    data=name,
                    split=split,
                )
                results.append(found)
    if json is not None:
        write_results(json, results)
    console = Console()
    for part in by_data(results):
        console.print(table(part))
        for line in remarks(part):
            console.print(line, markup=False, highlight=False)


def read(text: str, allow_missing: bool, markup: str | None, limit: int | None) -> list[Sample]:
    """Return the samples of a data argument, or `limit` of them, evenly spread."""
    from meanshape.datasets import load_data

    samples = load_data(text, allow_missing, markup)
    if limit is None or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]


def make_finder(name: str | None) -> FaceDetector:
    """Return a detector that looks at each picture once, however many models there are."""
    from meanshape.evaluation.starts import Remembered, make_detector

    return Remembered(make_detector(name))


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


def table(results: Sequence[Evaluation]) -> object:
    """Return one table for results on the same data."""
    from rich.table import Table

    first = results[0]
    where = ":".join(part for part in (first.about.data, first.about.split) if part) or "the data"
    title = f"{where}: {len(first)} faces, {first.markup.name}, box {first.about.box}; % of {first.norm}"
    made = Table(title=title, title_justify="left", title_style="bold")
    made.add_column("model", overflow="fold")
    for column in (
        "NME",
        "95 %",
        "median",
        "inner",
        "contour",
        "AUC 8",
        "FR 8",
        "FR 10",
        "missed",
        "ms",
        "MB",
    ):
        made.add_column(column, justify="right")
    for found in results:
        groups, interval = found.groups(), found.interval()
        size = found.about.bytes
        made.add_row(
            found.about.model or "?",
            _number(found.nme()),
            "–" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}",
            _number(found.median()),
            _number(groups.get("inner")),
            _number(groups.get("contour")),
            _number(found.auc(8)),
            _number(found.failure_rate(8)),
            _number(found.failure_rate(10)),
            str(int(found.missed.sum())),
            _number(found.milliseconds()),
            "–" if size is None else f"{size / 1e6:.2f}",
        )
    return made


def remarks(results: Sequence[Evaluation]) -> list[str]:
    """Return what the table has no room for: other normalisers, accuracies, broken pictures."""
    from meanshape.core.metrics import NORMALISERS

    lines = []
    for found in results:
        name = found.about.model or "?"
        others = {norm: found.nme(norm) for norm in NORMALISERS if norm != found.norm}
        said = [f"{norm} {value:.2f}" for norm, value in others.items() if value == value]
        if said and found.nme() == found.nme():
            lines.append(f"{name}: NME by {', '.join(said)}")
        balanced = found.to_dict()["balanced_accuracy"]
        for key, value in found.to_dict()["accuracy"].items():
            lines.append(f"{name}: {key} {value:.1f} % right, {balanced[key]:.1f} % balanced")
    broken = results[0].about.broken
    if broken:
        sample, why = next(iter(broken.items()))
        lines.append(f"{len(broken)} pictures cannot be read and were left out; the first, {sample}: {why}")
    return lines


def _number(value: float | None) -> str:
    """Return two decimals, or a dash for nothing."""
    return "–" if value is None or value != value else f"{value:.2f}"
