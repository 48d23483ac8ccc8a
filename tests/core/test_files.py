"""Names that are names, and paths that stay in their folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from meanshape import OutputError
from meanshape.core import files
from meanshape.core.image import write_image
from meanshape.inference.outputs import Written
from meanshape.inference.recorder import Recorder

LONG = "é" * 200


@pytest.mark.parametrize("name", ["ibug68", "eyes 4", "my.points-2", "_eyes", "眼睛", "x" * 100])
def test_names_are_letters_digits_and_three_signs(name):
    assert files.is_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", ".x", "x.", " x", "x ", "a  /b", "x\n", "C:x", "x" * 101],
)
def test_paths_are_no_names(name):
    assert not files.is_name(name)


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        ("a/b.jpg", "a/b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg", "a/b.jpg"),
        ("./a/../b.jpg", "b.jpg", "b.jpg"),
        ("../b.jpg", None, "b.jpg"),
        ("a/../../b.jpg", None, "b.jpg"),
        ("/etc/b.jpg", None, "etc/b.jpg"),
        ("//host/b.jpg", None, "host/b.jpg"),
        ("a\0b.jpg", None, "ab.jpg"),
        ("\ud800a\udcff.jpg", "\ud800a\udcff.jpg", "a\udcff.jpg"),
        ("..", None, ""),
        (".", None, ""),
        ("", None, ""),
    ],
)
def test_paths_from_a_file_stay_below_their_folder(name, read, written):
    assert files.below(name) == read and files.derived(name) == written


def test_long_names_are_cut_and_stay_distinct():
    one, other = files.fitting(LONG + "a"), files.fitting(LONG + "b")
    assert one != other and len(os.fsencode(f"{one}.face2.pts")) < 255
    assert files.fitting("short") == "short"


def test_a_link_that_leads_out_is_not_written_through(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/out").symlink_to(tmp_path)
    (tmp_path / "in/loop").symlink_to("loop")
    assert files.inside(tmp_path / "in", tmp_path / "in/new/x.pts").name == "x.pts"
    for name in ("out/x.pts", "loop/x.pts"):
        with pytest.raises(OutputError, match="leads out"):
            files.inside(tmp_path / "in", tmp_path / "in" / name)


@pytest.fixture(params=[True, False])
def by_folder(request, monkeypatch):
    """Both ways: from an open folder, and, for systems without such, by checked paths."""
    if request.param and not files.BY_FOLDER:
        pytest.skip("not to be had here")
    monkeypatch.setattr(files, "BY_FOLDER", request.param)


def test_files_below_a_folder_are_read_and_written_whole(tmp_path, by_folder):
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/b.txt"):
        files.write_below(tmp_path, name, b"one")
        files.write_below(tmp_path, name, b"two")
        with files.open_below(tmp_path, name) as file:
            assert file.read() == b"two"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "b.txt", "sub"]
    for name in ("none.txt", "none/a.txt"):
        with pytest.raises(OSError):
            files.open_below(tmp_path, name)
    with pytest.raises(OSError):
        files.write_below(tmp_path, "none/a.txt", b"")


def test_no_link_pipe_or_folder_is_opened(tmp_path, by_folder):
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    (root / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe")
    for name in ("file", "out/secret", "folder", "pipe"):
        with pytest.raises(OSError):
            files.open_below(root, name)
    with pytest.raises(OSError):
        files.write_below(root, "out/secret", b"mine")
    assert (tmp_path / "secret").read_text() == "secret"


def test_what_cannot_be_written_leaves_nothing(tmp_path, by_folder, monkeypatch):
    files.write_below(tmp_path, "a.txt", b"one")

    def full(*given, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write_below(tmp_path, "a.txt", b"two")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"one"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.png", "a.mp4"])
def test_what_is_no_file_is_not_replaced(name, tmp_path):
    """An administrator would lose `/dev/null` to `-o`."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / name).symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / name, Path("/dev/null"), Path("/dev/stdout")):
        if path.exists():
            with pytest.raises(OutputError, match="a pipe or a device, which a file would replace"):
                files.beside(path)
    with pytest.raises(OutputError, match="a pipe or a device"):
        if name == "a.png":
            write_image(tmp_path / name, np.zeros((9, 9, 3), np.uint8))
        elif name == "a.mp4":
            pytest.importorskip("av")
            Recorder(tmp_path / name, 25)
        else:
            Written(tmp_path / name, ["x.jpg"], "dan")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"pipe", name})
