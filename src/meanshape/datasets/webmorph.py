"""Face Research Lab London and Canada, and composites: portraits in even light, 189 points each (WebMorph).

    ROOT/neutral_front/001_03.jpg  001_03.pts      London: 102 people
    ROOT/canada/003f.jpg  003f.pts                 Canada: 40 people
    ROOT/composite/f_white.jpg  f_white.pts        means of several people
    ROOT/london_info.csv  canada_info.csv (face_id, face_age, face_gender, face_eth)   [validation.txt]

`.pts` files count from 1. Age, gender and ethnicity are as the people stated them.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from meanshape.core.errors import FormatError
from meanshape.datasets.parts import labelled
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.files import existing_folder
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import read_text, whole, write_text

card = load_card(__file__)

TABLES = {"neutral_front": "london_info.csv", "canada": "canada_info.csv"}
"""Who is in the photos of a folder."""


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    people = {folder: _people(existing_folder(root, card.name) / name) for folder, name in TABLES.items()}

    def who(identity: str) -> dict[str, Any]:
        folder, _, name = identity.rpartition("/")
        person = name.partition("_")[0]
        known = people.get(folder, {}).get(person, {})
        return {"person": f"{folder}/{name if folder == 'composite' else person}", **known}

    return labelled.survey(root, card, split, who)


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write a drawn face of each part in the layout of the set, and one for validation."""
    ids = ("canada/003f", "composite/f_multi", "neutral_front/001_03", "neutral_front/002_03")
    root = labelled.miniature(folder, card, ids)
    write_text(root / "london_info.csv", "face_id,face_age,face_gender,face_eth\n001,24,female,white\n")
    write_text(root / "canada_info.csv", "face_id,face_age,face_gender\n003f,19,female\n")
    return root


def _people(table: Path) -> dict[str, dict[str, Any]]:
    """What a table says of each person, by its id; nothing where there is no table, or no entry."""
    if not table.is_file():
        return {}
    people = {}
    rows = csv.DictReader(io.StringIO(read_text(table), newline=""))
    try:
        for row in rows:
            said: dict[str, Any] = {"gender": row.get("face_gender"), "ethnicity": row.get("face_eth")}
            said["age"] = max(whole(row.get("face_age") or ""), 0)
            people[row.get("face_id") or ""] = {key: value for key, value in said.items() if value}
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}", table, rows.line_num) from error
    return people
