"""What older versions wrote goes on loading: run folders, exported files and the settings of shipped models.

`folders.zip` was written by the tag `pre-house`: a small run of each method and of each setting that changes
what lies on the disk, trained on rendered faces, three exported files, and card and settings of each shipped
folder. `expected.json` holds what that version answered for `tests/conformance/face.png`. Neither is ever
written anew: a change of format that cannot read them needs a way to read the old one.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape.core import config, registry

HERE = Path(__file__).parent
CONFORMANCE = HERE.parent / "conformance"
PICTURE = CONFORMANCE / "face.png"
EXPECTED = json.loads((HERE / "expected.json").read_text("utf-8"))
PIXELS = 0.05
"""Floats may add up in another order; anything else moves points by more."""
INT8 = 0.5
"""CPUs without VNNI saturate sums of two products of int8, so that points move by 0.23 pixels there."""


def box():
    """Return the box of the face in the picture."""
    stored = json.loads((CONFORMANCE / "references.json").read_text("utf-8"))
    return ms.Box(*stored["faces"][PICTURE.name]["box"])


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The archive, unpacked."""
    goal = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(HERE / "folders.zip") as archive:
        archive.extractall(goal)
    return goal


@pytest.mark.parametrize("name", EXPECTED)
def test_an_old_folder_answers_what_it_answered(name, folders):
    model, wanted = ms.load(folders / name), EXPECTED[name]
    found = model.predict(PICTURE, box())
    assert found.markup.name == wanted["markup"]
    assert np.abs(found.points - wanted["points"]).max() <= (INT8 if "int8" in name else PIXELS)
    if "confidence" in wanted:
        assert found.confidence == pytest.approx(np.array(wanted["confidence"]), abs=0.01)
    if "labels" in wanted:
        said = model.attributes(PICTURE, box())
        assert said.keys() == wanted["labels"].keys()
        assert all(said[what] == pytest.approx(wanted["labels"][what], abs=0.01) for what in said)
    if "stages=1" in wanted:
        first = model.predict(PICTURE, box(), stages=1)
        assert np.abs(first.points - wanted["stages=1"]).max() <= PIXELS


def test_every_method_of_then_has_a_folder(folders):
    made = {tomllib.loads(card.read_text("utf-8"))["method"] for card in folders.glob("*/card.toml")}
    assert made == {
        "aam", "asm", "cpr", "dan", "dcnn", "emotional_dan", "facepp", "mean_shape", "mtcnn", "tcdcn", "tcnn",
    }  # fmt: skip


def test_the_settings_of_shipped_folders_are_read(folders):
    found = sorted(folders.glob("shipped/*/config.toml"))
    assert len(found) == 12
    for path in found:
        method = tomllib.loads(path.with_name("card.toml").read_text("utf-8"))["method"]
        config.load(registry.method(method).Config, path)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """The shipped folders of the tag, whole, from git; and the points that they gave."""
    if not shutil.which("git"):
        pytest.skip("there is no git")
    asked = ["git", "archive", "pre-house", "src/meanshape/weights", "tests/conformance"]
    done = subprocess.run(asked, cwd=HERE.parents[1], capture_output=True)
    if done.returncode:
        pytest.skip("this checkout does not have the tag pre-house")
    goal = tmp_path_factory.mktemp("shipped")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(goal, filter="data")
    return goal


def test_the_shipped_folders_of_then_answer_what_they_answered(shipped):
    stored = json.loads((shipped / "tests/conformance/references.json").read_text("utf-8"))
    folders = sorted(path.parent for path in (shipped / "src/meanshape/weights").glob("*/card.toml"))
    assert {folder.name for folder in folders} == set(stored["points"])
    for folder in folders:
        found = ms.load(folder).predict(shipped / "tests/conformance/face.png", ms.Box(*stored["box"])).points
        assert np.abs(found - stored["points"][folder.name]).max() <= PIXELS, folder.name


def test_training_goes_on_from_an_old_run_folder(folders, tmp_path, capsys):
    pytest.importorskip("torch")
    from meanshape.apps.cli import main

    asked = ["train", "dan", "--data", "synthetic:8@64:train", "--valid", "synthetic:4@64:validation"]
    like = ["sizes=[32]", "widths=[0.03125]", "features=16", "crop_size=32", "partial_share=[0.0]"]
    short = ["steps=[1]", "batch=4", "warmup=1", "rate=1e-6", "ema=0.0"]
    settings = [word for setting in (*like, *short) for word in ("--set", setting)]
    out = tmp_path / "more"
    code = main([*asked, *settings, "--init", str(folders / "dan-trained"), "--out", str(out)])
    assert code == 0, capsys.readouterr().err
    moved = ms.load(out).predict(PICTURE, box()).points - EXPECTED["dan-trained"]["points"]
    assert np.abs(moved).max() < 2
