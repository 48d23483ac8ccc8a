"""Names that are names, and paths that stay in their folder."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from meanshape import OutputError
from meanshape.core import files
from meanshape.core.image import write_image
from meanshape.inference.outputs import FileWriter
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
    for _ in range(2):
        files.write_below(tmp_path, "new/er/a.txt", b"three", make=True)
    assert (tmp_path / "new/er/a.txt").read_bytes() == b"three"


def test_no_link_pipe_or_folder_is_opened(tmp_path, by_folder):
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe")
    before = sorted(path.name for path in root.iterdir())
    for name in ("file", "out/secret", "folder", "pipe"):
        with pytest.raises(OSError):
            files.open_below(root, name)
    for name in ("out/secret", "out/new/secret", "loop/secret", "folder", "pipe"):
        if name != "pipe" or hasattr(os, "mkfifo"):
            with pytest.raises(OSError):
                files.write_below(root, name, b"mine", make=True)
    assert (tmp_path / "secret").read_text() == "secret" and not (tmp_path / "new").exists()
    assert sorted(path.name for path in root.iterdir()) == before


@pytest.mark.skipif(not files.BY_FOLDER, reason="this system cannot hold a folder")
@pytest.mark.parametrize("swapped", ["in", "in/sub"])
@pytest.mark.parametrize("name", ["sub/a.txt", "sub/deep/a.txt"])
def test_a_folder_that_is_swapped_for_a_link_is_not_left(tmp_path, swapped, name, monkeypatch):
    """Before any call, by somebody who may write into the folder too: no byte comes where the link leads."""
    secret = tmp_path / "secret"
    refused = 0
    for moment in range(8):
        root = tmp_path / "in"
        for folder in (root / "sub/deep", secret / "deep", secret / "sub/deep"):
            folder.mkdir(parents=True)
        left = [moment]

        def before_it(call, left=left):
            def swapping(*given, **more):
                if left[0] == 0:
                    left[0] -= 1  # renaming calls none of these
                    (tmp_path / swapped).rename(tmp_path / "away")
                    (tmp_path / swapped).symlink_to(secret)
                left[0] -= 1
                return call(*given, **more)

            return swapping

        with monkeypatch.context() as patched:
            for call in ("open", "mkdir", "replace"):
                patched.setattr(os, call, before_it(getattr(os, call)))
            try:
                files.write_below(root, name, b"mine", make=True)
            except OSError:
                refused += 1
        assert not [path for path in secret.rglob("*") if path.is_file()], moment
        for path in tmp_path.iterdir():
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
    assert 0 < refused < 8  # once it is open, the folder itself is written to, wherever it lies by now


def test_text_is_added_to_files_alone(tmp_path):
    path = tmp_path / "log.txt"
    for word in ("é\n", "b\n"):
        with files.open_to_append(path) as file:
            file.write(word)
    assert path.read_bytes() == "é\nb\n".encode()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        if (tmp_path / name).exists():
            with pytest.raises(OSError):
                files.open_to_append(tmp_path / name)
    assert path.read_bytes() == "é\nb\n".encode()


def test_a_file_takes_its_place_when_it_is_whole(tmp_path, monkeypatch):
    path, secret = tmp_path / "a.txt", tmp_path / "secret"
    with files.replacing(path) as file:
        file.write(b"one")
        assert not path.exists()
    with pytest.raises(KeyError), files.replacing(path) as file:
        file.write(b"two")
        raise KeyError
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"one"]
    secret.write_bytes(b"secret")
    part = files.beside(path)
    monkeypatch.setattr(files, "beside", lambda path: part)  # somebody was quicker
    part.symlink_to(secret)
    with pytest.raises(FileExistsError), files.replacing(path) as file:
        file.write(b"mine")
    assert secret.read_bytes() == b"secret" and path.read_bytes() == b"one"


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
            FileWriter(tmp_path / name, ["x.jpg"], "dan")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"pipe", name})
