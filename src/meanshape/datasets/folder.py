"""The user's own photos with `.pts` files beside them, or named in a CSV or JSON Lines file.

    ROOT/**/photo.jpg  ROOT/**/photo.pts      any depth; or
    ROOT/labels.csv (or .jsonl)  ROOT/…       photos as the file names them, from its folder; or
    ROOT = labels.csv (or .jsonl)             the same

A label file names photos below its own folder and no others: it may come from somebody else.

Any mark-up will do: a file says which, or `markup=` does, or the number of points leaves no choice. Splits
are the folders `train`, `validation`, `test` in the root, or lists of ids (`train.txt` …) there. A label
file with a split of its own is a root of its own: `folder:train.csv`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import BoxError, DataSetError, FormatError
from meanshape.core.face import Face
from meanshape.core.face_box import face_box
from meanshape.core.files import below, ending
from meanshape.core.markup import markups_in
from meanshape.core.openers import looks_like_picture
from meanshape.core.origin import Origin
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.check import Problem, check
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import listed, photo, without_suffix
from meanshape.datasets.parts.held_out import without_excluded
from meanshape.datasets.parts.origin import copy_of, of_labels, origin_of
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts

card = load_card(__file__)

TABLES = (".csv", ".jsonl")
BY_HAND = "corrected by hand"
"""The model of labels that `meanshape annotate` saves: their boxes are canonical, whatever the mark-up."""

LABELS = "labels.jsonl"
"""Where it saves them: never passed over, whatever else lies beside it."""

CHECKED, UNCHECKED = "checked", "no"
"""The attribute of a face that lies in a saved photo but that nobody has looked at yet: it is no sample."""


def samples(
    root: str | Path, split: str | None = None, *, allow_missing: bool = False, markup: str | None = None
) -> list[Sample]:
    """Read all labelled faces, or those of a split."""
    result = without_excluded(survey(root, split, markup), root, split)
    if not result.found and not result.broken and not result.missing:
        raise DataSetError(
            f"no labelled photo at {root}: wanted .pts files beside photos, a .csv or a .jsonl"
        )
    return result.samples(card.name, split or "all", allow_missing)  # every label wants its photo


def survey(root: str | Path, split: str | None = None, markup: str | None = None) -> Survey:
    """Look for labelled faces and say whose photo is missing."""
    card.check_split(split)
    root = Path(root).expanduser()
    if not os.path.exists(root):  # noqa: PTH110 - a name too long is no folder, and no error either
        raise DataSetError(f"{card.name} wants a folder, a .csv or a .jsonl, and {root} does not exist")
    if split is None:
        return _survey(root, markup)
    if root.is_dir() and (ids := listed(root / f"{split}.txt", suffixes=True)) is not None:
        return _listed(_survey(root, markup), ids, split)
    if (root / split).is_dir():
        return _survey(root / split, markup, prefix=f"{split}/", split=split)
    raise DataSetError(f"there is neither a folder {split}/ nor a list {split}.txt in {root}")


def verify(root: str | Path) -> list[Problem]:
    """What is wrong with the labels and photos at `root`."""
    return check(card, survey, root)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces with `.pts` files for each split, one of them in a folder of its own."""
    root = Path(folder)
    for number, split in enumerate(card.splits):
        for face, name in enumerate(("one photo", "more/another photo")):
            points = draw(root / split / f"{name}.png", seed=10 * number + face)
            pts.write_points(root / split / f"{name}.pts", points)
    return root


def origin(root: str | Path, split: str | None = None, stated: Origin | None = None) -> Origin:
    """Return what is known of photos and labels: what was stated, and the terms of models behind labels.

    A model is known by its name in a `.jsonl` file, or by all terms in a file `NAME.origin` beside it.
    """
    root = Path(root).expanduser().resolve()
    own = origin_of(card, split, copy_of(root), stated)
    inner = root / split if split is not None and (root / split).is_dir() else root
    table = _table(inner) if inner.exists() else None
    return own if table is None or table.suffix.lower() != ".jsonl" else of_labels(table, own, {BY_HAND})


