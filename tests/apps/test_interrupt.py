"""Ctrl-C while the program is still being imported ends it without a word."""

import os
import subprocess
import sys

import pytest

ENTRY = "import meanshape.__main__ as program; raise SystemExit(program.main())"
INTERRUPTED = """
import os, signal, sys
{ignored}
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # until Python has noticed
                pass

sys.meta_path.insert(0, Interrupts())
sys.argv = ["meanshape", "--version"]
"""


USUAL = "signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored"


def run(module: str, ignored: str = USUAL) -> subprocess.CompletedProcess[str]:
    code = INTERRUPTED.format(module=module, ignored=ignored) + ENTRY
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="this system has no such signals")
@pytest.mark.parametrize(
    "module",
    [
        "meanshape.apps",
        "meanshape.apps.cli",
        "meanshape.core.errors",
        "meanshape.apps.cli._streams",
        "meanshape.apps.cli._frame",
        "typer",
    ],
)
def test_an_interrupt_while_modules_are_imported(module: str) -> None:
    done = run(module)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr in ("", "meanshape: stopped\n")


@pytest.mark.skipif(os.name == "nt", reason="this system has no such signals")
def test_an_interrupt_that_somebody_ignores_stays_ignored() -> None:
    """As `nohup` and a shell's `&` do."""
    done = run("meanshape.apps.cli", "signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert done.returncode == 0 and done.stdout.startswith("meanshape ")


def test_the_package_alone_imports_nothing_slow() -> None:
    """Whatever it imports delays the moment from which an interrupt is taken care of."""
    code = "import meanshape.__main__, sys; print(*(m for m in sys.modules if m[:5] in ('means', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["meanshape", "meanshape.__main__"]
