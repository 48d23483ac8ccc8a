"""Reading the folders of 300-W: photos and `.pts` files side by side, in parts such as `lfpw/trainset`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import DataSetCard, Part
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, labels_in, listed, photos
from meanshape.datasets.parts.reader import Samples, Surveyor, Verify, reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts
from meanshape.formats.text import write_text

Miniature = Callable[[str | Path], Path]
MADE_OF = {
    "validation": ("train",),
    "trainval": ("train",),
    "all": ("train", "test"),
    "full": ("common", "challenging"),
}
"""Splits that are drawn from the folders of others."""


def by_card(card: DataSetCard) -> tuple[Surveyor, Samples, Verify, Miniature]:
    """Make the four functions of a module whose card says all that is its own."""

    def survey_it(root: str | Path, split: str | None = None) -> Survey:
        """Look for a split and say what is missing."""
        return survey(root, card, split)

    def miniature_it(folder: str | Path) -> Path:
        """Write a few drawn faces in the layout of the set, with lists for train and validation."""
        return miniature(folder, card)

    return survey_it, *reader(card, survey_it), miniature_it


def survey(root: str | Path, card: DataSetCard, split: str | None) -> Survey:
    """Look for the samples of a split (None: of every part that is there), ordered by part and name.

    Where lists name the samples of the split, they are the truth about what should be there; else the card
    is.
    """
    card.check_split(split)
    root = existing_folder(root, card.name)
    validation = listed_in(root, card, "validation") or []
    wanted = _wanted(root, card, split, validation) if split else None
    held_out = frozenset(validation)
    without = held_out if split == "train" else frozenset()
    result = Survey()
    for part in card.parts:
        if split is None and place(root, part) is None:
            continue
        if split is None or part.split in MADE_OF.get(split, (split,)):
            result.add(_survey_part(root, part, card, wanted, without))
    result.found = [replace(s, split="validation") if s.id in held_out else s for s in result.found]
    return result


def listed_in(root: Path, card: DataSetCard, name: str) -> list[str] | None:
    """Ids of the list `name.txt` in the root (or above it, for a root that is one part) that belong to the
    set.
    """
    for folder in (root, root.parent):
        own = [i for i in listed(folder / f"{name}.txt") or () if _owner(i, card)]
        if own:
            return own
    return None


def place(root: Path, part: Part) -> Path | None:
    """The folder of a part below the root, if there is one."""
    for name in (part.folder, *part.also):
        folder = root / name
        if folder.is_dir() and (name != "." or labels_in(folder, ".pts")):
            return folder
    return None


def pairs(folder: Path) -> Iterator[tuple[str, Path | None, Path | None]]:
    """Name, label file and photo of each sample in a folder; either may be missing."""
    pictures = photos(folder)
    labels = {path.stem: path for path in labels_in(folder, ".pts")}
    for name in sorted(pictures.keys() | labels.keys()):
        yield name, labels.get(name), pictures.get(name)


def _wanted(root: Path, card: DataSetCard, split: str, validation: list[str]) -> list[str] | None:
    """The ids that lists in the folder name for a split; None where the folders themselves are the truth."""
    if split == "validation":
        if not validation:
            raise DataSetError(
                f"{card.name} has no official validation split, and {root} holds no validation.txt"
            )
        return validation
    if split not in ("train", "trainval", "all"):
        return listed_in(root, card, split)
    train = listed_in(root, card, "train") if split != "all" else None
    if train is None:
        return None
    held_out = set(validation)
    return [i for i in train if i not in held_out] if split == "train" else sorted({*train, *held_out})


def _survey_part(
    root: Path, part: Part, card: DataSetCard, wanted: list[str] | None, without: Collection[str]
) -> Survey:
    """Look for the samples of one part: the wanted ones, or all but those `without`."""
    folder = place(root, part)
    here = {f"{part.folder}/{name}": rest for name, *rest in pairs(folder)} if folder else {}
    if wanted is None:
        held_out = sum(_owner(i, card) is part for i in without)
        # A photo that nobody labelled is no sample: AFW comes with some.
        names = [i for i, (label, _) in here.items() if label and i not in without]
        result = Survey(expected=max(part.count - held_out, 0))
    else:
        names = [i for i in wanted if _owner(i, card) is part]
        result = Survey(expected=len(names))
    for identity in names:
        label, picture = here.get(identity, (None, None))
        if label and picture:
            _read(identity, label, picture, part.split, card, result)
        else:
            lack = "no photo" if label else "no .pts" if picture else "neither photo nor .pts"
            result.missing.append(f"{identity}: {lack}")
    return result


def _read(identity: str, label: Path, picture: Path, split: str, card: DataSetCard, result: Survey) -> None:
    """Read one face; its box is the tight box of its points."""
    try:
        points = pts.read_points(label, count=68)
    except FormatError as error:
        result.broken.append(error)
        return
    shape = Shape(points, card.markup or "")
    result.found.append(Sample(identity, picture, shape, Box.around(points), {}, split))


def _owner(identity: str, card: DataSetCard) -> Part | None:
    folder = identity.rpartition("/")[0]
    return next((p for p in card.parts if p.folder == folder), None)


def miniature(folder: str | Path, card: DataSetCard, faces: int = 3) -> Path:
    """Write `faces` drawn faces into each part; of those for training, the last is listed for validation."""
    root = Path(folder)
    lists: dict[str, list[str]] = {"train": [], "validation": []}
    for number, part in enumerate(card.parts):
        suffix = ".png" if part.folder.startswith(("lfpw", "300W")) else ".jpg"
        for face in range(faces):
            identity = f"{part.folder}/image_{face + 1:04d}"
            points = draw(root / f"{identity}{suffix}", seed=100 * number + face)
            pts.write_points(root / f"{identity}.pts", points)
            if part.split == "train":
                lists["validation" if face == faces - 1 else "train"].append(identity)
    for name, ids in lists.items():
        write_text(root / f"{name}.txt", "".join(f"{i}\n" for i in ids))
    return root