def _survey(root: Path, markup: str | None, prefix: str = "", split: str | None = None) -> Survey:
    markups_in(root if root.is_dir() else root.parent)  # `meanshape annotate --markup` leaves them there
    table = _table(root)
    pairs = list(_from_table(table, markup) if table else _from_pts(root, markup))
    base = table.parent if table else root
    result = Survey()
    often = Counter(without_suffix(name) for name in {source for source, _ in pairs})
    for source, found in pairs:
        if isinstance(found, FormatError):
            result.broken.append(found)
            result.expected += 1
            continue
        picture = picture_of(base, source)
        for number, face in enumerate(f for f in found.faces if f.shape is not None):
            if not is_checked(face):
                continue
            result.expected += 1
            if picture is None:
                where = f" at {base / source}: names count from the folder of the labels" if table else ""
                result.missing.append(f"{source}: no photo{where}")
                continue
            plain = without_suffix(source)
            name = plain if often[plain] == 1 else source  # a.jpg and a.png are two photos
            identity = prefix + name + (f"#{number + 1}" if number else "")
            attributes = dict(face.attributes or {})
            try:
                box = face.box if found.model == BY_HAND else _box(face.shape)
            except BoxError as error:  # points that fall together have none
                result.broken.append(FormatError(f"{identity}: {error}", table))
                continue
            result.found.append(Sample(identity, picture, face.shape, box, attributes, split))
    return result


def is_checked(face: Face) -> bool:
    """Tell whether somebody has looked at a face of a label file."""
    return (face.attributes or {}).get(CHECKED) != UNCHECKED


def _table(root: Path) -> Path | None:
    """The one label file that names photos, unless `.pts` files lie about."""
    if root.is_file():
        return root
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES)
    if tables and ending(root, ".pts"):
        if (saved := root / LABELS) in tables:
            raise DataSetError(f"{root} holds {LABELS} and .pts files; name folder:{saved}, or move one away")
        return None
    if not tables:
        return None
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataSetError(f"{root} holds {names}; name the one that is meant, as in folder:{tables[0]}")
    return tables[0]


def _from_table(table: Path, markup: str | None) -> Iterator[tuple[str, Prediction | FormatError]]:
    faults = formats.Faults()
    predictions = formats.read(table, markup, faults=faults)
    for error in faults.skipped:
        yield table.name, error
    for number, prediction in enumerate(predictions, 1):
        if not prediction.source:
            raise FormatError("names no photo (source)", path=table, line=number)
        yield _within(table, prediction.source, number), prediction


def _within(table: Path, source: str, number: int) -> str:
    """Return a source as a path from the table's folder; one that leads out of it is an error."""
    away = Path(source)
    if away.is_absolute() and away.is_relative_to(table.parent.absolute()):
        source = str(away.relative_to(table.parent.absolute()))
    name = below(source)
    if name is None:
        message = f"{source!r} is not below the folder of these labels; move or link the photos there"
        raise FormatError(message, path=table, line=number)
    return name


def _from_pts(root: Path, markup: str | None) -> Iterator[tuple[str, Prediction | FormatError]]:
    for path in ending(root, ".pts"):
        source = path.relative_to(root).with_suffix("").as_posix()
        try:
            yield source, pts.read(path, markup)[0]
        except FormatError as error:
            yield source, error


def picture_of(base: Path, source: str) -> Path | None:
    """The photo that a source names; without a suffix, whichever photo has that name."""
    name = source.replace("\\", "/")
    if found := photo(base, name):
        return found
    place = base / name
    if not place.parent.is_dir():
        return None
    return next(
        (p for p in sorted(place.parent.glob("*")) if p.stem == place.name and looks_like_picture(p)),
        None,
    )


def _box(shape: Shape | None) -> Box | None:
    """The canonical box where the points give it."""
    return None if shape is None else face_box(shape)


def _listed(everything: Survey, ids: list[str], split: str) -> Survey:
    exact = {sample.id: sample for sample in everything.found}
    short: dict[str, list[Sample]] = defaultdict(list)
    for sample in everything.found:
        short[without_suffix(sample.id)].append(sample)
    found: dict[str, Sample] = {}
    missing = []
    for i in ids:
        one = exact.get(i) or exact.get(without_suffix(i))
        these = short[i] if one is None else [one]
        found |= {sample.id: replace(sample, split=split) for sample in these}
        if not these:
            missing.append(f"{without_suffix(i)}: no photo with labels")
    expected = len(found) + len(missing)
    return Survey(list(found.values()), missing, everything.broken, expected=expected)
