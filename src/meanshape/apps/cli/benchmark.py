"""Measure many models on many data sets, and write a report that can be cited."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.core.errors import ConfigError, writing
from meanshape.core.files import write_below

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
    from meanshape.evaluation import plots
    from meanshape.evaluation.report import to_html, to_markdown
    from meanshape.training.run_folder import commit

    plots.needed()
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
    table = to_markdown(records)
    root = grids.made(report)  # it may be a link; what lies in it may not
    for name, text in (("report.html", to_html(records, photo)), ("report.md", table)):
        with writing(report / name):
            write_below(root, name, text.encode())
    console.show(table)
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
    """Return what finds a photo by data set and sample id; no link is followed out of the data's folder."""
    from meanshape.core.errors import ImageError
    from meanshape.core.files import open_below
    from meanshape.core.image import decode
    from meanshape.datasets import load_data, parse_data

    known: dict[str, dict[str, tuple[Any, Path]]] = {}
    for argument in grid.data:
        name, root, split = parse_data(argument)
        told = ":".join(part for part in (name, split) if part)
        place = Path(root).expanduser().resolve()
        place = place if place.is_dir() else place.parent
        known[told] = {sample.id: (sample, place) for sample in load_data(argument)}

    def photo(data: str, number: str) -> Any:
        sample, place = known.get(data, {}).get(number, (None, None))
        if sample is None or place is None:
            return None
        try:
            if not isinstance(sample.image, str | Path):
                return sample.pixels()
            file = Path(os.path.realpath(sample.image))
            if not file.is_relative_to(place):
                console.say(f"not drawn on its photo, which lies outside {place}: {number}")
                return None
            with open_below(place, file.relative_to(place).as_posix()) as opened:  # no link that came since
                return decode(opened, str(sample.image))
        except OSError as error:
            console.say(f"not drawn on its photo: {sample.image} cannot be read ({error.strerror or error})")
            return None
        except ImageError as error:
            console.say(f"not drawn on its photo: {error}")
            return None

    return photo
