"""LFW: 13,233 pictures of 5,749 people from the news, 250 x 250 pixels, the face in the middle (Huang et
al., 2007).

    ROOT/lfw/George_W_Bush/George_W_Bush_0001.jpg (or the people's folders in ROOT itself)
    [ROOT/peopleDevTrain.txt  peopleDevTest.txt]: a number, then lines of name and count

The set has names, no points and no boxes. MTFL and CNN_FacePoint label 5,590 of its pictures with five
points.
"""

from __future__ import annotations

from pathlib import Path

from meanshape.core.errors import DataSetError
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photo, photos, rows
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import whole, write_text

card = load_card(__file__)
LISTS = {"train": "peopleDevTrain.txt", "test": "peopleDevTest.txt"}


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    folder = first_of(root, "lfw", "lfw_funneled", "lfw-deepfunneled", "") or root
    lists = {name: _people(root, name) for name in LISTS if (root / LISTS[name]).is_file()}
    result = Survey(expected=card.expected(split))
    if split in LISTS and split not in lists:
        raise DataSetError(f"{root} holds no {LISTS[split]}, which says who is in {split}")
    if split in lists:
        for name, count in lists[split].items():
            for number in range(1, count + 1):
                identity = f"{name}/{name}_{number:04d}"
                result.take(
                    identity, photo(folder, f"{identity}.jpg"), attributes={"person": name}, split=split
                )
        return result
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        own = next((name for name, people in lists.items() if person.name in people), "all")
        for name, picture in photos(person).items():
            if name.startswith(f"{person.name}_"):
                who = {"person": person.name}
                result.take(f"{person.name}/{name}", picture, attributes=who, split=own)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write drawn faces of three people in the layout of the set."""
    root = Path(folder)
    people = {"Anna_Muster": 2, "Bo_Li": 1, "Cem_Demir": 2}
    for seed, (name, count) in enumerate(people.items()):
        for number in range(1, count + 1):
            draw(root / "lfw" / name / f"{name}_{number:04d}.jpg", 10 * seed + number)
    write_text(root / LISTS["train"], "2\nAnna_Muster\t2\nBo_Li\t1\n")
    write_text(root / LISTS["test"], "1\nCem_Demir\t2\n")
    return root


def _people(root: Path, split: str) -> dict[str, int]:
    """How many pictures there are of each person of a list."""
    lines = [words for _, words in rows(root / LISTS[split], "\t")]
    return {words[0]: whole(words[1]) for words in lines if len(words) == 2 and whole(words[1]) >= 0}
