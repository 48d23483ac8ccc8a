"""Which samples a folder's own lists keep apart: `validation.txt` to tune on, `exclude.txt` to train nothing
on.
"""

from __future__ import annotations

import os
from pathlib import Path

from meanshape.core.sample import Sample
from meanshape.datasets.parts.files import listed, without_suffix
from meanshape.datasets.parts.survey import Survey

EXCLUDE, VALIDATION = "exclude.txt", "validation.txt"
LEARNT_FROM = frozenset((None, "train", "validation", "trainval", "all"))
"""Splits that a training may be given; official test splits stay as published."""

ABOVE = 2
"""How many folders above the root may hold an `exclude.txt` for several data sets."""


def without_excluded(survey: Survey, root: str | Path, split: str | None) -> Survey:
    """Drop the photos that an `exclude.txt` in the root, or above it, names by their paths from its folder.

    They are copies of test photos, or of photos of other splits. Official test splits keep theirs.
    """
    if split not in LEARNT_FROM or not (names := _excluded(Path(root).expanduser())):
        return survey
    return survey.leave_out(lambda sample: _place(sample) in names)


def validation_ids(*folders: Path, name: str = VALIDATION) -> frozenset[str]:
    """Return the ids in the validation list of the first folder that has one; none without a list."""
    return next((frozenset(ids) for folder in folders if (ids := listed(folder / name))), frozenset())


def _excluded(root: Path) -> frozenset[str]:
    """Return the photos of all lists, as absolute paths without suffixes."""
    folder = Path(os.path.abspath(root if root.is_dir() else root.parent))  # noqa: PTH100 - links stay links
    return frozenset(
        os.path.normpath(above / name)
        for above in (folder, *folder.parents[:ABOVE])
        for name in listed(above / EXCLUDE) or ()
    )


def _place(sample: Sample) -> str | None:
    """Return where a sample's photo lies, without suffix; None for one that is in no file of its own."""
    if not isinstance(sample.image, str | Path):
        return None
    return without_suffix(os.path.abspath(sample.image))  # noqa: PTH100
