"""The frame of the command line, and the commands that only tell."""

import os
import re
import shutil
import socket
import subprocess
import sys
from importlib import import_module

import pytest
import typer

from meanshape.apps.cli import main
from meanshape.apps.cli._frame import commands
from meanshape.core import errors, registry, weights
from meanshape.core.image import read_image


def test_help_lists_every_command_and_imports_none(capsys):
    script = (
        "import sys; from meanshape.apps.cli import main; main(['--help']);"
        "heavy = {'cv2', 'scipy', 'onnxruntime', 'pydantic', 'torch', 'PIL'} & set(sys.modules);"
        "heavy |= {m for m in sys.modules if m.startswith('meanshape.apps.cli.') and '._' not in m};"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, line in commands().items():
        assert name in done.stdout and line.split()[0] in done.stdout


@pytest.mark.parametrize(("line", "wanted"), [("meanshape bl", "blur"), ("meanshape blur --mo", "--mode")])
def test_a_shell_completes_commands_and_options(line, wanted):
    told = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    asked = os.environ | told | {"_MEANSHAPE_COMPLETE": "complete_bash"}
    words = [sys.executable, "-m", "meanshape"]
    done = subprocess.run(words, capture_output=True, text=True, env=asked)
    assert done.stdout.split() == [wanted], done.stderr


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_line_and_help(name, capsys):
    assert commands()[name].endswith(".") and len(commands()[name]) < 80
    assert main([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", commands())
def test_defaults_that_help_words_itself_are_those_of_nothing_said(name):
    """A default that is a value shows itself; words in its place would lie as soon as it changes."""
    command = typer.main.get_command(import_module(f"meanshape.apps.cli.{name}").app)
    every = [command, *getattr(command, "commands", {}).values()]
    worded = [p for one in every for p in one.params if isinstance(getattr(p, "show_default", None), str)]
    assert [p.name for p in worded if p.default is not None] == []


def test_wrong_usage_is_one_line_and_exit_code_2(capsys):
    for arguments, said in (
        (["detct"], "meanshape: no command is called 'detct'; did you mean 'detect'? (see meanshape --help)"),
        (["detect"], "missing argument"),
        (["detect", "x.jpg", "--min-fase", "3"], "--min-fase"),
        (["detect", "x.jpg", "--threads", "many"], "--threads"),
    ):
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert said in err and len(err.splitlines()) == 1


def test_names_that_are_something_else_are_told_what_they_are(capsys, inside):
    """What is nearest in letters is seldom what was meant: `glance` is no `facepp`, `.xlsx` no `.xml`."""
    said = {
        "data": "meanshape data: missing command",
        "detect a.jpg --model glance": "glance finds faces .* it is a detector: --detector",
        "detect a.jpg -o a.xlsx": "suffix '.xlsx'; there are: .csv, .* \\(a new folder ends with /\\)",
        "detect a.jpg -o points": "a label file has a suffix; there are: .csv, .json",
        "video a.mp4 -o a.jsonl": "-o is the video with the points drawn; points go to --points a.jsonl",
    }
    for command, wanted in said.items():
        assert main(command.split()) in (2, 5, 6, 7)
        assert re.search(wanted, capsys.readouterr().err), command


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("meanshape 0.")


def test_exit_codes_are_distinct():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.MeanshapeError)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes) and not {0, 2, 130} & set(codes)


def test_models_tells_what_may_be_sold(capsys, tmp_path, monkeypatch):
    for name, free in (("dan", "false"), ("dan_synthetic", "true")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.toml").write_text(
            f'name = "{name}"\nmethod = "dan"\nmarkup = "ibug68"\nlicence = "terms"\n'
            f"commercial_use = {free}\n"
        )
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "commercial use" in out
    (dan,) = [row.split() for row in out.splitlines() if row.split()[:1] == ["dan"] and "68" in row]
    assert "no" in dan
    for name in (*registry.names("methods"), *registry.names("detectors")):
        assert name in out


def test_markups_lists_all_and_shows_one(capsys):
    assert main(["markups"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in registry.names("markups"))
    assert main(["markups", "ibug68"]) == 0
    assert "left_mouth_corner" in capsys.readouterr().out
    assert main(["markups", "ibug86"]) == 7


def test_doctor_checks_the_weights(capsys, tmp_path, monkeypatch, model_folder):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "onnxruntime" in out and "CPUExecutionProvider" in out
    shutil.copytree(model_folder, tmp_path / "mean")
    (tmp_path / "mean" / "mean.npz").write_bytes(b"")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert main(["doctor"]) == 12
    assert "broken weights: mean" in capsys.readouterr().err


def test_the_guard_that_every_test_runs_under_stops_connections():
    with socket.socket() as looking, pytest.raises(BaseException, match="a connection to"):
        looking.connect(("192.0.2.1", 80))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["jitter", "clip.mp4", "--frames", "30"], "--frames is for rendered clips"),
        (["webcam", "--headless", "--port", "8000"], "--headless shows no page"),
    ],
)
def test_options_that_would_do_nothing_are_refused(line, said, capsys):
    assert main(line) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("width", ["abc", "-5", "0", "1e9", "99999", "²"])
def test_a_width_that_typer_could_not_use_is_one_line(width, capsys, monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", width)
    assert main(["detect", "--help"]) == errors.ConfigError.exit_code
    assert capsys.readouterr().err.startswith(f"meanshape: TERMINAL_WIDTH is {width!r}: set it to 1 to")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert main(["detect", "--help"]) == 0


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr("meanshape.apps.cli._frame.run", full)
    assert main(["models"]) == errors.MeanshapeError.exit_code
    assert "not enough memory" in capsys.readouterr().err


def test_a_photo_that_does_not_fit_into_memory_is_an_error_of_that_photo(monkeypatch, tmp_path):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr("meanshape.core.image._read_file", full)
    with pytest.raises(errors.ImageError, match=r"a\.jpg: takes more memory"):
        read_image(tmp_path / "a.jpg")


LONG = "a" * 5000
"""No system has a file of this name."""


@pytest.mark.parametrize(
    "line",
    [
        ["webcam", LONG, "--headless"],
        ["blur", LONG, "-o", "out"],
        ["data", "convert", f"{LONG}.pts", "out.csv"],
        ["merge", LONG, "-o", "out.jsonl"],
        ["export", LONG, "-o", "out.onnx"],
        ["detect", LONG],
    ],
    ids=lambda line: line[0],
)
def test_a_name_that_no_system_has_is_one_line(line, capsys, inside):
    assert main(line) not in (0, 2)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("meanshape: aaa")
