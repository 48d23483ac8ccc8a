"""Names of files and words in them steer no terminal."""

import shutil
import sys
from pathlib import Path

import pytest

from meanshape.apps.cli import _console, main

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
NAME = "\x1b]0;pwned\x07\x9b31m\u202egpj.jpg"
SHOWN = r"\x1b]0;pwned\x07\x9b31m\u202egpj.jpg"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no file may be called so")
def test_a_broken_photo_is_named_in_escapes(tmp_path, capsys):
    (tmp_path / NAME).write_bytes(b"no picture")
    main(["detect", str(tmp_path), "-o", str(tmp_path / "out.jsonl")])
    said = capsys.readouterr().err
    assert SHOWN in said and "\x1b" not in said


@pytest.mark.parametrize("arguments", [["detect", NAME], ["data", "convert", "x.csv", "y.csv", NAME]])
def test_so_is_what_went_wrong(arguments, capsys):
    assert main(arguments) != 0
    said = capsys.readouterr().err
    assert SHOWN in said and "\x1b" not in said


def test_so_is_what_is_shown(capsys):
    _console.show(f"duplicate: {NAME}\tand\nanother")
    _console.grid([[NAME, "é 中"]], ["model", "points"])
    out = capsys.readouterr().out
    assert out.count(SHOWN) == 2 and "\x1b" not in out
    assert "\tand\nanother" in out and "é 中" in out


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no file may be called so")
def test_so_is_a_photo_that_is_told_of_on_a_terminal(tmp_path, capsys, monkeypatch):
    shutil.copy(PHOTO, tmp_path / NAME)
    monkeypatch.setattr("meanshape.apps.cli._streams.Results.isatty", lambda self: True)
    main(["detect", str(tmp_path / NAME), "--model", "cpr"])
    out = capsys.readouterr().out
    assert f"{SHOWN}: 1 face" in out and NAME not in out
