"""The user's own photos with `.pts` files beside them, or named in a CSV or JSON Lines file.

    ROOT/**/photo.jpg  ROOT/**/photo.pts      any depth; or
    ROOT/labels.csv (or .jsonl)  ROOT/…       photos as the file names them, from its folder; or
    ROOT = labels.csv (or .jsonl)             the same

Any mark-up will do: a file says which, or `markup=` does, or the number of points leaves no choice. Splits
are the folders `train`, `validation`, `test` in the root, or lists of ids (`train.txt` …) there. A label
file with a split of its own is a root of its own: `folder:train.csv`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from meanshape import formats
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.markup import load_markup
from meanshape.core.types import Box, Prediction, Sample, Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.check import Problem, check
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import PHOTOS, listed, photo, without_suffix
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import csv, pts

card = load_card(__file__)

TABLES = (".csv", ".jsonl")
BY_HAND = "corrected by hand"
"""The model of labels that `meanshape annotate` saves: their boxes are canonical, whatever the mark-up."""


def samples(
    root: str | Path, split: str | None = None, *, allow_missing: bool = False, markup: str | None = None
) -> list[Sample]:
    """Read all labelled faces, or those of a split."""
    result = survey(root, split, markup)
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
    if root.is_dir() and (ids := listed(root / f"{split}.txt")) is not None:
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


def _survey(root: Path, markup: str | None, prefix: str = "", split: str | None = None) -> Survey:
    for own in sorted((root if root.is_dir() else root.parent).glob("*.toml")):
        if b"points" in own.read_bytes():
            load_markup(own)  # labels made with `meanshape annotate --markup` bring their mark-up along
    table = _table(root)
    pairs = _from_table(table, markup) if table else _from_pts(root, markup)
    base = table.parent if table else root
    result = Survey()
    for source, found in pairs:
        if isinstance(found, FormatError):
            result.broken.append(found)
            result.expected += 1
            continue
        picture = _picture(base, source)
        for number, face in enumerate(f for f in found.faces if f.shape is not None):
            result.expected += 1
            if picture is None:
                result.missing.append(f"{source}: no photo")
                continue
            identity = (
                prefix + without_suffix(source.replace("\\", "/")) + (f"#{number + 1}" if number else "")
            )
            attributes = dict(face.attributes or {})
            box = face.box if found.model == BY_HAND else _box(face.shape)
            result.found.append(Sample(identity, picture, face.shape, box, attributes, split))
    return result


def _table(root: Path) -> Path | None:
    """The one label file that names photos, unless `.pts` files lie about."""
    if root.is_file():
        return root
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES)
    if not tables or any(root.rglob("*.pts")):
        return None
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataSetError(f"{root} holds {names}; name the one that is meant, as in folder:{tables[0]}")
    return tables[0]


def _from_table(table: Path, markup: str | None) -> Iterator[tuple[str, Prediction]]:
    predictions = csv.read(table, markup) if table.suffix.lower() == ".csv" else formats.read(table, markup)
    for number, prediction in enumerate(predictions, 1):
        if not prediction.source:
            raise FormatError("names no photo (source)", path=table, line=number)
        yield prediction.source, prediction


def _from_pts(root: Path, markup: str | None) -> Iterator[tuple[str, Prediction | FormatError]]:
    for path in sorted(root.rglob("*.pts")):
        source = path.relative_to(root).with_suffix("").as_posix()
        try:
            yield source, pts.read(path, markup)[0]
        except FormatError as error:
            yield source, error


def _picture(base: Path, source: str) -> Path | None:
    """The photo that a source names; without a suffix, whichever photo has that name."""
    name = source.replace("\\", "/")
    if found := photo(base, name):
        return found
    place = base / name
    if not place.parent.is_dir():
        return None
    return next(
        (p for p in sorted(place.parent.glob("*")) if p.stem == place.name and p.suffix.lower() in PHOTOS),
        None,
    )


def _box(shape: Shape | None) -> Box | None:
    """The canonical box where the points give it."""
    return shape.box() if shape is not None and shape.markup.name == "ibug68" else None


def _listed(everything: Survey, ids: list[str], split: str) -> Survey:
    here = {sample.id: sample for sample in everything.found}
    found = [here[i] for i in ids if i in here]
    missing = [f"{i}: no photo with labels" for i in ids if i not in here]
    found = [replace(sample, split=split) for sample in found]
    return Survey(found, missing, everything.broken, len(ids))
