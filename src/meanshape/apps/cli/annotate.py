"""Correct the points in a folder of photos, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from meanshape.apps.cli import _options as options
from meanshape.apps.cli.serve import Host, Port, Token, run
from meanshape.core.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from meanshape.inference.pipeline import Pipeline

app = typer.Typer()


@app.command()
def annotate(
    folder: Annotated[Path, typer.Argument(help="A folder of photos.")],
    markup: Annotated[
        str | None,
        typer.Option(help="A mark-up, or a .toml file with one's own.", show_default="the model's"),
    ] = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    empty: Annotated[bool, typer.Option("--empty", help="Let no model place the first points.")] = False,
    labels: Annotated[
        str, typer.Option(help="jsonl: one file for all; pts: one beside each photo.")
    ] = "jsonl",
    host: Host = "127.0.0.1",
    port: Port = 8080,
    token: Token = None,
) -> None:
    """Correct the points in a folder of photos, in the browser; every change is saved at once.

    What is saved trains a model: meanshape train cpr --data folder:FOLDER --out runs/mine
    """
    try:
        from meanshape.apps.web.folder import Folder
    except ImportError as error:
        raise MissingExtra.of("web", "The page for corrections") from error
    from meanshape.core.markup import markup as find
    from meanshape.core.markup import to_toml
    from meanshape.formats.text import write_text

    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    if labels not in ("jsonl", "pts"):
        raise ConfigError(f"--labels is jsonl or pts, not {labels!r}")
    pipeline = _pipeline(model, licence, empty)
    kind = None if pipeline is None else pipeline.model.markup
    if markup is not None:
        kind = find(markup)
        if markup.endswith(".toml"):  # travels with the labels, so that training knows it
            write_text(folder / f"{kind.name}.toml", to_toml(kind))
    if kind is None:
        raise ConfigError("without a model, say which points there are: --markup NAME, or a .toml file")
    form = cast(Literal["jsonl", "pts"], labels)
    run(
        host,
        port,
        token,
        {"model": model, "licence": licence},
        Folder(folder, kind, pipeline, form),
        "/correct",
    )


def _pipeline(model: str | None, licence: str, empty: bool) -> Pipeline | None:
    from meanshape.inference.pipeline import Pipeline

    return None if empty else Pipeline(model=model, licence=licence)
