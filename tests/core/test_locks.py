"""A lock holds others off, in this process and in others, and is gone with whoever held it."""

import os
import subprocess
import sys
import threading

import pytest

from meanshape import OutputError
from meanshape.core.locks import FileLock


def test_one_holds_it_at_a_time(tmp_path):
    path = tmp_path / ".lock"
    with FileLock(path, "taken"), pytest.raises(OutputError, match="taken"):
        FileLock(path, "taken")
    assert not path.exists()
    FileLock(path, "taken").release()


def test_it_counts_right_among_many_threads(tmp_path):
    """Also while the file is removed and made anew between them."""
    count = [0]

    def work():
        for _ in range(20):
            with FileLock(tmp_path / ".lock", "taken", seconds=60):
                before = count[0]
                tmp_path.stat()
                count[0] = before + 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == [120] and not list(tmp_path.iterdir())


def test_a_process_that_dies_holds_nothing(tmp_path):
    script = (
        "import sys; from pathlib import Path; from meanshape.core.locks import FileLock;"
        "lock = FileLock(Path(sys.argv[1]), 'taken'); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="taken"):
            FileLock(tmp_path / ".lock", "taken")
        other.kill()
        other.wait()
    FileLock(tmp_path / ".lock", "taken").release()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/.lock").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="cannot be written"):
        FileLock(tmp_path / "in/.lock", "taken")
    assert not (tmp_path / "out").exists()
