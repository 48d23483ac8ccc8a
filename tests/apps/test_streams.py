"""What cannot be written to standard output is one line and an exit code; messages stop no work."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from meanshape.apps.cli import main
from meanshape.apps.cli._streams import Results
from meanshape.core.errors import OutputError

FULL = Path("/dev/full")
PHOTO = str(Path(__file__).parents[2] / "examples" / "astronaut.jpg")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["models"],
        ["models", "--help"],
        ["markups", "ibug68"],
        ["data", "list"],
        ["data", "show", "aflw"],
        ["doctor"],
        ["detect", PHOTO],
        ["detect", PHOTO, "--model", "cpr", "-o", "-"],
    ],
)
def test_a_full_disk_under_the_results(arguments, capsys, monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(arguments) == OutputError.exit_code
    said = capsys.readouterr().err
    assert said == "meanshape: standard output: cannot be written (No space left on device)\n"


def test_a_full_disk_under_the_messages(capsys, monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["detect", "--box", "9,9,500,500", PHOTO, "no.jpg"]) == 0
        assert main(["detect", "no.jpg"]) == 3
        assert main(["detct"]) == 2
    assert '"source": "' + PHOTO in capsys.readouterr().out


def test_streams_that_are_closed(capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert main(["detect", "--box", "9,9,500,500", PHOTO]) == 0
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["detect", "no.jpg"]) == 3
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("meanshape ")


def test_the_interpreter_says_nothing_more_as_it_ends():
    command = f"{sys.executable} -m meanshape"
    script = f"{command} models >/dev/full; echo $?; {command} markups none 2>/dev/full; echo $?"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["15", "7"]
    assert done.stderr == "meanshape: standard output: cannot be written (No space left on device)\n"


def test_a_reader_that_has_gone_is_told_nothing():
    with subprocess.Popen(
        [sys.executable, "-m", "meanshape", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_letters_that_the_console_has_not_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    assert main(["data", "list"]) == 0
    print("a 脸 \udce9", file=Results(sys.stdout), flush=True)
    assert raw.getvalue().decode("cp1252").rstrip().endswith(r"a \u8138 \udce9")
