"""The main job on a real photo, with the weights that ship: examples/astronaut.jpg (NASA, public domain)."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.apps.cli._frame import commands
from meanshape.core import weights
from meanshape.core.image import read_image
from meanshape.detectors.mtcnn import MTCNN
from meanshape.inference import choice

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
FIVE = np.array([(203.4, 101), (246.6, 103.1), (225, 126.3), (203.1, 140), (245, 140.6)])
"""Eye centres, nose tip and mouth corners, by eye; right to about a pixel."""

shipped = pytest.mark.skipif(
    not {choice.MODEL, choice.DETECTOR} <= {*weights.names(), *weights.detector_names()},
    reason="the default weights are not here",
)
found = pytest.mark.skipif("mtcnn" not in weights.names(), reason="the weights of mtcnn are not here")


@shipped
def test_the_three_lines_of_the_readme():
    face = ms.detect(PHOTO).faces[0]
    assert face.score > 0.9 and face.shape["left_eye"].shape == (6, 2)
    assert np.abs(face.shape.to("mtfl5").points - FIVE).max() < 4
    x, y = face.shape.points.T
    assert x[0] < x[8] < x[16] and y[8] == y.max()  # the jaw goes from the picture's left to its right


@shipped
def test_the_first_command_of_the_readme(inside, capsys):
    assert main(["detect", str(PHOTO), "-o", "points.jsonl", "--overlay", "drawn/"]) == 0
    data = json.loads((inside / "points.jsonl").read_text())
    assert data["model"] == choice.MODEL and data["size"] == [512, 512] and len(data["faces"]) == 1
    drawn = read_image(inside / "drawn" / "astronaut.jpg").astype(int)
    changed = (np.abs(drawn - read_image(PHOTO)).max(2) > 60).nonzero()
    left, top, right, bottom = data["faces"][0]["box"]
    assert len(changed[0]) > 100  # and only about the face
    assert left - 30 < changed[1].min() and changed[1].max() < right + 30
    assert top - 30 < changed[0].min() and changed[0].max() < bottom + 30


@shipped
def test_prediction_needs_no_torch(inside):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        f"import meanshape as ms; assert len(ms.detect({str(PHOTO)!r}).faces) == 1"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=inside)
    assert done.returncode == 0, done.stderr


@found
def test_a_crowd_a_frame_filling_face_and_a_face_at_the_border(model_folder):
    pipeline = ms.Pipeline(model=model_folder)
    photo = read_image(PHOTO)
    head = photo[50:185, 165:285]
    assert len(pipeline(np.tile(head, (4, 5, 1))).faces) == 20
    assert len(pipeline(photo[70:185, 175:275].repeat(4, 0).repeat(4, 1)).faces) == 1
    (cut,) = pipeline(photo[:, 205:]).faces
    assert cut.box.left < 0 < cut.box.right


@found
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (12, 12), (13, 40), (40, 2000)])
def test_pictures_of_odd_sizes_have_no_face_and_no_trouble(size, model_folder):
    pipeline = ms.Pipeline(model=model_folder)
    assert pipeline(np.full((*size, 3), 90, np.uint8)).faces == ()


@found
def test_the_canonical_box_goes_around_brows_and_chin():
    (face,) = MTCNN().detect(PHOTO)
    box = MTCNN().canonical(face.box)
    wanted = ms.Box(180, 88, 271, 178)  # by eye
    assert box.iou(wanted) > 0.8
    assert np.abs(face.shape.points - FIVE).max() < 4


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readmes_commands_exist_and_their_code_runs(name, monkeypatch, capsys):
    text = (ROOT / name).read_text("utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    used = {line.split()[1] for line in lines if line.startswith("meanshape")}
    assert len(used) >= 5 and used <= set(commands())
    made = {"docs/images/astronaut.jpg"} if "dan" not in weights.names() else set()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (ROOT / link).exists() or link in made, link
    if {"dan", "mtcnn"} <= set(weights.names()):
        monkeypatch.chdir(ROOT)
        code = re.findall(r"```python\n(.*?)```", text, re.S)[0]  # a camera is wanted by the next
        exec(compile(code, name, "exec"), {})
        assert "Box(" in capsys.readouterr().out
