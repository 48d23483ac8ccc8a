"""The package does what it does when it lies in a zip: nothing is listed by looking into a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import meanshape
from meanshape.apps.cli._frame import commands
from meanshape.core import registry, weights

PACKAGE = Path(meanshape.__file__).parent
PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
MODELS = {"integral", "mtcnn", "cpr"}
PACKED = MODELS | {"glance"}
LISTS = """
import json
import meanshape as ms
from meanshape.apps.cli._frame import commands
from meanshape.core import registry
from meanshape.evaluation.starts import mean_face
assert "package.zip" in ms.__file__
there = {kind: registry.names(kind) for kind in ("methods", "detectors", "datasets", "markups")}
print(json.dumps({kind: {name: registry.card(kind, name) for name in there[kind]} for kind in there}))
print(json.dumps(commands()))
assert mean_face(ms.markup("ibug68")) and registry.dataset("wflw").card.title
"""
pytestmark = pytest.mark.skipif(
    not {*weights.names(), *weights.detector_names()} >= PACKED, reason="some shipped weights are not here"
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package with a few models in a zip."""
    path = tmp_path_factory.mktemp("packed") / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(PACKAGE.rglob("*")):
            inside = file.relative_to(PACKAGE)
            heavy = inside.parts[0] == "weights" and inside.parts[1:2] and inside.parts[1] not in PACKED
            if file.is_file() and not heavy and "__pycache__" not in inside.parts:
                archive.write(file, Path("meanshape") / inside)
    return path


def run(packed: Path, folder: Path, *words: str) -> str:
    """Return what Python prints in a folder; nothing may be left in the temporary one."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    told = {**os.environ, "PYTHONPATH": str(packed), "TMPDIR": str(temporary), "TEMP": str(temporary)}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    return done.stdout


def test_no_module_looks_beside_itself() -> None:
    """What lies beside a module is found by `resources.beside`; git is asked about a checkout alone."""
    allowed = {"core/resources.py", "__pyinstaller/__init__.py", "training/run_folder.py"}
    allowed |= {"datasets/synthetic/dataset.py"}  # hands it on
    found = [
        file.relative_to(PACKAGE)
        for file in PACKAGE.rglob("*.py")
        if "Path(__file__)" in file.read_text("utf-8")
    ]
    assert {file.as_posix() for file in found} <= allowed


def test_everything_is_listed(packed: Path, tmp_path: Path) -> None:
    there, lines = map(json.loads, run(packed, tmp_path, "-c", LISTS).splitlines())
    for kind, cards in there.items():
        assert cards == {name: registry.card(kind, name) for name in registry.names(kind)}  # type: ignore[arg-type]
    assert lines == commands()


def test_faces_are_found(packed: Path, tmp_path: Path) -> None:
    """By the command, over two processes; weights are unpacked by each."""
    words = ["-m", "meanshape", "detect", str(PHOTO), "copy.jpg", "-o", "a.jsonl", "--workers", "2"]
    (tmp_path / "copy.jpg").write_bytes(PHOTO.read_bytes())
    run(packed, tmp_path, *words)
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    assert [len(one["faces"]) for one in found] == [1, 1]
    assert found[0]["faces"] == meanshape.detect(PHOTO).to_dict()["faces"]


def test_the_installation_is_sound(packed: Path, tmp_path: Path) -> None:
    said = run(packed, tmp_path, "-m", "meanshape", "doctor")
    assert all(f"self-test: {name}" in said for name in MODELS) and "package.zip" in said
