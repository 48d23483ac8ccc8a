"""The real data is found from any checkout: by name, beside it, or beside the checkout of a worktree."""

from __future__ import annotations

import pytest
from real_data import data_folder


@pytest.fixture
def unnamed(monkeypatch):
    monkeypatch.delenv("MEANSHAPE_DATA", raising=False)


def test_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MEANSHAPE_DATA", str(tmp_path))
    assert data_folder(tmp_path / "elsewhere" / "checkout") == tmp_path


def test_a_wrong_name_is_an_error_and_skips_nothing_in_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("MEANSHAPE_DATA", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="MEANSHAPE_DATA"):
        data_folder(tmp_path)


def test_beside_the_checkout(tmp_path, unnamed):
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert data_folder(tmp_path / "checkout") == tmp_path / "shared" / "data"


@pytest.mark.parametrize(
    "pointer", ["{root}/code/main/.git/worktrees/one", "../code/main/.git/worktrees/one"]
)
def test_from_a_worktree_anywhere(tmp_path, unnamed, pointer):
    (tmp_path / "code" / "shared" / "data").mkdir(parents=True)
    (tmp_path / "code" / "main" / ".git" / "worktrees" / "one").mkdir(parents=True)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {pointer.format(root=tmp_path)}\n", "utf-8")
    assert data_folder(tree).resolve() == tmp_path / "code" / "shared" / "data"


def test_nowhere(tmp_path, unnamed):
    assert data_folder(tmp_path / "checkout") == tmp_path / "shared" / "data"
