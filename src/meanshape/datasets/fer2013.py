"""FER2013: 35,887 grey faces of 48 x 48 pixels, one of seven emotions each (Goodfellow et al., ICONIP 2013).

    ROOT/{train,validation,test}/EMOTION/*.jpg  or  ROOT/fer2013.csv (columns emotion, pixels, Usage)

There are no points and no boxes: the face fills the picture. Training faces that nearly repeat a validation
face (`fer2013_near.txt`; of the table, found by their hashes) are in neither `train` nor `trainval`; such a
validation face has the attribute `near_duplicate` "in train", the others "none".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meanshape.core import resources
from meanshape.core.errors import FormatError, suggestion
from meanshape.core.sample import Sample
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.duplicates import near_between, perceptual_hash
from meanshape.datasets.parts.files import existing_folder, photos, rows
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import read_text, whole

card = load_card(__file__)

TABLE = "fer2013.csv"
NEAR = resources.beside(__file__, "fer2013_near.txt")
"""File names of training faces, and of the validation faces that they nearly repeat."""

SIDE = 48


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    found = list(_table(root / TABLE) if (root / TABLE).is_file() else _folders(root))
    repeated, repeats = _near(found)
    wanted = [s for s in found if split is None or s.split == split or (split, s.split) in _TRAINVAL]
    result = Survey([_told(sample, repeated) for sample in wanted])
    there = {s.split for s in result.found} if split is None else {split}
    result.expected = sum(card.splits[name] for name in there if name)
    return result.leave_out(lambda sample: split is not None and sample.id in repeats)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each emotion and split."""
    root = Path(folder)
    for part, usage in enumerate(card.labels["folders"]):
        for number, emotion in enumerate(card.labels["emotion"]):
            name = "angry" if emotion == "anger" else emotion  # as it is called in the copies that are about
            for face in range(2):
                path = root / usage / name / f"{usage}_{1000 + face}.jpg"
                draw(path, seed=100 * part + 10 * number + face, size=(SIDE, SIDE), gray=True)
    return root


def emotion_of(word: str) -> str | None:
    """Our word for an emotion, or None for what is no emotion of this set."""
    word = word.strip().lower()
    return word if word in card.labels["emotion"] else card.labels["aliases"].get(word)


_TRAINVAL = {("trainval", "train"), ("trainval", "validation")}


def _near(samples: Sequence[Sample]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of validation faces that are nearly repeated in train, and of the repeats there."""
    parts = {split: [s for s in samples if s.split == split] for split in ("validation", "train")}
    if any(isinstance(sample.image, np.ndarray) for sample in samples):
        held_out, learnt = ({s.id: perceptual_hash(s.pixels()) for s in part} for part in parts.values())
        pairs = near_between(held_out, learnt)
        return frozenset(one for one, _ in pairs), frozenset(other for _, other in pairs)
    known = {word for _, words in rows(NEAR) if words[0] != "#" for word in words}
    one, other = (
        frozenset(s.id for s in part if Path(str(s.image)).stem in known) for part in parts.values()
    )
    return one, other


def _told(sample: Sample, repeated: Collection[str]) -> Sample:
    """Return a validation sample with what is known of its repetition."""
    if sample.split != "validation":
        return sample
    told = "in train" if sample.id in repeated else "none"
    return replace(sample, attributes={**sample.attributes, "near_duplicate": told})


def _folders(root: Path) -> Iterator[Sample]:
    for split, names in card.labels["folders"].items():
        for folder in sorted(f for f in root.iterdir() if f.is_dir() and f.name.lower() in names):
            for inner in sorted(f for f in folder.iterdir() if f.is_dir()):
                emotion = emotion_of(inner.name)
                if emotion is None:
                    known = (*card.labels["emotion"], *card.labels["aliases"])
                    near = suggestion(inner.name.lower(), known)
                    raise FormatError(f"no emotion is called {inner.name!r}{near}", path=inner)
                for name, path in photos(inner).items():
                    identity = f"{split}/{emotion}/{name}"
                    yield Sample(identity, path, None, None, {"emotion": emotion}, split)


def _table(path: Path) -> Iterator[Sample]:
    """Read the file as first published: a row of 2,304 grey values for each face."""
    usages = {name: split for split, names in card.labels["folders"].items() for name in names}
    emotions = dict(enumerate(card.labels["codes"]))
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        for number, row in enumerate(reader):
            try:
                pixels = np.array(row["pixels"].split(), dtype=np.uint8).reshape(SIDE, SIDE)
                emotion = emotions[whole(row["emotion"].strip())]
                split = usages[row["Usage"].strip().lower()]
            except (KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
                message = f"wanted emotion, {SIDE * SIDE} pixels and Usage: {error}"
                raise FormatError(message, path=path, line=reader.line_num) from error
            yield Sample(f"{split}/{emotion}/{number:05d}", pixels, None, None, {"emotion": emotion}, split)
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}", path, reader.line_num) from error
