"""What type checkers say of code that uses the package: examples, the README's lines, and mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import meanshape as ms

pytest.importorskip("mypy")
ROOT = Path(__file__).parents[1]

RIGHT = """
from collections.abc import Iterator

import meanshape as ms
from typing import assert_type
from numpy.typing import NDArray
import numpy as np

pipeline = ms.Pipeline(min_face=80, color="bgr", turns="none")
assert_type(pipeline("a.jpg"), ms.LandmarkPrediction)
assert_type(pipeline(["a.jpg", b"bytes"]), list[ms.LandmarkPrediction])
assert_type(pipeline.stream("photos"), Iterator[ms.LandmarkPrediction])
assert_type(ms.detect("a.jpg", model="dan").faces[0].shape, ms.Shape)
assert_type([face.shape["mouth"] for face in ms.Tracker(pipeline)("a.jpg").faces], list[NDArray[np.float64]])
for frame, prediction in ms.follow(0, every=5, smoothing="none"):
    assert_type(frame, NDArray[np.uint8])
    assert_type(prediction, ms.LandmarkPrediction)
anything: ms.Prediction = prediction  # whoever takes any prediction takes this one
read = ms.Prediction.from_dict({})
if (shape := read.faces[0].shape) is not None:  # labels that were read may have none
    print(shape["nose"])
"""
WRONG = {
    'ms.detect("a.jpg", colour="bgr")': "call-overload",
    'ms.detect("a.jpg", color="grb")': "call-overload",
    'ms.Pipeline(turns="sometimes")': "arg-type",
    "ms.Pipeline().with_settings(emotion=True)": "call-arg",
    'ms.Tracker(smoothing="euro")': "arg-type",
    "ms.follow(0, min_faces=3)": "call-arg",
    'ms.align("a.jpg", ms.detect("a.jpg").faces[0], template="arcfase")': "arg-type",
    'ms.Prediction.from_dict({}).faces[0].shape["nose"]': "index",
}
"""A line, and what mypy calls the mistake in it."""


def mypy(*files: Path) -> list[str]:
    """Return what mypy says of files, strictly."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml", *files],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


@pytest.mark.slow
def test_examples_and_the_lines_of_the_readme_are_typed(tmp_path: Path) -> None:
    """And mistakes are found: a check that says nothing of them would hold nothing."""
    files = [*(ROOT / "examples").glob("*.py"), tmp_path / "right.py", tmp_path / "wrong.py"]
    (tmp_path / "right.py").write_text(RIGHT, "utf-8")
    (tmp_path / "wrong.py").write_text("\n".join(["import meanshape as ms", *WRONG]) + "\n", "utf-8")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    for number, block in enumerate(blocks):
        files.append(tmp_path / f"readme{number}.py")
        files[-1].write_text(block, "utf-8")
    assert len(blocks) >= 2
    said = mypy(*files)
    assert [line for line in said if "wrong.py" not in line] == []
    found = dict(re.findall(r"wrong\.py:(\d+): error: .*\[([\w-]+)\]$", "\n".join(said), re.M))
    assert found == {str(number): kind for number, kind in enumerate(WRONG.values(), 2)}


def test_the_types_for_checkers_are_the_classes() -> None:
    assert ms.LandmarkFace is ms.Face and ms.LandmarkPrediction is ms.Prediction
