"""Builds the wheel twice, compares the bytes, and tries it alone on every Python from 3.11 that is here.

    python tests/packaging/wheel_smoke.py [--out dist] [--python 3.12 …]

Each Python gets an environment of its own with the wheel and what it depends on, no extras; there, away from
the checkout and from the network, `meanshape doctor` and `meanshape detect` must do. Needs uv.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
LIMIT = 80e6
"""Bytes that the wheel may have."""
BUILD = "import sys, hatchling.build as b; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
CHECK = """
import sys
import meanshape as ms
assert "site-packages" in ms.__file__, ms.__file__
face = ms.detect(sys.argv[1]).faces[0]
assert face.shape.points.shape == (68, 2) and face.score > 0.9
assert "torch" not in sys.modules
"""


def snapshot(copy: Path) -> Path:
    """Copy what git knows or would add, without times."""
    words = ["git", "ls-files", "-co", "--exclude-standard"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (ROOT / name).is_file(), told.stdout.splitlines()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    return copy


def build(checkout: Path, out: Path) -> dict[str, str]:
    """Build wheel and sdist, and return their SHA-256."""
    out.mkdir(parents=True, exist_ok=True)
    told = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
    subprocess.run([sys.executable, "-c", BUILD, str(out.resolve())], cwd=checkout, env=told, check=True)
    made = [*out.glob("*.whl"), *out.glob("*.tar.gz")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(made)}


def build_twice(out: Path) -> Path:
    """Build twice, compare, and return the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        first = snapshot(Path(folder) / "one" / "checkout")
        second = Path(shutil.copytree(first, Path(folder) / "elsewhere", copy_function=shutil.copyfile))
        one, two = build(first, out), build(second, Path(folder) / "dist")
    assert one == two and len(one) == 2, f"not the same bytes twice: {one} {two}"
    (wheel,) = out.glob("*.whl")
    assert wheel.stat().st_size <= LIMIT, f"{wheel.name} has {wheel.stat().st_size:,} bytes"
    return wheel


def smoke(wheel: Path, version: str, folder: Path) -> dict[str, str]:
    """Install a wheel into an environment of its own and try it there; returns versions that were taken."""
    place, out = folder / version, folder / f"work-{version}"
    out.mkdir()
    run("uv", "venv", "-q", "--python", interpreter(version) or version, str(place))
    run("uv", "pip", "install", "-q", "--python", str(place), str(wheel))
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    quiet = ["unshare", "-rn"] if alone() else []  # no network at all
    run(*quiet, str(scripts / "meanshape"), "doctor", cwd=out)
    run(*quiet, str(scripts / "python"), "-c", CHECK, str(PHOTO), cwd=out)
    run(*quiet, str(scripts / "meanshape"), "detect", str(PHOTO), "-o", "a.jsonl", "--overlay", "a/", cwd=out)
    assert len(json.loads((out / "a.jsonl").read_text("utf-8"))["faces"]) == 1
    run("uv", "pip", "check", "-q", "--python", str(place))
    told = run("uv", "pip", "list", "-q", "--format", "json", "--python", str(place))
    return {row["name"]: row["version"] for row in json.loads(told)}


def alone() -> bool:
    """Tell whether a process can be run without a network."""
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def run(*words: str, cwd: Path | None = None) -> str:
    """Run a program and return what it printed; what went wrong is shown."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(words, cwd=cwd, env=plain, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def interpreter(version: str) -> str | None:
    """Return where this machine has a Python, in the path or among pyenv's; none is fetched."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python{version}")]
    for path in filter(None, found):
        if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return str(path)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", action="append")
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    wheel = build_twice(given.out)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, the same twice")
    versions = given.python or [version for version in VERSIONS if interpreter(version)]
    with tempfile.TemporaryDirectory() as folder:
        for version in versions:
            found = smoke(wheel, version, Path(folder))
            names = ("numpy", "scipy", "opencv-python-headless", "onnxruntime", "pillow", "pydantic")
            print(f"Python {version}: sound with", ", ".join(f"{name} {found[name]}" for name in names))


if __name__ == "__main__":
    main()
