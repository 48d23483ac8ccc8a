"""Train a method or a detector on labelled faces."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options

if TYPE_CHECKING:
    from meanshape.core.origin import Origin
    from meanshape.core.sample import Sample

app = typer.Typer()


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="A method's or detector's name, see meanshape models.")],
    data: Annotated[list[str], typer.Option(help="NAME:ROOT[:SPLIT] to learn from; may be given again.")],
    out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, curves, then the model.")],
    valid: Annotated[list[str] | None, typer.Option(help="NAME:ROOT[:SPLIT] to choose by.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the method's Config; may be given again.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="A named Config of the method, such as 'paper'.")] = None,
    init: Annotated[str | None, typer.Option(help="Start from a shipped model or a run folder.")] = None,
    negatives: Annotated[
        Path | None, typer.Option(help="A folder of photos without people (detectors).")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same batches.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch and numba.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many faces of each data set.")
    ] = None,
    markup: Annotated[str | None, typer.Option(help="The mark-up of one's own labels.")] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Take incomplete splits.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")] = False,
    terms: options.Terms = None,
    commercial_use: options.CommercialUse = False,
) -> None:
    """Train a method or a detector; Ctrl-C ends early and keeps the best, --resume goes on after a kill."""
    from meanshape.core import weights
    from meanshape.core.origin import Origin, joined
    from meanshape.datasets import origin as data_origin
    from meanshape.training import run_folder

    first = run_folder.place()[0] == 0  # of the processes of torchrun: this one writes and speaks
    model = prepare(method, preset, settings or [], threads)
    _equip(model, init, negatives)
    said = stated(terms, commercial_use, data, negatives)
    sources = [data_origin(text, said) for text in data]
    if negatives is not None:
        sources.append(replace(said or Origin(), learnt_from=("photos without people",)))
    samples = read(data, allow_missing, markup, limit)
    chosen_by = read(valid or [], allow_missing, markup, None)
    if first:
        run_folder.prepare(out, resume)
        if not resume and (out / weights.CARD).exists():
            console.say(f"{out}: the model that is there will be replaced when this one is trained")
        if run_folder.checkpoints(out) and not (out / run_folder.RECORD).exists():
            console.say(f"{out}: nothing says what this run was asked for; it goes on as asked now")
    model.run_folder = out
    if first:
        console.say(f"{method} learns from {len(samples)} faces; {len(chosen_by)} to choose by")
    with reporter() as report:
        model.fit(samples, chosen_by or None, seed=seed, progress=report)
    if not first:
        return
    origin = joined([*sources, *(weights.read_card(parent).origin for parent in model.parents())])
    chosen = [name for text in valid or () for name in data_origin(text).learnt_from]
    model.origin = replace(origin, chosen_by=tuple(dict.fromkeys([*origin.chosen_by, *chosen])))
    model.save(out)
    describe(out, data, seed)
    console.say(f"the model is in {out}: {_use(method, shlex.quote(str(out)))}")
    run_folder.draw_curves(out)


def _equip(model: Any, init: str | None, negatives: Path | None) -> None:
    """Hand over what a training has beside faces; what the model has no use for is refused."""
    from meanshape.core import weights
    from meanshape.core.errors import ConfigError
    from meanshape.methods.shared.abilities import LearnsFromNegatives

    if init is not None:
        model.initial = weights.folder(init) if init in weights.names() else Path(init)
    if negatives is not None:
        if not isinstance(model, LearnsFromNegatives):
            said = f"{model.name} learns nothing from photos without people: leave out --negatives"
            raise ConfigError(said)
        model.negatives = negatives


def _use(name: str, folder: str) -> str:
    """Say what to do with a run folder."""
    from meanshape.core import registry

    if name in registry.names("methods"):
        return f"meanshape evaluate {folder} --data …"
    return f'registry.detector("{name}")(weights={folder!r}) finds faces with it'


def prepare(method: str, preset: str | None, settings: list[str], threads: int) -> Any:
    """Return the unfitted model with its settings."""
    from meanshape.core import config, registry
    from meanshape.core.errors import ConfigError, UnknownName

    kind = registry.learner(method)
    module = sys.modules[kind.Config.__module__]
    presets = getattr(module, "PRESETS", {})
    if preset is not None and preset not in presets:
        raise UnknownName.of(f"preset of {method}", preset, presets)
    chosen = kind.Config() if preset is None else presets[preset]
    pairs = dict(setting.partition("=")[::2] for setting in settings)
    if wrong := [setting for setting in settings if "=" not in setting]:
        raise ConfigError(f"--set wants KEY=VALUE, got {wrong[0]!r}")
    set_threads(threads)
    return kind(config.override(chosen, pairs))


def set_threads(threads: int) -> None:
    """Tell torch, numba and OpenCV how many threads to use, where they are installed."""
    import cv2

    cv2.setNumThreads(1)
    for name, function in (("torch", "set_num_threads"), ("numba", "set_num_threads")):
        try:
            library = __import__(name)
        except ImportError:
            continue
        getattr(library, function)(threads)


def read(data: list[str], allow_missing: bool, markup: str | None, limit: int | None) -> list[Sample]:
    """Return the samples of several data arguments, evenly thinned to ``limit`` each."""
    from meanshape.datasets import load_data, thinned

    return [one for text in data for one in thinned(load_data(text, allow_missing, markup), limit)]


def stated(
    terms: str | None, commercial_use: bool, data: list[str], unsaid: Path | None = None
) -> Origin | None:
    """Return what the user says of data that say nothing of their terms, which some of `data` must be."""
    from meanshape.core import registry
    from meanshape.core.errors import ConfigError
    from meanshape.core.origin import Origin

    if terms is None and not commercial_use:
        return None
    if not terms:
        raise ConfigError('--commercial-use wants the terms that allow it, as in --terms "my own photos"')
    families = [registry.card("datasets", text.partition(":")[0]).get("family") for text in data]
    if unsaid is None and "own" not in families:
        raise ConfigError(
            f"--terms is for photos of your own; {', '.join(data)} "
            f"{'have terms of their own' if len(data) > 1 else 'has terms of its own'}"
        )
    return Origin(terms, commercial_use, (f"as stated by who trained: {terms}",))


def describe(out: Path, data: list[str], seed: int) -> None:
    """Add to the model's card how it was made."""
    from meanshape.core import weights
    from meanshape.training import run_folder

    card = weights.read_card(out)
    more = {
        **card.more,
        "data": data,
        "command": shlex.join(["meanshape", *sys.argv[1:]]),
        "seed": seed,
        "commit": run_folder.commit(),
        "versions": run_folder.versions(),
    }
    weights.write_card(out, replace(card, more=more), card.files)


@contextmanager
def reporter() -> Iterator[Callable[[float, str], None]]:
    """Yield what a fit calls as it goes on: a bar on a terminal, else a line for each report."""
    if not sys.stderr.isatty():
        yield lambda share, text: console.say(f"{100 * share:3.0f} % {text}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.percentage:3.0f} %"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("reading the pictures", total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)
