"""List data sets, show one, verify a copy, convert labels."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.core import registry
from meanshape.core.errors import DataSetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meanshape.datasets.parts.card import DataSetCard
    from meanshape.datasets.parts.check import Problem
    from meanshape.datasets.parts.duplicates import Across
    from meanshape.datasets.parts.survey import Survey

app = typer.Typer(no_args_is_help=True)
SHOWN = 20
FORMATS = "pts, csv, jsonl, parquet, coco, cvat, dlib_xml or ljson"


@app.command("list")
def list_() -> None:
    """List the data sets that can be read: points, where taken, counts, terms."""
    rows = []
    for name in registry.names("datasets"):
        card = registry.card("datasets", name)
        points = [str(len(registry.markup(kind))) for kind in _markups(card)]
        rows.append([name, ", ".join(points) or "-", _family(card), _counts(card), card.get("licence", "")])
    console.grid(rows, ["data set", "points", "taken", "published counts", "terms"])
    console.show("No data set comes with the package: meanshape data show NAME says where to get it.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A data set, or a mark-up.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw the mark-up with numbers: FILE.svg or FILE.png."),
    ] = None,
) -> None:
    """Show a data set's card and layout; with -o, draw its mark-up with numbers."""
    kinds = [name]
    if name in registry.names("datasets") or name not in registry.names("markups"):
        card = registry.card("datasets", name)
        kinds = _markups(card)
        _print_card(name, card)
    if output is None:
        return
    from meanshape.apps.cli import _figure

    if not kinds:
        raise DataSetError(f"{name} has no mark-up that could be drawn")
    lost = _figure.write(registry.markup(kinds[0]), output)
    rest = f"; without a place: {', '.join(lost)}" if lost else ""
    console.say(f"written: {output}, the points of {kinds[0]}{rest}", plain=True)


@app.command()
def verify(
    data: Annotated[str, typer.Argument(metavar="NAME:ROOT", help="A data set and where its copy lies.")],
    markup: Annotated[
        str | None, typer.Option(help="The mark-up of labels of your own that do not say.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Near-duplicates are faults too.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Print all faults, not {SHOWN} of a kind.")
    ] = False,
    exclude: Annotated[
        Path | None,
        typer.Option(help="Write here which photos of train nearly repeat one of another split."),
    ] = None,
) -> None:
    """Check a copy: missing, extra and corrupt files, counts, points outside, near-duplicates.

    Every photo is decoded. The exit code is 4 where something is wrong; near-duplicates are told, also across
    splits, and are wrong with --strict only. --exclude ROOT/exclude.txt keeps them from training.
    """
    from functools import partial

    from meanshape.datasets import parse_data, with_markup
    from meanshape.datasets.parts.check import check
    from meanshape.datasets.parts.duplicates import near_across, near_pairs
    from meanshape.datasets.parts.reader import HasSurvey

    name, root, split = parse_data(data)
    if split:
        raise DataSetError(f"verify looks at all splits: leave :{split} out")
    module = registry.dataset(name)
    hashes: dict[str, int] = {}
    survey = partial(module.survey, **with_markup(module, markup)) if isinstance(module, HasSurvey) else None
    problems = module.verify(root) if survey is None else check(module.card, survey, root, hashes)
    pairs = near_pairs(hashes)
    _print_problems(problems, everything)
    for one, other, bits in pairs if everything else pairs[:SHOWN]:
        console.show(f"duplicate: {one} and {other} ({bits} of 128 bits differ)")
    if survey is not None and hashes:
        _print_counts(module.card, survey, root)
        across = near_across(survey(root).found, hashes, list(module.card.splits))
        _print_across(across)
        if exclude is not None:
            _write_excluded(exclude, across)
    faults = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    told = f"{faults}, {len(pairs)} pairs of near-duplicates among {len(hashes)} photos"
    console.say(f"{name} at {root}: {told}", plain=True)
    if problems or (strict and pairs):
        raise typer.Exit(DataSetError.exit_code)


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|FOLDER|NAME:ROOT[:SPLIT]", help="Labels, or a data set that has some."),
    ],
    target: Annotated[str, typer.Argument(metavar="FILE|FOLDER/", help="What to write, by its suffix.")],
    from_: Annotated[str | None, typer.Option("--from", help=f"What the source is: {FORMATS}.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="What to write; pts and ljson also into a folder.")
    ] = None,
    markup: Annotated[str | None, typer.Option(help="The mark-up of a source that does not say.")] = None,
    into: Annotated[str | None, typer.Option(help="Convert the points to this mark-up.")] = None,
    relative: Annotated[
        bool,
        typer.Option("--relative", help="Points in the unit square of each face's box (.csv, .parquet)."),
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Whole pixels, as dlib's own programs want them.")
    ] = False,
) -> None:
    """Convert labels among .pts, CSV, JSON Lines, Parquet, COCO, CVAT, dlib's XML and menpo's LJSON."""
    from dataclasses import replace

    from meanshape.apps.cli import _convert
    from meanshape.formats import Faults, called

    faults = Faults()
    predictions = _convert.gather(source, from_, markup, faults)
    if into is not None:
        predictions = [
            replace(
                p,
                faces=tuple(f if f.shape is None else replace(f, shape=f.shape.to(into)) for f in p.faces),
            )
            for p in predictions
        ]
    predictions = _convert.looked_at(predictions, target, to)
    files = _convert.put(predictions, target, to, relative, whole)
    for sentence in faults.sentences():
        console.say(sentence)
    faces = sum(len(prediction.faces) for prediction in predictions)
    bare = sum(face.shape is None for prediction in predictions for face in prediction.faces)
    if bare and _convert.form_of(target, to) in ("csv", "pts", "ljson"):
        console.say(f"{bare} faces without points left out: the format holds none; .jsonl does")
        faces -= bare
    told = f"{faces} faces of {len(predictions)} photos written to {files} file(s): {called(target, to)}"
    console.say(told, plain=True)


