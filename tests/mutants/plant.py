"""Plant the faults of mutants.toml, one by one, in copies of the package; see whether the named tests notice.

    python tests/mutants/plant.py                          all of them
    python tests/mutants/plant.py --seeded 10 --by HASH    ten, drawn by the hash of a commit
    python tests/mutants/plant.py dan-inverse tcnn-head    these

A fault whose tests pass has survived: a test is missing. One whose line is not found is stale. Either ends
the run with 1. The checkout is never touched: each fault gets a copy of `src`, which its tests import.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
PACKAGE = Path("src/meanshape")
AT_ONCE = 2
PATIENCE = 900.0
"""Seconds after which tests count as killed: a fault may make them run for ever."""
FAILED = 1
"""What pytest answers where a test failed; anything above is an error of another kind."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in `file` of the package, `after` instead of `before`; `tests` must notice it."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: killed, survived, stale or broken; the seconds; what the tests printed."""

    mutant: Mutant
    fate: str
    seconds: float
    text: str = ""


def read(path: Path = LIST) -> list[Mutant]:
    """Return the mutants of a list."""
    found = tomllib.loads(path.read_text("utf-8"))["mutant"]
    return [Mutant(**{**one, "tests": tuple(one["tests"])}) for one in found]


def mutated(text: str, mutant: Mutant) -> str | None:
    """Return a source with the fault in it; None where its line does not stand there exactly once."""
    return text.replace(mutant.before, mutant.after) if text.count(mutant.before) == 1 else None


def drawn(mutants: Sequence[Mutant], count: int, by: str) -> list[Mutant]:
    """Return `count` mutants, the same for the same hash."""
    seed = int.from_bytes(hashlib.sha256(by.encode()).digest()[:8], "big")
    return random.Random(seed).sample(list(mutants), min(count, len(mutants)))


def plant(mutant: Mutant, root: Path = ROOT) -> Outcome:
    """Run a mutant's tests against a copy of the package that has the fault."""
    text = mutated((root / PACKAGE / mutant.file).read_text("utf-8"), mutant)
    if text is None:
        return Outcome(mutant, "stale", 0.0, f"{mutant.file} does not hold its line exactly once")
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(root / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        (source / "meanshape" / mutant.file).write_text(text, "utf-8")
        return run(mutant, source, root)


def run(mutant: Mutant, source: Path, root: Path = ROOT) -> Outcome:
    """Run a mutant's tests against the package in `source`."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    settings = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [*command, *mutant.tests], cwd=root, env={**os.environ, **threads, **settings},
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(mutant, "killed", time.monotonic() - began, "its tests did not come to an end")
    text = done.stdout + done.stderr
    seconds = time.monotonic() - began
    if done.returncode == FAILED:
        return Outcome(mutant, "killed", seconds, text)
    # without torch, say, tests are skipped: then nothing was looked at
    fate = "survived" if done.returncode == 0 and " passed" in text else "broken"
    return Outcome(mutant, fate, seconds, text)


def chosen(mutants: Sequence[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that the command line asks for."""
    if unknown := sorted(set(arguments.names) - {mutant.name for mutant in mutants}):
        raise SystemExit(f"no mutant is called {unknown[0]}; {LIST.name} has them all")
    some = [mutant for mutant in mutants if not arguments.names or mutant.name in arguments.names]
    return drawn(some, arguments.seeded, arguments.by) if arguments.seeded else some


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="mutants by name; none: all")
    parser.add_argument("--seeded", type=int, default=0, metavar="N", help="draw so many")
    parser.add_argument("--by", default="", metavar="HASH", help="what the draw depends on")
    return parser.parse_args()


def main() -> int:
    """Plant, tell, and return 1 unless all were killed."""
    some, began = chosen(read(), arguments()), time.monotonic()
    fates: dict[str, int] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(plant, some):
            fates[outcome.fate] = fates.get(outcome.fate, 0) + 1
            print(f"{outcome.fate:9}{outcome.seconds:6.1f} s  {outcome.mutant.name}", flush=True)
            if outcome.fate != "killed":
                print(f"          {outcome.mutant.why}\n          {' '.join(outcome.mutant.tests)}")
            if outcome.fate in ("stale", "broken"):
                print(outcome.text[-2000:])
    told = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
    print(f"{len(some)} mutants in {time.monotonic() - began:.0f} s: {told}")
    return int(set(fates) != {"killed"})


if __name__ == "__main__":
    sys.exit(main())
