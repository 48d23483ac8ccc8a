"""The scripts in `examples/` do what their first line says."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meanshape.core import weights
from meanshape.datasets.synthetic.clips import clip
from meanshape.inference import choice

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


class Camera:
    """OpenCV's camera before a face that moves."""

    def __init__(self, number: int) -> None:
        self.frames = clip("moving", 4, (320, 240))

    def read(self) -> tuple[bool, Any]:
        frame = next(self.frames, None)
        return frame is not None, None if frame is None else frame.pixels[:, :, ::-1].copy()

    def release(self) -> None:
        self.frames.close()


@pytest.mark.skipif(choice.MODEL not in weights.names(), reason="the default model is not here")
def test_a_camera_is_followed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: camera, window and keyboard are no subprocess's."""
    shown: list[Any] = []
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    monkeypatch.setattr("cv2.imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr("cv2.waitKey", lambda milliseconds: -1)
    names = runpy.run_path(str(EXAMPLES / "camera.py"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(shown) == 4 and all(line.startswith("[(0, array(") for line in lines)
    last = list(clip("moving", 4, (320, 240)))[-1]
    (face,) = names["prediction"].faces
    assert np.abs(face.shape.to("ibug68").points - last.shape.points).mean() < 0.05 * face.box.size
    assert np.abs(shown[-1][:20].astype(int) - last.pixels[:20, :, ::-1]).max() == 0  # BGR, as it came


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/follow-a-video.md"])
def test_the_loop_that_pages_show_is_the_example(page: str) -> None:
    text = (EXAMPLES.parent / page).read_text("utf-8")
    (loop,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "VideoCapture" in block)
    example = (EXAMPLES / "camera.py").read_text("utf-8")
    assert loop.replace("cv2\n", "cv2\n\n", 1).rstrip() in example
    assert len(loop.split("\n")) <= 12


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


@pytest.mark.skipif(choice.MODEL not in weights.names(), reason="the default model is not here")
def test_signals_are_told_frame_by_frame(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from meanshape.inference.recorder import Recorder

    recorder = Recorder(tmp_path / "film.mp4", 25)
    for frame in clip("still", 4, (320, 240)):
        recorder.add(frame.pixels, frame.time)
    recorder.close()
    lines = run("signals.py", "film.mp4", folder=tmp_path)
    assert len(lines) == 4 and lines[3].startswith("#0 0.12 s: eyes ")
    eyes, mouth, smile, brows = (float(lines[3].split()[n]) for n in (4, 6, 8, 10))
    assert 0.8 < eyes < 1.2 and abs(mouth) < 0.1 and 0.9 < smile < 1.1 and abs(brows) < 0.03


def test_a_method_is_trained_and_measured(tmp_path: Path) -> None:
    lines = run("train_and_measure.py", "faces", "24", folder=tmp_path)
    errors = {name: float(rest.split()[0]) for name, _, rest in (line.partition(": ") for line in lines)}
    assert set(errors) == {"mean_shape", "cpr"} and errors["cpr"] < errors["mean_shape"] < 30


def test_every_script_is_tested_and_named_in_the_list() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    tests = Path(__file__).read_text("utf-8")
    assert scripts and all(f'"{name}"' in tests and f"`{name}`" in listed for name in scripts)
