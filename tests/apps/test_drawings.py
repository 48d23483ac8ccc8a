"""Drawings of mark-ups: what may be where one is to be written."""

import os
from pathlib import Path

import pytest

from meanshape.apps.cli import main


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_drawing_is_written_beside_its_place(suffix: str, tmp_path: Path) -> None:
    """So that a link leads nowhere, and a pipe or a device stays what it is."""
    (tmp_path / "precious").write_text("as it was")
    (tmp_path / f"a{suffix}").symlink_to("precious")
    assert main(["data", "show", "mtfl", "-o", str(tmp_path / f"a{suffix}")]) == 0
    assert (tmp_path / "precious").read_text() == "as it was"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / f"b{suffix}")
        assert main(["data", "show", "mtfl", "-o", str(tmp_path / f"b{suffix}")]) == 15
        assert (tmp_path / f"b{suffix}").is_fifo()
