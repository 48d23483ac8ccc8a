"""Where the real photos lie that tests marked `data` measure on; `conftest.py` skips these without them."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def data_folder(checkout: Path = CHECKOUT) -> Path:
    """Return the folder of `MEANSHAPE_DATA`, else `../shared/data` of the checkout.

    A git worktree may lie anywhere: for one, the folder beside the main checkout counts as well.
    """
    if named := os.environ.get("MEANSHAPE_DATA"):
        if not Path(named).is_dir():
            raise FileNotFoundError(f"MEANSHAPE_DATA names {named}, and there is no such folder")
        return Path(named)
    beside = [one.parent / "shared" / "data" for one in (checkout, *_main_checkout(checkout))]
    return next((folder for folder in beside if folder.is_dir()), beside[0])


def _main_checkout(checkout: Path) -> list[Path]:
    """Return the checkout that a worktree belongs to, if it is one."""
    pointer = checkout / ".git"
    if not pointer.is_file():
        return []
    git = Path(pointer.read_text("utf-8").strip().removeprefix("gitdir: "))  # MAIN/.git/worktrees/NAME
    return [(checkout / git).parents[2]]


DATA = data_folder()