def _markups(card: dict[str, Any]) -> list[str]:
    return [card["markup"]] if card.get("markup") else list(card.get("markups", ()))


def _family(card: dict[str, Any]) -> str:
    return {"controlled": "in a laboratory", "wild": "in the wild"}.get(card.get("family", ""), "-")


def _counts(card: dict[str, Any]) -> str:
    """The published counts, without splits that are made of others."""
    from meanshape.datasets.parts.check import COMPOSED

    splits = {name: count for name, count in card.get("splits", {}).items() if count}
    plain = {name: count for name, count in splits.items() if name not in COMPOSED} or splits
    unit = card.get("unit", "faces")
    words = ", ".join(f"{name} {count:,}" for name, count in plain.items())
    return f"{words} {unit}" if unit != "faces" and words else words or "-"


def _print_card(name: str, card: dict[str, Any]) -> None:
    """Print what a card says, and the layout from the reader's docstring."""
    kinds = ", ".join(f"{k} ({len(registry.markup(k))} points)" for k in _markups(card)) or "no points"
    lines = [
        (card.get("title", name), ""),
        ("mark-up", kinds),
        ("taken", _family(card)),
        ("counts", ", ".join(f"{k} {v:,}" if v else k for k, v in card.get("splits", {}).items())),
        ("terms", card.get("licence", "")),
        ("home page", card.get("home", "")),
        ("citation", card.get("citation", "")),
    ]
    for title, text in lines:
        console.show(f"{title}: {text}" if text else title)
    for fault in card.get("faults", ()):
        console.show(f"mind: {fault}")
    if card.get("extra"):
        console.show(f"needs: pip install 'meanshape[{card['extra']}]'")
    for source in card.get("sources", ()):
        console.show(f"layout known from: {source}")
    console.show(f"\n{(registry.dataset(name).__doc__ or '').strip()}")


def _print_problems(problems: list[Problem], everything: bool) -> None:
    """Print the faults, a few of each kind unless all are wanted."""
    seen: Counter[str] = Counter()
    for problem in problems:
        seen[problem.kind] += 1
        if everything or seen[problem.kind] <= SHOWN:
            console.show(str(problem))
    for kind, count in seen.items():
        if count > SHOWN and not everything:
            console.show(f"{kind}: {count - SHOWN} more, see --all")


def _print_across(across: list[Across]) -> None:
    """Print how many photos of a split nearly repeat one of another."""
    if across and not any(pair.pairs for pair in across):
        console.show("across splits: no photo nearly repeats one of another split")
    for pair in across:
        if pair.pairs:
            repeated, by = (len(set(names)) for names in zip(*pair.pairs, strict=True))
            console.show(
                f"across splits: {repeated:,} of {pair.count:,} photos of {pair.held_out} are nearly "
                f"repeated by {by:,} of {pair.learnt}"
            )


def _write_excluded(path: Path, across: list[Across]) -> None:
    """Write the photos of train that nearly repeat one of another split, as readers want an exclude.txt."""
    from meanshape.core.errors import ConfigError
    from meanshape.evaluation.schema import write_file

    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - links stay links
    repeats = {
        pair.photos[name]
        for pair in across
        if pair.learnt == "train"
        for _, name in pair.pairs
        if name in pair.photos
    }
    if away := [photo for photo in repeats if not photo.is_relative_to(folder)]:
        raise ConfigError(f"{path}: {min(away)} is not below its folder; write it into the copy's own")
    lines = "".join(f"{photo.relative_to(folder).as_posix()}\n" for photo in sorted(repeats))
    write_file(path, f"# photos of train that nearly repeat one of another split\n{lines}")
    console.say(f"written: {path}, {len(repeats)} photos", plain=True)


def _print_counts(card: DataSetCard, survey: Callable[..., Survey], root: str) -> None:
    """Print how many samples each split has and should have."""
    rows = []
    for split, published in card.splits.items():
        try:
            found = len(survey(root, split).found)
        except DataSetError:
            found = 0
        rows.append([split, f"{found:,}", f"{published:,}" if published else "-"])
    if not any(row[1] != "0" for row in rows):  # a folder of one's own need not be divided
        rows = [["all", f"{len(survey(root, None).found):,}", "-"]]
    console.grid(rows, ["split", "here", "published"], right=(1, 2))
