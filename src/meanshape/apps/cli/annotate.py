"""Correct the points in a folder of photos, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.apps.cli.serve import Host, Port, Token, run
from meanshape.core.errors import ConfigError, FormatError, MarkUpError, MissingExtra

if TYPE_CHECKING:
    from meanshape.core.markup import MarkUp
    from meanshape.inference.pipeline import Pipeline

app = typer.Typer()


@app.command()
def annotate(
    folder: Annotated[Path, typer.Argument(help="A folder of photos.")],
    markup: Annotated[
        str | None,
        typer.Option(
            help="A mark-up, or a .toml file with one's own.", show_default="the folder's, or the model's"
        ),
    ] = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    device: options.Device = None,
    empty: Annotated[bool, typer.Option("--empty", help="Let no model place the first points.")] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            help="jsonl: one file for all; pts: one beside each photo.",
            show_default="pts where such files are and no labels.jsonl, else jsonl",
        ),
    ] = None,
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
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    form = _form(folder, labels)
    pipeline = _pipeline(model, licence, device, empty)
    kind = _kind(folder, form, markup, None if pipeline is None else pipeline.model.markup)
    photos = Folder(folder, kind, pipeline, form)
    if markup is not None and markup.endswith(".toml"):
        _keep(kind, folder)
    run(host, port, token, {"model": model, "licence": licence, "device": device}, photos, "/correct")


def _form(folder: Path, wanted: str | None) -> Literal["jsonl", "pts"]:
    """Return how labels are kept: as is wanted, else as they are already."""
    from meanshape.core.files import ending
    from meanshape.datasets.folder import LABELS

    if wanted not in ("jsonl", "pts", None):
        raise ConfigError(f"--labels is jsonl or pts, not {wanted!r}")
    if not ending(folder, ".pts"):
        return "pts" if wanted == "pts" else "jsonl"
    if wanted == "pts" or (wanted is None and not (folder / LABELS).exists()):
        console.say("the labels are the .pts files beside the photos", plain=True)
        return "pts"
    console.say(f"there are .pts files, too: to train on these labels, name {folder / LABELS}", plain=True)
    return "jsonl"


def _kind(folder: Path, form: Literal["jsonl", "pts"], wanted: str | None, of_model: MarkUp | None) -> MarkUp:
    """Return the requested mark-up; else that of the labels, the one in the folder, or the model's."""
    from meanshape.apps.web.labels import markup_of_labels, markup_of_pts
    from meanshape.core.markup import markup, markups_in

    there = markups_in(folder)
    if wanted is not None:
        return markup(wanted)
    found = markup_of_labels(folder) if form == "jsonl" else markup_of_pts(folder)
    if found is None and len(there) > 1:
        names = ", ".join(kind.name for kind in there)
        raise ConfigError(f"{folder} holds the mark-ups {names}: say which by --markup")
    kind = found or (there[0] if there else of_model)
    if kind is None:
        raise ConfigError("without a model, say which points there are: --markup NAME, or a .toml file")
    if kind in there:
        console.say(f"the points are those of {folder / kind.name}.toml; --markup chooses others", plain=True)
    return kind


def _keep(kind: MarkUp, folder: Path) -> None:
    """Write a mark-up beside its labels, so that training knows it; over no file but one of the kind."""
    from meanshape.core.markup import from_toml, to_toml
    from meanshape.formats.text import read_text, write_text

    path = folder / f"{kind.name}.toml"
    if path.exists():
        try:
            if from_toml(kind.name, read_text(path)) == kind:
                return  # as somebody wrote it, with remarks
        except (MarkUpError, FormatError):
            said = f"{path}: this file is no mark-up; call yours something else than {kind.name}"
            raise ConfigError(said) from None
    write_text(path, to_toml(kind))


def _pipeline(model: str | None, licence: Any, device: str | None, empty: bool) -> Pipeline | None:
    from meanshape.inference.pipeline import Pipeline

    return None if empty else Pipeline(model=model, licence=licence, device=device)
