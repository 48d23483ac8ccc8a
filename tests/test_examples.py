"""The scripts in `examples/` do what their first line says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SRC = EXAMPLES.parent / "src"


def run(script: str, *arguments: str, folder: Path) -> list[str]:
    """Run a script in a folder and return the lines it printed."""
    path = os.pathsep.join([str(SRC), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    shutil.copy(EXAMPLES / "astronaut.jpg", tmp_path / "photos" / "Größe 1.jpg")
    return tmp_path


def test_crops_are_cut_out(photos: Path) -> None:
    from meanshape.core.image import image_size

    (line,) = run("crops.py", "photos", "crops", folder=photos)
    assert line.startswith("Größe 1.jpg: Größe 1_0.png, score ")
    assert image_size(photos / "crops" / "Größe 1_0.png") == (112, 112)


def test_measures_are_of_a_face_with_open_eyes(photos: Path) -> None:
    (line,) = run("measures.py", "photos/Größe 1.jpg", folder=photos)
    words = line.replace(",", "").split()
    right, left = float(words[-5]), float(words[-3])
    assert 0.15 < right < 0.45 and 0.15 < left < 0.45


def test_a_method_is_trained_and_measured(tmp_path: Path) -> None:
    lines = run("train_and_measure.py", "faces", "24", folder=tmp_path)
    errors = {name: float(rest.split()[0]) for name, _, rest in (line.partition(": ") for line in lines)}
    assert set(errors) == {"mean_shape", "cpr"} and errors["cpr"] < errors["mean_shape"] < 30


def test_every_script_is_tested_and_named_in_the_list() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    tests = Path(__file__).read_text("utf-8")
    assert scripts and all(f'run("{name}"' in tests and f"`{name}`" in listed for name in scripts)
