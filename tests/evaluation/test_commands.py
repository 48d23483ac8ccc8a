"""`meanshape evaluate`, `compare` and `robustness` on miniatures."""

import json

import pytest

from meanshape.apps.cli import main
from meanshape.core.errors import DataSetError, FormatError, OutputError, UnknownName
from meanshape.datasets import ibug300w, load_data, mtfl
from meanshape.methods.mean_shape import MeanShape


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Two miniatures, and a mean shape for each."""
    root = tmp_path_factory.mktemp("evaluation")
    for module, data, split in ((ibug300w, "ibug", "train"), (mtfl, "mtfl", "train")):
        module.miniature(root / data)
        samples = load_data(f"{module.card.name}:{root / data}:{split}", allow_missing=True)
        MeanShape().fit(samples).save(root / f"mean_{data}")
    return root


@pytest.fixture
def ibug(here):
    return ["--data", f"ibug300w:{here / 'ibug'}:common", "--allow-missing"]


def test_evaluate_prints_a_table_and_writes_json(here, ibug, capsys, tmp_path):
    path = tmp_path / "result.json"
    models = [str(here / "mean_ibug"), str(here / "mean_ibug" / "..") + "/mean_ibug"]
    assert main(["evaluate", *models, *ibug, "--json", str(path)]) == 0
    results = json.loads(path.read_text("utf-8"))["results"]
    assert [(r["model"], r["data"], r["split"]) for r in results] == [
        (m, "ibug300w", "common") for m in models
    ]
    shown = capsys.readouterr().out
    assert "common" in shown and "inter_ocular" in shown
    assert f"{results[0]['nme']['inter_ocular']:.2f}" in shown
    assert results[0]["count"] == len(results[0]["errors"]) > 0
    assert main(["compare", str(path)]) == 0
    assert "cannot be told apart" in capsys.readouterr().out


def test_limit_and_several_data_sets(here, ibug, capsys, tmp_path):
    path = tmp_path / "result.json"
    more = ["--data", f"mtfl:{here / 'mtfl'}:test", "--limit", "1", "--json", str(path)]
    assert main(["evaluate", str(here / "mean_ibug"), *ibug, *more]) == 0
    first, second = json.loads(path.read_text("utf-8"))["results"]
    assert (first["count"], second["count"]) == (1, 1)
    assert (first["markup"], second["markup"]) == ("ibug68", "mtfl5")
    assert set(second["by"]) == {"gender", "glasses", "pose"}


def test_a_detector_can_be_named(here, ibug, capsys, tmp_path):
    path = tmp_path / "result.json"
    options = ["--box", "detector", "--detector", "whole_image", "--json", str(path)]
    assert main(["evaluate", str(here / "mean_ibug"), *ibug, *options]) == 0
    (found,) = json.loads(path.read_text("utf-8"))["results"]
    assert (found["box"], found["detector"]) == ("detector", "whole_image")
    assert "missed" in capsys.readouterr().out


def test_a_detector_that_would_not_be_asked_is_refused(here, ibug, capsys):
    """Its boxes were wanted, and the true ones would have been taken."""
    assert main(["evaluate", str(here / "mean_ibug"), *ibug, "--detector", "whole_image"]) == 6
    assert "--detector finds the boxes of --box detector" in capsys.readouterr().err


def test_robustness_writes_rows(here, ibug, capsys, tmp_path):
    path, plot = tmp_path / "rows.csv", tmp_path / "rows.svg"
    asked = ["robustness", str(here / "mean_ibug"), *ibug, "--only", "box", "--only", "darkness"]
    assert main([*asked, "--csv", str(path), "--plot", str(plot)]) == 0
    assert len(path.read_text("utf-8").splitlines()) == 8
    assert "shift and scale" in capsys.readouterr().out
    drawn = plot.read_text("utf-8")
    assert drawn.startswith("<svg") and all(word in drawn for word in ("darkness", "0.25", "of the light"))


def test_two_files_are_compared(here, ibug, capsys, tmp_path):
    for name in ("a", "b"):
        assert main(["evaluate", str(here / "mean_ibug"), *ibug, "--json", str(tmp_path / name)]) == 0
    capsys.readouterr()
    out = tmp_path / "both.json"
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json", str(out)]) == 0
    assert capsys.readouterr().out.startswith("ibug300w:common: ")
    assert json.loads(out.read_text("utf-8"))["comparisons"][0]["difference"] == 0
    (tmp_path / "a").write_text("{}", "utf-8")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == FormatError.exit_code


def test_mistakes_are_one_line_and_leave_nothing(here, ibug, capsys, tmp_path):
    path = tmp_path / "result.json"
    model = str(here / "mean_ibug")
    complete = [*ibug[:2], "--json", str(path)]
    assert main(["evaluate", model, *complete]) == DataSetError.exit_code  # the miniature is no whole split
    assert main(["evaluate", "mean_shap", *ibug]) == UnknownName.exit_code
    assert main(["evaluate", model, "--data", "ibug300w"]) != 0
    assert main(["evaluate", model, *ibug, "--box", "guess"]) == 2
    assert main(["evaluate", str(here / "mean_mtfl"), "--data", f"ibug300v:{here}"]) == UnknownName.exit_code
    (tmp_path / "file").touch()
    assert (
        main(["evaluate", model, *ibug, "--json", str(tmp_path / "file" / "r.json")]) == OutputError.exit_code
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 6
    assert not path.exists()
