"""Draw every method that ships on one face, side by side, in order of year."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options

if TYPE_CHECKING:
    from meanshape.inference.lineage import Answer

app = typer.Typer()

HEADER = ("year", "method", "family", "points", "ms", "apart from {}, %")


@app.command()
def lineage(
    photo: Annotated[str, typer.Argument(help="A photo; the best face in it is taken.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="FILE.png or .jpg: a tile for each method.")
    ] = None,
    licence: options.Licence = "any",
    threads: options.Threads = 1,
    device: options.Device = None,
) -> None:
    """Draw every method that ships on one face, side by side, in order of year.

    Nobody knows the error on your photo. What is told: milliseconds of one prediction, and how far the
    points lie from those of the default model, percent of the distance between the centres of the eyes.
    """
    from meanshape.core.image import read_image, write_image
    from meanshape.inference import choice
    from meanshape.inference import lineage as several
    from meanshape.inference.overlays import check_picture
    from meanshape.inference.pipeline import Pipeline

    if output is not None:
        check_picture(output, photo)
    names = several.shipped(licence)
    options: Any = {"licence": licence, "threads": threads, "device": device}
    pipeline = Pipeline(**options)
    pixels = read_image(photo)
    found = pipeline.search(pixels, photo)
    if not found:
        console.say(f"{photo}: no face was found, so there is nothing to compare")
        return
    if len(found) > 1:
        console.say(f"{photo}: {len(found)} faces; the one that the detector is surest of is taken")
    providers = choice.providers_of(device)
    told: list[Answer] = []
    with console.progress(len(names), "methods") as step:
        for answer in several.answers(pixels, found[0], pipeline, names, threads, providers):
            told.append(answer)
            step()
    header = [title.format(pipeline.name) for title in HEADER]
    console.grid([_row(answer) for answer in told], header, right=(0, 3, 4, 5))
    if output is not None:
        write_image(output, several.sheet(pixels, found[0], told), quality=90)
        console.say(f"written: {output} ({len(told)} methods)", plain=True)


def _row(answer: Answer) -> list[str]:
    apart = "-" if answer.apart is None else f"{answer.apart:.2f}"
    return [
        str(answer.year), answer.name, answer.family, str(len(answer.shape)), f"{answer.milliseconds:.2f}",
        apart,
    ]  # fmt: skip
