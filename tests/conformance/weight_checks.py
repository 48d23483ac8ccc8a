"""What every folder of weights must hold, as plain functions, like `checks.py`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checks import predicted

from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import WeightsError
from meanshape.core.origin import NOT_STATED
from meanshape.core.sample import Sample
from meanshape.methods.base import LandmarkModel


def reads_only_its_card(
    kind: type[LandmarkModel], folder: Path, others: Sequence[Sample], scratch: Path
) -> None:
    """A file that the card does not name is refused or never read: changed, it changes no answer."""
    card = weights.read_card(folder)
    wanted = [predicted(kind.load(folder), sample) for sample in others]
    for name in card.files:
        copy = scratch / name.replace("/", "-")
        shutil.copytree(folder, copy)
        rest = {other for other in card.files if other != name}
        weights.write_card(copy, card, rest)
        (copy / name).write_bytes(b"changed")
        try:
            found = kind.load(copy)
            points = [predicted(found, sample) for sample in others]
        except WeightsError as error:
            assert name in str(error) and "card" in str(error), f"refused, but not for {name}: {error}"
        else:
            assert np.array_equal(points, wanted), f"{name} is not on the card and changed the answer"
    weights.write_card(copy, card, [])
    try:
        kind.load(copy)
    except WeightsError:
        return
    raise AssertionError("a card without files was loaded")


def weights_card(folder: Path, free: Iterable[str] = ("synthetic",)) -> None:
    """A card names files, terms, data, command, seed, commit and metrics; free: rendered data alone."""
    card = weights.verify(folder)
    assert card.files and card.markup is not None
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"card.toml", *card.files}
    assert card.licence not in ("", NOT_STATED), "the card does not say its licence"
    for key in ("data", "learnt_from", "command", "seed", "commit", "metrics"):
        assert key in card.more and card.more[key] not in ("", [], {}), f"the card does not say its {key}"
    if card.commercial_use:
        ours = all(any(name in text for name in free) for text in map(str, card.more["data"]))
        assert ours, f"free for any use, though it learnt from {card.more['data']}"
        said = card.more.get("confidence", {})
        learnt = [*card.more["learnt_from"], *(said[key] for key in ("data", "tuned_on") if key in said)]
        theirs = [name for name in learnt if not any(name.startswith(ours) for ours in free)]
        assert not theirs, f"free for any use, though it learnt from {', '.join(theirs)}"


def gives_reference_points(
    model: LandmarkModel, image: Any, box: Box, points: Any, pixels: float = 0.1, **options: Any
) -> None:
    """The shipped file says on a stored picture what it said when it was shipped."""
    found = model.predict(image, box, **options).points
    off = np.abs(found - np.asarray(points, float)).max()
    assert off <= pixels, f"off by {off:.2f} pixels from the stored points"
