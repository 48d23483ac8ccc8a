"""Reading folders of photos with `.pts` files beside them, in a mark-up that the data set's card names.

`validation.txt` in the root holds the ids of samples to tune on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from meanshape.core.errors import DataSetError
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.datasets.parts.boxes import canonical_box_of
from meanshape.datasets.parts.card import DataSetCard
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, labels_in, photos
from meanshape.datasets.parts.held_out import VALIDATION, validation_ids
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts
from meanshape.formats.text import write_text

Attributes = Callable[[str], Mapping[str, Any]]


def survey(root: str | Path, card: DataSetCard, split: str | None, attributes: Attributes) -> Survey:
    """Look for a split; `attributes` gives those of a sample by its id, the path of its photo in the root."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    held_out = validation_ids(root)
    if split == "validation" and not held_out:
        raise DataSetError(f"{card.name} has no official validation split, and {root} holds no {VALIDATION}")
    tuned = "train" in card.splits
    result = Survey()
    for folder in sorted({label.parent for label in labels_in(root, ".pts", below=True)}):
        pictures = photos(folder)
        for label in labels_in(folder, ".pts"):
            identity = label.relative_to(root).with_suffix("").as_posix()
            own = ("validation" if identity in held_out else "train") if tuned else next(iter(card.splits))
            if split in (None, "trainval", "all", own):
                result.expected += 1
                shape = partial(_shape, label, card.markup or "")
                who = attributes(identity)
                picture = pictures.get(label.stem)
                result.take(identity, picture, shape, who, own, canonical=canonical_box_of)
    return result


def _shape(label: Path, name: str) -> Shape:
    return Shape(pts.read_points(label, count=len(markup(name))), name)


def miniature(folder: str | Path, card: DataSetCard, ids: tuple[str, ...]) -> Path:
    """Write a drawn face for each id; where the set has a train split, the last is listed for validation."""
    root = Path(folder)
    for number, identity in enumerate(ids):
        points = draw_as(root / f"{identity}.jpg", number, card.markup or "")
        pts.write_points(root / f"{identity}.pts", points)
    if "train" in card.splits:
        write_text(root / VALIDATION, f"{ids[-1]}\n")
    return root
