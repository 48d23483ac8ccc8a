"""Does every command on a card of shipped weights run at the commit that the card names? `make cards` asks.

Each command is tried in a checkout of the commit that the card names for it: options, settings and data sets
are read as a training would read them (on generated miniatures), and it is stopped where the fit would begin.
Wants git with the history, and torch.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))

from meanshape.core import weights  # noqa: E402

PROBE = """
import importlib.util, shlex, sys
from pathlib import Path

class Parsed(BaseException):
    pass

def stop(*words, **named):
    raise Parsed

def data(text):
    from meanshape.core import registry
    name, _, rest = text.partition(":")
    if name == "synthetic":
        return text
    root, _, split = rest.rpartition(":")
    module, place = registry.dataset(name), Path(name)
    if not place.exists():
        module.miniature(place)
    return f"{name}:{place}" + (f":{split}" if root else "")

words, tree = shlex.split(sys.argv[1]), Path(sys.argv[2])
if words[0] == "torchrun":
    words = words[words.index("meanshape") :]
try:
    if words[:2] == ["python", "-c"]:
        exec(words[2].replace("250", "1"), {})
        raise Parsed
    if words[0] == "python":
        import meanshape
        script = importlib.util.spec_from_file_location("script", tree / words[1])
        module = importlib.util.module_from_spec(script)
        script.loader.exec_module(module)
        meanshape.load, sys.argv = stop, words[1:]
        module.main()
    else:
        from meanshape.apps.cli import main
        from meanshape.core import registry
        kind = registry.learner(words[2]) if hasattr(registry, "learner") else registry.method(words[2])
        kind.fit = stop
        pairs = zip(words[:-1], words[1:])
        asked = [data(word) if last in ("--data", "--valid") else word for last, word in pairs]
        sys.exit(main([*asked, "--allow-missing"]))
except Parsed:
    sys.exit(0)
sys.exit("it came to its end without a fit")
"""


def names() -> tuple[str, ...]:
    """Return the names of all shipped weights."""
    return (*weights.names(), *weights.detector_names())


def commands(name: str) -> list[str]:
    """Return the commands from nothing to shipped weights, in order."""
    more = weights.read_card(weights.folder(name)).more
    return [*more.get("before", ()), str(more["command"])]


def checkout(commit: str, folder: Path) -> Path:
    """Unpack a commit, once, and return where."""
    tree = folder / commit
    if not tree.exists():
        asked = ["git", "-C", str(ROOT), "archive", commit, "src", "benchmarks"]
        done = subprocess.run(asked, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(tree, filter="data")
    return tree


def fault(commit: str, command: str, folder: Path) -> str:
    """Return what is wrong with a command at a commit; nothing, if it can be run."""
    tree = checkout(commit, folder)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, command, str(tree)],
            cwd=place, capture_output=True, text=True, timeout=300,
            env=os.environ | {"PYTHONPATH": str(tree / "src")},
        )  # fmt: skip
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no word"])[-1]


def main() -> None:
    """Try all cards, or those that are named."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or names():
            commit = str(weights.read_card(weights.folder(name)).more["commit"])
            for command in commands(name):
                found = fault(commit, command, Path(folder))
                wrong += bool(found)
                print(f"{name}, {commit}: {found or 'can be run'}: {shlex.join(shlex.split(command))[:90]} …")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
