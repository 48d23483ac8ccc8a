"""Detectors read the files that the card of their weights names, and no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meanshape.core import registry, weights
from meanshape.core.errors import WeightsError


@pytest.mark.parametrize(("detector", "shipped"), [("mtcnn", "mtcnn"), ("glance", "glance")])
def test_what_the_card_does_not_name_is_refused(detector: str, shipped: str, tmp_path: Path) -> None:
    folder = weights.folder(shipped)
    card = weights.read_card(folder)
    made = registry.detector(detector)
    made(weights=str(folder))
    for gone in card.files:
        copy = tmp_path / gone
        shutil.copytree(folder, copy)
        weights.write_card(copy, card, set(card.files) - {gone})
        (copy / gone).write_bytes(b"changed")
        if gone == "confidence.npz":  # no detector reads it
            made(weights=str(copy))
            continue
        with pytest.raises(WeightsError, match=gone):
            made(weights=str(copy))
    copy = tmp_path / "none"
    shutil.copytree(folder, copy)
    weights.write_card(copy, card, [])
    with pytest.raises(WeightsError):
        made(weights=str(copy))
