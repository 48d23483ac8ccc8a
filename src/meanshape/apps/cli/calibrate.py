"""Teach a model how sure it may be of each point."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from meanshape.apps.cli import _console as console

app = typer.Typer()


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="A folder of weights, such as a training run.")],
    data: Annotated[str, typer.Option(help="NAME:ROOT[:SPLIT], faces that the model has not learnt from.")],
    shapes: Annotated[
        str | None, typer.Option(help="NAME:ROOT[:SPLIT], what shapes faces have; default: the data's train.")
    ] = None,
    twin: Annotated[
        Path | None,
        typer.Option(help="Its like, trained without the faces of --data, where the model has seen them."),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            help="NAME:ROOT[:SPLIT], other faces that it is for: they set two numbers and the measure."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the reliability into this .svg file.")] = None,
    seed: Annotated[int, typer.Option(help="Of the boxes that are off.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="So many faces, evenly spread.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that one prediction may use.")] = 1,
) -> None:
    """Teach a model how sure it may be of each point.

    Half of the faces teach, the other half say how far the confidence can be trusted; both is kept in the
    model's folder.
    """
    from meanshape.apps.cli.evaluate import bar, read
    from meanshape.core import registry, weights
    from meanshape.datasets import load_data, parse_data
    from meanshape.evaluation.calibration import calibrate as learn
    from meanshape.evaluation.plots import reliability as draw
    from meanshape.evaluation.schema import write_file
    from meanshape.evaluation.threads import limited
    from meanshape.methods.parts.confidence import FILE

    card = weights.verify(model)
    method = registry.method(card.method)
    name, root, _ = parse_data(data)
    known = load_data(shapes or f"{name}:{root}:train")
    with limited(threads), bar() as progress:
        task = progress.add_task(str(model), total=1.0)
        ready = method.load(model if twin is None else twin, threads=threads)
        made, found = learn(
            ready,
            read(data, False, None, limit),
            known,
            None if tune is None else read(tune, False, None, limit),
            seed=seed,
            progress=lambda share, _: progress.update(task, completed=share),
        )
    found = {"data": _told(data), **({} if tune is None else {"tuned_on": _told(tune)}), **found}
    made.save(model)
    told = replace(card, more={**card.more, "confidence": found})
    weights.write_card(model, told, {*card.files, FILE})
    if plot is not None:
        write_file(plot, draw({card.name: found}))
    show(card.name, found)
    console.say(f"written: {model / FILE}", plain=True)


def _told(data: str) -> str:
    """Return a data argument without where it lies."""
    from meanshape.datasets import parse_data

    name, _, split = parse_data(data)
    return ":".join(part for part in (name, split) if part)


def show(name: str, found: dict[str, Any]) -> None:
    """Print how far a confidence can be trusted."""
    header = ["model", "faces", "right", "said", "ECE", "AUROC", "by constants", "worst faces"]
    keys = ("right", "mean", "ece", "auroc", "auroc_constant", "auroc_faces")
    numbers = ["–" if found[key] is None else f"{found[key]:.1f}" for key in keys]
    console.grid([[name, str(found["faces"]), *numbers]], header, right=range(1, len(header)))
