"""Measure how much worse models get when the box or the picture does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def robustness(
    models: Annotated[list[str], typer.Argument(help="Shipped names, run folders or .onnx files.")],
    data: Annotated[str, typer.Option(help="NAME:ROOT[:SPLIT]")],
    only: Annotated[
        list[str] | None, typer.Option(help="Only this change (may be given again): box, rotation, blur …")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows to this file.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random draws for each face and level.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take what there is of an incomplete split.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads that one prediction may use.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="So many faces, evenly spread.")] = None,
) -> None:
    """Measure how much worse models get when the box or the picture does."""
    from rich.console import Console
    from rich.table import Table

    from meanshape.apps.cli.evaluate import bar, read
    from meanshape.evaluation.robustness import robustness as measure
    from meanshape.evaluation.robustness import write_csv
    from meanshape.methods import load

    samples = read(data, allow_missing, None, limit)
    rows = []
    with bar() as progress:
        for model in models:
            task = progress.add_task(model, total=1.0)
            rows += measure(
                load(model),
                samples,
                only,
                draws=draws,
                seed=seed,
                threads=threads,
                name=model,
                progress=lambda share, _, task=task: progress.update(task, completed=share),  # type: ignore[misc]
            )
    if csv is not None:
        write_csv(csv, rows)
    table = Table(title=f"{rows[0].faces} faces; % of {rows[0].norm}", title_justify="left")
    for column in ("model", "change", "level", ""):
        table.add_column(column)
    for column in ("NME", "median", "90th percentile", "increase"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = [f"{value:.2f}" for value in (row.nme, row.median, row.p90)]
        table.add_row(
            row.model, row.perturbation, f"{row.level:g}", row.unit, *numbers, f"{row.increase:+.1f} %"
        )
    Console().print(table)
