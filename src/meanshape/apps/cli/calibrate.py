"""Teach a model how sure it may be of each point."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options

if TYPE_CHECKING:
    from meanshape.core.origin import Origin
    from meanshape.core.weights import Card
    from meanshape.methods.base import LandmarkModel
    from meanshape.methods.shared.confidence import Confidence

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
    negatives: Annotated[
        Path | None,
        typer.Option(help="A folder of photos without people; default: rendered scenes without."),
    ] = None,
    domain_only: Annotated[
        bool,
        typer.Option("--domain-only", help="Keep what is known of plain faces; learn where it falls anew."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the reliability into this .svg file.")] = None,
    seed: Annotated[int, typer.Option(help="Of the boxes that are off.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="So many faces, evenly spread.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that one prediction may use.")] = 1,
    terms: options.Terms = None,
    commercial_use: options.CommercialUse = False,
) -> None:
    """Teach a model how sure it may be of each point.

    Half of the faces teach, the other half say how far the confidence can be trusted; both is kept in the
    model's folder. It falls for faces that are tilted, covered, blurred or dark, and where there is none.
    """
    from meanshape.core import registry, weights
    from meanshape.datasets import parse_data
    from meanshape.evaluation.plots import reliability as draw
    from meanshape.evaluation.schema import write_file
    from meanshape.evaluation.threads import limited

    card = weights.verify(model)
    name, root, _ = parse_data(data)
    shapes = shapes or f"{name}:{root}:train"
    used = [data, shapes] if tune is None else [data, shapes, tune]
    origin = inherited(card, used, twin, terms, commercial_use, negatives)
    if not domain_only:  # how far plain faces are off counts there
        _unseen(card if twin is None else weights.read_card(twin), used[::2])
    with limited(threads):
        ready = registry.method(card.method).load(model if twin is None else twin, threads=threads)
        plain = _known(ready, card) if domain_only else _learn(ready, data, shapes, tune, seed, limit)
        made, found = plain
        made, found["domain"] = _learn_domain(ready, made, data, shapes, negatives, seed, limit)
    written = _write(model, card.told(origin), made, found)
    if plot is not None:
        write_file(plot, draw({card.name: found}))
    show(card.name, found)
    console.say(f"written: {written}", plain=True)


def _write(folder: Path, card: Card, made: Confidence, found: dict[str, Any]) -> Path:
    """Write a confidence and its figures into a model's folder; return its path."""
    from meanshape.core import weights
    from meanshape.methods.shared.confidence import FILE

    made.save(folder)
    told = replace(card, more={**card.more, "confidence": found})
    weights.write_card(folder, told, {*card.files, FILE})
    return folder / FILE


def _learn(
    model: LandmarkModel, data: str, shapes: str, tune: str | None, seed: int, limit: int | None
) -> tuple[Confidence, dict[str, Any]]:
    """Return a confidence and how far it can be trusted; a bar shows how far the work is."""
    from meanshape.apps.cli.evaluate import bar, read
    from meanshape.datasets import load_data
    from meanshape.evaluation.calibration import calibrate as learn

    faces = read(data, False, None, limit)
    others = None if tune is None else read(tune, False, None, limit)
    with bar() as progress:
        task = progress.add_task(model.name, total=1.0)

        def report(share: float, _: str) -> None:
            progress.update(task, completed=share)

        made, found = learn(model, faces, load_data(shapes), others, seed=seed, progress=report)
    return made, {"data": _told(data), **({} if tune is None else {"tuned_on": _told(tune)}), **found}


def _known(model: LandmarkModel, card: Card) -> tuple[Confidence, dict[str, Any]]:
    """Return the confidence that a model has, and its figures."""
    from meanshape.core.errors import ConfigError

    if model.confidence is None or "confidence" not in card.more:
        raise ConfigError(f"{card.name} was never calibrated: leave out --domain-only")
    return model.confidence, dict(card.more["confidence"])


def _learn_domain(
    model: LandmarkModel, known: Confidence, data: str, shapes: str, negatives: Path | None, seed: int,
    limit: int | None,
) -> tuple[Confidence, dict[str, dict[str, float]]]:  # fmt: skip
    """Return a confidence that falls beyond plain faces, and its figures by kind of picture."""
    from meanshape.apps.cli.evaluate import bar, read
    from meanshape.datasets import load_data
    from meanshape.evaluation.domain import learn_domain, photos_without_people

    empty = [] if negatives is None else photos_without_people(negatives)
    faces = read(data, False, None, limit)
    with bar() as progress:
        task = progress.add_task(model.name, total=1.0)

        def report(share: float, _: str) -> None:
            progress.update(task, completed=share)

        return learn_domain(model, known, faces, load_data(shapes), empty, seed=seed, progress=report)


def _unseen(card: Card, data: list[str]) -> None:
    """Refuse faces that the model has learnt from, on which it errs too little to say how sure it may be."""
    from meanshape.core.errors import ConfigError
    from meanshape.datasets import origin
    from meanshape.evaluation.seen import seen

    for text in data:
        if seen(card.origin.learnt_from, origin(text).learnt_from[0]):
            raise ConfigError(
                f"{card.name} has learnt from {_told(text)}: take other faces, or train its like without "
                "them and name its folder with --twin"
            )


def inherited(
    card: Card, data: list[str], twin: Path | None, terms: str | None, commercial_use: bool,
    negatives: Path | None = None,
) -> Origin:  # fmt: skip
    """Return the model's terms with those of all that its confidence is learnt from; its own data stay."""
    from meanshape.apps.cli.train import stated
    from meanshape.core import weights
    from meanshape.core.origin import Origin, joined
    from meanshape.datasets import origin

    said = stated(terms, commercial_use, data, negatives)
    others = [origin(text, said) for text in data]
    if negatives is not None:
        others.append(said or Origin())
    if twin is not None:
        others.append(weights.read_card(twin).origin)
    return replace(joined([card.origin, *others]), learnt_from=card.origin.learnt_from)


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
