"""A run goes on only with what it was begun with; what differs is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.image import read_image
from meanshape.datasets.synthetic import samples
from meanshape.training import run_folder

pytest.importorskip("torch")
pytest.importorskip("onnx")
DAN = ["sizes=[32]", "widths=[0.03125]", "features=16", "crop_size=32", "partial_share=[0.0]", "steps=[2]"]
SHORT = ["batch=4", "warmup=1", "rate=1e-6"]
DATA = ["--data", "synthetic:8@64:train", "--valid", "synthetic:4@64:validation"]


def train(out: Path, *words: str, settings: tuple[str, ...] = (), data: list[str] = DATA) -> int:
    chosen = [word for setting in (*DAN, *SHORT, *settings) for word in ("--set", setting)]
    return main(["train", "dan", *data, *chosen, "--out", str(out), *words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose checkpoints are there."""
    out = tmp_path_factory.mktemp("runs") / "dan"
    assert train(out) == 0
    assert run_folder.checkpoints(out)
    return out


def test_the_same_again_goes_on(run, capsys):
    before = weights.read_card(run).files
    assert train(run, "--resume") == 0
    assert weights.read_card(run).files == before
    assert "nothing says" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "settings", "data", "said"),
    [
        (["--seed", "3"], (), DATA, "seed was 0, now 3"),
        ([], ("features=8",), DATA, "setting.features was 16, now 8"),
        ([], ("batch=8", "warmup=2"), DATA, "setting.batch was 4, now 8; setting.warmup was 1, now 2"),
        ([], (), ["--data", "synthetic:9@64:train", *DATA[2:]], "faces was 8"),
        ([], (), ["--data", "synthetic:8@64@1:train", *DATA[2:]], "faces was 8"),
        ([], (), DATA[:2], "faces to choose by was 4"),
        (["--limit", "4"], (), DATA, "faces was 8"),
    ],
)
def test_anything_else_is_refused_by_name(run, words, settings, data, said, capsys):
    card = (run / "card.toml").read_bytes()
    assert train(run, "--resume", *words, settings=settings, data=data) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert said in error and "asked for something else" in error
    assert (run / "card.toml").read_bytes() == card


def test_other_weights_to_start_from_are_refused(run, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert train(first, "--init", str(run)) == 0
    assert train(second, "--seed", "1") == 0
    assert train(first, "--resume", "--init", str(second)) == ConfigError.exit_code
    assert "starts from.0." in capsys.readouterr().err


def test_a_run_of_an_older_version_goes_on_and_says_so(run, tmp_path, capsys):
    old = tmp_path / "old"
    assert train(old) == 0
    (old / run_folder.RECORD).unlink()
    assert train(old, "--resume") == 0
    assert "nothing says what this run was asked for" in capsys.readouterr().err
    (old / run_folder.RECORD).unlink()
    assert train(old, "--resume", settings=("widths=[0.0625]",)) == WeightsError.exit_code
    assert "a checkpoint of another network" in capsys.readouterr().err


def test_frames_of_other_faces_are_not_taken(tmp_path):
    """emotional_dan cuts them before its first checkpoint."""
    run_folder.begin(tmp_path, {"faces": "8"})
    run_folder.begin(tmp_path, {"faces": "9"})  # nothing is kept yet
    (tmp_path / "frames-train.npz").touch()
    with pytest.raises(ConfigError, match="faces was 9, now 8"):
        run_folder.begin(tmp_path, {"faces": "8"})


def test_a_torn_record_is_said(run, tmp_path):
    (tmp_path / "a.checkpoint.pt").touch()
    (tmp_path / run_folder.RECORD).write_text('{"seed": ', "utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        run_folder.begin(tmp_path, {"seed": 0})


def test_corrected_points_are_other_faces():
    faces = samples("4@48", "train")
    assert run_folder.faces(faces) == run_folder.faces(samples("4@48", "train"))
    assert run_folder.faces(faces) != run_folder.faces([*faces[:3], faces[0]])
    assert run_folder.faces(None) == run_folder.faces([])


def test_the_curves_are_drawn(run):
    pytest.importorskip("matplotlib")
    assert read_image(run / run_folder.CURVES).shape == (440, 990, 3)


def test_what_was_asked_for_is_in_the_folder(run):
    asked = json.loads((run / run_folder.RECORD).read_text("utf-8"))
    assert asked["method"] == "dan" and asked["seed"] == 0 and asked["setting"]["features"] == 16
