"""Freezes an app with PyInstaller and tries it: every list, every model, faces over two processes.

    python tests/packaging/frozen_smoke.py [--out dist/frozen] [--onefile]

The app is the command line, in an environment of its own without extras. Needs uv; some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from wheel_smoke import PHOTO, ROOT, alone, build, run, snapshot

APP = """
import sys
from meanshape.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
"""
NAME = "faces"


def freeze(folder: Path, out: Path, onefile: bool) -> Path:
    """Build the app into `out` and return the program."""
    build(snapshot(folder / "checkout"), folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    place = folder / "environment"
    run("uv", "venv", "-q", "--python", sys.executable, str(place))
    run("uv", "pip", "install", "-q", "--python", str(place), str(wheel), "pyinstaller")
    (folder / f"{NAME}.py").write_text(APP, "utf-8")
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    words = ["--noconfirm", "--log-level", "WARN", "--distpath", str(out.resolve())]
    run(str(scripts / "pyinstaller"), *words, *(["--onefile"] if onefile else []), f"{NAME}.py", cwd=folder)
    return out / NAME if onefile else out / NAME / NAME


def smoke(program: Path, folder: Path) -> None:
    """Try the app away from everything."""
    words = [*(["unshare", "-rn"] if alone() else []), str(program.resolve())]
    assert "annotate" in run(*words, "--help", cwd=folder)
    assert "dan_synthetic" in run(*words, "models", cwd=folder)
    assert "wflw" in run(*words, "data", "list", cwd=folder)
    assert "self-test: tcnn" in run(*words, "doctor", cwd=folder)
    shutil.copyfile(PHOTO, folder / "copy.jpg")
    run(*words, "detect", str(PHOTO), "copy.jpg", "-o", "a.jsonl", "--workers", "2", cwd=folder)
    lines = (folder / "a.jsonl").read_text("utf-8").splitlines()
    assert [len(json.loads(line)["faces"]) for line in lines] == [1, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "frozen")
    parser.add_argument("--onefile", action="store_true")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        program = freeze(folder, given.out, given.onefile)
        (folder / "work").mkdir()
        smoke(program, folder / "work")
    size = sum(
        path.stat().st_size for path in given.out.rglob("*") if path.is_file() and not path.is_symlink()
    )
    print(f"{program}: sound, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
