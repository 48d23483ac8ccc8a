"""Measure how much worse models get when the box or the picture does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options

if TYPE_CHECKING:
    from meanshape.evaluation.robustness import Robustness

app = typer.Typer()


@app.command()
def robustness(
    models: Annotated[list[str], typer.Argument(help="Shipped names, run folders or .onnx files.")],
    data: Annotated[str, typer.Option(help="NAME:ROOT[:SPLIT]")],
    only: Annotated[
        list[str] | None, typer.Option(help="Only this change (may be given again): box, rotation, blur …")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw error over strength into this .svg file.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random draws for each face and level.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take what there is of an incomplete split.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads that one prediction may use.")] = 1,
    device: options.Device = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many faces, evenly spread.")] = None,
) -> None:
    """Measure how much worse models get when the box or the picture does."""
    from meanshape.apps.cli.evaluate import bar, read
    from meanshape.datasets import origin
    from meanshape.evaluation.plots import robustness as draw
    from meanshape.evaluation.robustness import robustness as measure
    from meanshape.evaluation.robustness import write_csv
    from meanshape.evaluation.schema import write_file
    from meanshape.evaluation.seen import seen
    from meanshape.methods import load

    ready = {model: load(model, threads=threads, device=device) for model in models}
    samples = read(data, allow_missing, None, limit)
    rows = []
    with bar() as progress:
        for model in models:
            task = progress.add_task(model, total=1.0)
            rows += measure(
                ready[model],
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
    if plot is not None:
        write_file(plot, draw(rows))
    has_seen = [name for name in models if seen(ready[name].origin.learnt_from, origin(data).learnt_from[0])]
    if has_seen:
        console.say(f"{', '.join(has_seen)} learnt from these faces: on others errors are larger")
    console.show(f"{rows[0].faces} faces; errors in % of {rows[0].norm}, over {draws} draws of each change")
    header = ["model", "change", "level", "NME", "median", "90 %", "increase"]
    console.grid([_row(row) for row in rows], header, right=range(3, 7))


def _row(row: Robustness) -> list[str]:
    """Return what is printed of one change at one level."""
    numbers = [f"{value:.2f}" for value in (row.nme, row.median, row.p90)]
    level = f"{row.level:g} {row.unit}" if row.unit else ""
    return [row.model, row.perturbation, level, *numbers, f"{row.increase:+.1f} %"]
