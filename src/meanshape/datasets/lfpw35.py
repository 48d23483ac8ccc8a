"""LFPW as first published: addresses of 1,432 photos with the 35 points of three workers and their mean
(Belhumeur et al., 2011).

    ROOT/kbvt_lfpw_v1_train.csv  kbvt_lfpw_v1_test.csv: imgURL, worker, x y label of each point (by tabs)
    ROOT/train/…  ROOT/test/…: the photos that could be fetched

Only the rows of the worker `average` are read. Photos were never distributed: they are looked for as
`0001.jpg` (the number of the photo in its list) or under the last part of their address. The set with the 68
points of iBUG, where 1,035 photos survive, is `lfpw`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, photos, rows, without_suffix
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats.text import finite, write_text

card = load_card(__file__)
MARKUP, POINTS = "lfpw35", 35
TABLE = "kbvt_lfpw_v1_{}.csv"


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    there = [name for name in ("train", "test") if (root / TABLE.format(name)).is_file()]
    result = Survey(expected=card.expected(split))
    for part in [split] if split else there or ["train"]:
        table, folder = root / TABLE.format(part), root / part
        pictures = photos(folder) if folder.is_dir() else {}
        averages = [(n, words) for n, words in _rows(table) if words[1] == "average"]
        for count, (number, words) in enumerate(averages, 1):
            address = without_suffix(unquote(urlsplit(words[0]).path).rpartition("/")[2])
            picture = pictures.get(f"{count:04d}") or pictures.get(address)
            shape = partial(_shape, table, number, words[2:])
            result.take(f"{part}/{count:04d}", picture, shape, {"address": words[0]}, part)
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each split, named by number and by address, and their tables."""
    root = Path(folder)
    for part, split in enumerate(("train", "test")):
        lines = ["\t".join(["imgURL", "worker", *(f"pt_{i}_{a}" for i in range(POINTS) for a in "xyt")])]
        for number, name in enumerate(("0001.jpg", "an%20address.jpg")):
            path = root / split / unquote(name)
            points = draw_as(path, 10 * part + number, MARKUP)
            cells = [f"{value:g}" for x, y in points for value in (x, y, number)]
            address = f"http://example.org/photos/{name}"
            lines += ["\t".join([address, worker, *cells]) for worker in ("worker_1", "average")]
        write_text(root / TABLE.format(split), "\n".join(lines) + "\n")
    return root


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row but the header."""
    for number, words in rows(table, "\t"):
        if len(words) != 2 + 3 * POINTS:
            message = f"wanted an address, a worker and x y label of {POINTS} points, got {len(words)} cells"
            raise FormatError(message, table, number)
        if number > 1:
            yield number, words


def _shape(table: Path, number: int, words: list[str]) -> Shape:
    values = np.array([finite(word, table, number) for word in words]).reshape(POINTS, 3)
    return Shape(values[:, :2], MARKUP, visible=values[:, 2] == 0)
