"""What killed saves left beside labels is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meanshape.apps.web.folder import LOCK, Folder
from meanshape.core.locks import FileLock
from meanshape.core.markup import markup


@pytest.mark.parametrize("labels", ["jsonl", "pts"])
def test_what_killed_saves_left_is_removed_at_the_next_start(
    photos: Path, tmp_path: Path, labels: str
) -> None:
    five = tmp_path / "five"
    shutil.copytree(photos, five)
    name = next(iter(Folder(five, markup("mtfl5")).photos))
    (five / "inner").mkdir()
    shutil.copy(five / name, five / "inner" / "p.png")
    stems = ["labels"] if labels == "jsonl" else [Path(name).stem, "inner/p"]
    left = [five / Path(stem).parent / f".{Path(stem).name}.4711.140.part" for stem in stems]
    others = [five / ".other.4711.140.part", five / ".labels.part", five / f".{Path(name).stem}.x.1.part"]
    for path in left + others:
        path.write_text("torn")
    with FileLock(five / LOCK, "held"):  # somebody saves
        Folder(five, markup("mtfl5"), labels=labels)  # type: ignore[arg-type]
        assert all(path.exists() for path in left)
    Folder(five, markup("mtfl5"), labels=labels)  # type: ignore[arg-type]
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others) and not (five / LOCK).exists()
