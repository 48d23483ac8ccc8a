"""Who measures a model on faces that it has learnt from is told so: in the table, the report, the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.core import registry, weights
from meanshape.core.errors import ConfigError
from meanshape.core.origin import UNKNOWN, Origin
from meanshape.datasets import ibug300w, load_data, origin, synthetic
from meanshape.evaluation import compare, evaluate
from meanshape.evaluation.seen import seen
from meanshape.methods.mean_shape import MeanShape


@pytest.mark.parametrize(
    ("learnt", "faces", "wanted"),
    [
        (["ibug300w:train"], "ibug300w:train", True),
        (["ibug300w:train"], "ibug300w:validation", False),
        (["ibug300w:trainval"], "ibug300w:validation", True),
        (["ibug300w:trainval"], "ibug300w:common", False),
        (["ibug300w"], "ibug300w:common", True),
        (["ibug300w:full"], "ibug300w:challenging", True),
        (["ibug300w:full"], "ibug300w:private", False),
        (["ibug300w:train"], "ibug300w", True),
        (["cnn_facepoint:train"], "mtfl:train", True),
        (["mtfl:train"], "cnn_facepoint:trainval", True),
        (["cnn_facepoint:train"], "mtfl:validation", False),
        (["lfpw:train"], "ibug300w:train", True),
        (["lfpw:test"], "ibug300w:common", True),
        (["wflw:test_blur"], "wflw:test", True),
        (["fer2013:train"], "ibug300w:train", False),
        (["synthetic:train"], "synthetic@7:train", False),
        (["folder@a:train"], "folder@a:validation", False),
        (["folder@a"], "folder@a:train", True),
        (["folder@a"], "folder@b", False),
        (["ibug300w:train", UNKNOWN], "ibug300w:train", True),
        (["ibug300w:train", UNKNOWN], "mtfl:test", None),
        ([UNKNOWN], "mtfl:test", None),
        ([], "mtfl:test", False),
    ],
)
def test_what_counts_as_seen(learnt, faces, wanted):
    assert seen(learnt, faces) is wanted


def test_what_cards_name_is_there():
    splits = {
        f"{name}:{split}"
        for name in registry.names("datasets")
        for split in registry.card("datasets", name)["splits"]
    }
    for name in registry.names("datasets"):
        card = registry.card("datasets", name)
        assert {other for others in card.get("shared", {}).values() for other in others} <= splits, name
        assert set(card.get("shared", {})) | set(card.get("composed", {})) <= set(card["splits"]), name
    known = splits | {"synthetic@1:train", "synthetic clutter", "photos without people"}
    for name in weights.names():
        told = weights.read_card(weights.folder(name)).origin
        assert {*told.learnt_from, *told.chosen_by} <= known, name


def test_shipped_weights_and_the_validation_faces():
    """Those that were trained on everything have seen them; the others were chosen by them."""
    found = {}
    for name in weights.names():
        told = weights.read_card(weights.folder(name)).origin
        found[name] = [seen(told.learnt_from, faces) for faces in ("ibug300w:validation", "ibug300w:common")]
    assert {name for name, (validation, _) in found.items() if validation} == {
        "aam", "asm", "cpr", "dan", "emotional_dan", "exemplars", "integral",
    }  # fmt: skip
    assert not any(common for _, common in found.values())


@pytest.fixture
def run(tmp_path: Path):
    """Two splits of faces, and a model that has learnt from one of them."""
    synthetic.write(tmp_path / "faces", 4, 48, splits=("train", "validation"))
    (tmp_path / "faces" / "labels.json").unlink()
    data = f"folder:{tmp_path / 'faces'}"
    words = ["--data", f"{data}:train", "--valid", f"{data}:validation", "--out", str(tmp_path / "run")]
    assert main(["train", "mean_shape", *words]) == 0
    return tmp_path / "run", data


def results(tmp_path: Path, *words: str) -> list[dict[str, object]]:
    assert main(["evaluate", *words, "--json", str(tmp_path / "r.json")]) == 0
    found: list[dict[str, object]] = json.loads((tmp_path / "r.json").read_text("utf-8"))["results"]
    return found


def test_evaluate_marks_it(run, tmp_path, capsys):
    model, data = run
    words = [str(model), "--data", f"{data}:train", "--data", f"{data}:validation"]
    on_train, on_validation = results(tmp_path, *words)
    assert (on_train["seen"], on_train["chosen"]) == (True, False)
    assert (on_validation["seen"], on_validation["chosen"]) == (False, True)
    told = capsys.readouterr().out.split("validation: 4 faces")
    assert f"{model} *" in told[0].replace("\n", "") and "* has learnt from these faces" in told[0]
    assert "has learnt" not in told[1] and "these faces chose among states" in told[1]


def test_the_report_marks_it(run, tmp_path):
    model, data = run
    report = tmp_path / "report"
    words = ["--model", str(model), "--data", f"{data}:train", "--report", str(report)]
    assert main(["benchmark", *words]) == 0
    for name in ("report.md", "report.html"):
        text = (report / name).read_text("utf-8")
        assert f"{model} *" in text and "* has learnt from these faces" in text


def test_old_cards_are_read_for_what_they_say(tmp_path):
    ibug300w.miniature(tmp_path / "300w")
    words = [
        "--data",
        f"ibug300w:{tmp_path / '300w'}:train",
        "--allow-missing",
        "--out",
        str(tmp_path / "old"),
    ]
    assert main(["train", "mean_shape", *words]) == 0
    path = tmp_path / "old" / "card.toml"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("learnt_from")), "utf-8")
    told = weights.read_card(tmp_path / "old").origin
    assert seen(told.learnt_from, "ibug300w:train") is True
    assert seen(told.learnt_from, "ibug300w:common") is None  # an --init may have seen them


def test_what_python_measures(run):
    _, data = run
    faces = load_data(f"{data}:train")
    fresh = MeanShape().fit(faces)
    assert evaluate(fresh, faces, data="ibug300w", split="common").about.seen is None
    fresh.origin = Origin(learnt_from=("ibug300w:common",))
    found = evaluate(fresh, faces, data="ibug300w", split="common")
    assert found.about.seen is True and evaluate(fresh, faces).about.seen is None
    told = compare(found, found)
    assert told.seen == ("mean_shape", "mean_shape") and "learnt from these faces" in told.sentence
    fresh.origin = Origin(learnt_from=("ibug300w:train",))
    unseen = evaluate(fresh, faces, data="ibug300w", split="common")
    assert unseen.about.seen is False and "learnt from" not in compare(unseen, unseen).sentence


def test_robustness_says_it(run, capsys):
    model, data = run
    assert main(["robustness", str(model), "--data", f"{data}:train", "--only", "scale"]) == 0
    assert "learnt from these faces" in capsys.readouterr().err


def test_a_calibration_wants_unseen_faces(tmp_path, capsys):
    words = ["--data", "synthetic:40@48:train", "--out", str(tmp_path / "run")]
    assert main(["train", "mean_shape", *words]) == 0
    asked = ["calibrate", str(tmp_path / "run"), "--data", "synthetic:40@48:train"]
    assert main(asked) == ConfigError.exit_code
    assert "run has learnt from synthetic:train" in capsys.readouterr().err
    twin = ["--data", "synthetic:40@48@1:train", "--out", str(tmp_path / "twin")]
    assert main(["train", "mean_shape", *twin]) == 0
    assert main([*asked, "--twin", str(tmp_path / "twin")]) == 0


def test_an_exported_file_knows_it(tmp_path):
    pytest.importorskip("onnx")
    from meanshape.methods.onnx import portable

    portable.write(ms.load("tcdcn"), tmp_path / "a.onnx")
    told = ms.load(tmp_path / "a.onnx").origin
    assert seen(told.learnt_from, "mtfl:train") and seen(told.chosen_by, "mtfl:validation")
    assert origin("mtfl:x:validation").learnt_from == ("mtfl:validation",)
