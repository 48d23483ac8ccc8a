"""Whether a model has learnt from the faces that it is measured on: then its error says nothing of others.

What weights learnt from is on their card, by data set and split. Sets that hold the same photos say so on
their own cards (`shared`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meanshape.core import registry
from meanshape.core.origin import UNKNOWN, Origin
from meanshape.datasets.parts.check import COMPOSED

MARK = "*"
NOTE = f"{MARK} has learnt from these faces: what it errs here says nothing about faces that it has not seen"

CHOSEN = "not learnt from, but these faces chose among states of the training, or settings"


def seen(learnt_from: Iterable[str], faces: str) -> bool | None:
    """Tell whether faces are among those that something has learnt from; None: nobody knows.

    Parameters
    ----------
    learnt_from : of an `Origin`
    faces : one of its names, such as "ibug300w:validation"
    """
    learnt = tuple(learnt_from)
    wanted = set(_splits(faces))
    if any(wanted & set(_splits(name)) for name in learnt):
        return True
    return None if UNKNOWN in learnt else False


def knows(origin: Origin, faces: str) -> tuple[bool | None, bool | None]:
    """Tell whether something has learnt from faces, and whether they chose among states of its training."""
    if not faces:
        return None, None
    return seen(origin.learnt_from, faces), seen(origin.chosen_by, faces) if origin.chosen_by else None


def _splits(name: str) -> Iterator[str]:
    """Yield the single splits that a name means, with those of other sets that hold the same photos."""
    copy, _, split = name.partition(":")
    known = copy.partition("@")[0]
    card = registry.card("datasets", known) if known in registry.names("datasets") else {}
    single = [one for one in card.get("splits", ()) if one not in COMPOSED] or list(card.get("splits", ()))
    parts = card.get("composed", {}).get(split) or {"trainval": ["train", "validation"]}.get(split)
    if split in ("", "all", "full") and not parts:
        parts = single
    for part in parts or [split]:
        yield f"{copy}:{part}"
        yield from card.get("shared", {}).get(part, ())
        whole = next((one for one in single if part.startswith(f"{one}_")), None)
        if whole is not None:
            yield f"{copy}:{whole}"
