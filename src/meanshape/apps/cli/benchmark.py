"""Measure many models on many data sets, and write a report that can be cited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.core.errors import ConfigError

if TYPE_CHECKING:
    from meanshape.evaluation.benchmark import Grid

app = typer.Typer()


@app.command()
def benchmark(
    config: Annotated[
        Path | None, typer.Argument(help="A .toml file: models, data, boxes, threads, limit.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Instead: a model; may be repeated.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Instead: NAME:ROOT[:SPLIT]; may be repeated.")
    ] = None,
    box: Annotated[list[str] | None, typer.Option(help="Instead: truth, detector; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="So many faces of each data set; 0: all.")] = 0,
    report: Annotated[Path, typer.Option(help="The folder of the report and its cells.")] = Path("report"),
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A folder of cells measured elsewhere, to be reported, too; repeatable."),
    ] = None,
    with_photos: Annotated[
        bool, typer.Option("--with-photos", help="Draw the worst faces on their photos: for you alone.")
    ] = False,
) -> None:
    """Measure many models on many data sets, and write a report that can be cited.

    What is in the report's folder already is not measured again, unless weights have changed.
    """
    from meanshape.evaluation import benchmark as grids
    from meanshape.evaluation.report import to_html, to_markdown
    from meanshape.evaluation.schema import write_file
    from meanshape.training.run_folder import commit

    grid = _grid(config, model, data, box, limit)
    count = len(list(grid.cells()))
    with console.progress(count, "cells") as step:

        def told(number: int, total: int, text: str) -> None:
            console.say(f"{number + 1} of {total}: {text}")
            step()

        records = grids.run(grid, report, commit(), told)
    for record in records:
        if "left_out" in record:
            console.say(
                f"left out: {record['cell']['model']} on {record['cell']['data']}: {record['left_out']}"
            )
    records += [grids.read_cell(path) for folder in others or () for path in grids.cells_in(folder)]
    photo = _photos(grid) if with_photos else None
    write_file(report / "report.html", to_html(records, photo))
    table = to_markdown(records)
    write_file(report / "report.md", table)
    print(table)
    console.say(f"written: {report / 'report.html'}, {report / 'report.md'}", plain=True)


def _grid(
    config: Path | None, models: list[str] | None, data: list[str] | None, boxes: list[str] | None, limit: int
) -> Grid:
    """Return the grid of a file, or of options."""
    from meanshape.evaluation.benchmark import Grid

    if config is not None:
        if models or data or boxes or limit:
            raise ConfigError(
                "a benchmark is described by a file, or by --model, --data and --box; not by both"
            )
        return Grid.read(config)
    return Grid(tuple(models or ("all",)), tuple(data or ()), tuple(boxes or ("truth",)), limit=limit)


def _photos(grid: Grid) -> Any:
    """Return what finds a photo by data set and sample id."""
    from meanshape.datasets import load_data, parse_data

    known: dict[str, dict[str, Any]] = {}
    for argument in grid.data:
        name, _, split = parse_data(argument)
        told = ":".join(part for part in (name, split) if part)
        known[told] = {sample.id: sample for sample in load_data(argument)}
    return lambda data, number: known[data][number].pixels() if number in known.get(data, {}) else None
