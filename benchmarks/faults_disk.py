"""Runs every command that writes on a disk without room, and in a folder that is read-only (Linux).

    unshare -rm python benchmarks/faults_disk.py [--json FILE]

`unshare` gives this process a file system of its own, in which it mounts a small one. Each command must end
with the exit code of `OutputError` and one sentence, leave an older output as it was, and nothing half but
the journal from which `--resume` goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from faults import fork, mean_model, photos

from meanshape.apps.cli import main as command
from meanshape.core import weights
from meanshape.core.errors import OutputError
from meanshape.core.image import write_image
from meanshape.formats import pts, read

OLD, PHOTO = "an older output\n", "photo.png"
FREE = (0, 4, 12, 28)
"""Kilobytes that are left on the full disk, so that runs fail early and late."""
SIZE = 512


@contextmanager
def full(free: int) -> Iterator[Path]:
    """Yield a folder on a disk with so many kilobytes left; an older output is in it."""
    folder = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}k", "tmpfs", str(folder)], check=True)
    try:
        _old(folder)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        os.truncate(filler, max(filler.stat().st_size - 1024 * free, 0))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only() -> Iterator[Path]:
    """Yield a folder that nobody may write into; an older output is in it."""
    folder = Path(tempfile.mkdtemp())
    _old(folder)
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _old(folder: Path) -> None:
    for suffix in (".csv", ".json", ".jsonl", ".parquet", ".onnx", ".svg"):
        (folder / f"out{suffix}").write_text(OLD)
    write_image(folder / PHOTO, np.zeros((48, 64, 3), np.uint8))


def commands(work: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Return by name the words of each command that writes, given the folder that it writes into."""
    points = photos(work / "photos", 30)
    for number, rows in enumerate(points):
        pts.write_points(work / "photos" / f"{number:03d}.pts", rows)
    model, data = str(mean_model(work)), f"folder:{work / 'photos'}"
    detect = ["detect", str(work / "photos"), "--model", model, "--detector", "whole_image"]
    assert fork(lambda: command([*detect, "-o", str(work / "all.jsonl")])) == 0
    part = str(work / "all.jsonl")
    made: dict[str, Callable[[Path], list[str]]] = {
        f"detect {form}": lambda to, form=form: [*detect, "-o", f"{to}/out.{form}"]  # type: ignore[misc]
        for form in ("jsonl", "csv", "parquet")
    }
    made |= {
        "detect pts": lambda to: [*detect, "-o", f"{to}/points/"],
        "detect --overlay": lambda to: [*detect, "--overlay", f"{to}/drawn/"],
        "detect --workers": lambda to: [*detect, "--workers", "2", "--overlay", f"{to}/drawn/"],
        "merge": lambda to: ["merge", part, "-o", f"{to}/out.csv"],
        "data convert": lambda to: ["data", "convert", part, f"{to}/out.json"],
        "evaluate": lambda to: ["evaluate", model, "--data", data, "--json", f"{to}/out.json"],
        "benchmark": lambda to: ["benchmark", "--model", model, "--data", data, "--report", f"{to}/report"],
        "train mean_shape": lambda to: ["train", "mean_shape", "--data", data, "--out", f"{to}/run"],
        "annotate --markup": lambda to: ["annotate", str(to), "--empty", "--markup", f"{work}/own.toml"],
    }
    (work / "own.toml").write_text('points = ["a", "b"]\nmirror = [1, 0]\ngroups = {}\n')
    if "dan" in weights.names() and find_spec("torch") is not None:
        made["export"] = lambda to: ["export", "dan", "-o", f"{to}/out.onnx", "--fp16"]
    return made


def attempt(words: list[str], folder: Path) -> dict[str, Any]:
    """Run a command in a child and say how it ended."""
    said = Path(tempfile.mkdtemp()) / "said"

    def run() -> int:
        with said.open("w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
            try:
                return command(words)
            except Exception as error:
                traceback.print_exc()
                print(f"meanshape: {type(error).__name__}: {error}", file=file)
                return 98

    code = fork(run)
    lines = [line for line in said.read_text().splitlines() if line.startswith("meanshape: ")]
    older = [path for path in folder.glob("out.*") if path.suffix != ".part"]
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {
        "code": code,
        "said": lines[-1:],
        "changed": [path.name for path in older if path.read_text(errors="replace") != OLD],
        "left": [name for name in files if not name.startswith("out.") and name not in ("filler", PHOTO)],
    }


def wrong(found: dict[str, Any]) -> bool:
    """Tell whether a command ended as it should not: with 0, if there was room, it may."""
    return found["code"] != 0 and (found["code"] != OutputError.exit_code or bool(found["changed"]))


def save_by_hand(folder: Path, work: Path) -> dict[str, Any]:
    """Save corrections until the disk is full: each is there, or was refused with a sentence."""
    from meanshape.apps.web.folder import Folder
    from meanshape.core.markup import markup

    for path in list((work / "photos").glob("*.png"))[:3]:
        try:
            (folder / path.name).write_bytes(path.read_bytes())
        except OSError:
            return {"saved": 0, "refused": 0, "photos": "no room"}
    kind, rng, saved, refused = markup("ibug68"), np.random.default_rng(0), 0, 0
    try:
        opened = Folder(folder, kind)
    except Exception as error:
        return {"saved": 0, "refused": str(error)}
    last: dict[str, Any] = {}
    for number in range(12):
        name = list(opened.photos)[number % len(opened.photos)]
        rows = rng.uniform(0, 40, (68, 2)).round(3).tolist()
        try:
            opened.save(name, opened.label(name).version, [{"points": rows}])
            last[name] = rows
            saved += 1
        except OutputError:
            refused += 1
    there = (
        {p.source: p.faces[0].shape.points.tolist() for p in read(folder / "labels.jsonl")} if saved else {}
    )
    assert there == last, "what is on the disk is not what was saved"
    return {"saved": saved, "refused": refused}


def report(quick: bool) -> dict[str, Any]:
    """Try everything and return what came of it; `quick`: each command on one full disk only."""
    work = Path(tempfile.mkdtemp())
    found: dict[str, Any] = {}
    for name, words in commands(work).items():
        for free in FREE[1:2] if quick else FREE:
            if name == "annotate --markup" and free:
                continue  # it would serve for ever
            with full(free) as folder:
                found[f"{name}, {free} kB left"] = attempt(words(folder), folder)
                if name in ("detect csv", "detect pts"):
                    (folder / "filler").unlink()
                    (folder / "out.csv").unlink()
                    assert attempt([*words(folder), "--resume"], folder)["code"] == 0
                    made = folder / "points"
                    there = list(made.glob("*.pts")) if made.exists() else read(folder / "out.csv")
                    assert len(there) == 30, f"{name}: {len(there)} of 30 after --resume"
        with read_only() as folder:
            found[f"{name}, read-only"] = attempt(words(folder), folder)
    if bad := {key: one for key, one in found.items() if wrong(one)}:
        raise SystemExit(json.dumps(bad, indent=1, ensure_ascii=False))
    for free in (8, 40, 120):
        with full(free) as folder:
            found[f"annotate, {free} kB left"] = save_by_hand(folder, work)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    found = report(given.quick)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    print(text)
    if given.json:
        given.json.write_text(text)


if __name__ == "__main__":
    main()
