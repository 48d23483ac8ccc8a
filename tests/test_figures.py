"""README, pages and cards say what the result files say; `benchmarks/tables.py` fills them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from meanshape.core import weights
from meanshape.evaluation.seen import seen

pytest.importorskip("jinja2")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(tables):
    return tables.environment().globals


def test_pages_and_cards_say_what_the_result_files_say(tables):
    found = [path.relative_to(ROOT).as_posix() for path, _, _ in tables.changes()]
    assert not found, "run python benchmarks/tables.py"


def test_a_figure_typed_by_hand_is_noticed(tables):
    templates = tables.environment()
    page = tables.filled("<!-- figures: finding -->\n<!-- figures: end -->\n", templates)
    assert "| `mtcnn` |" in page
    assert tables.filled(page.replace("100.0", "99.0"), templates) == page


def test_every_template_stands_on_a_page():
    text = "".join(path.read_text("utf-8") for path in [*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
    used = set(re.findall(r"<!-- figures: ([\w.]+)", text)) - {"end"}
    assert {path.stem for path in (ROOT / "benchmarks" / "tables").glob("*.md")} == used


def test_every_method_that_ships_stands_in_the_lineage(tables, results):
    rows = [name for name, _ in results["methods"]]
    assert {weights.shipped_card(name).method for name in weights.names()} == set(rows)
    assert rows == list(results["lineage"]["milliseconds"]) == list(results["lineage"]["training"])
    assert all(card["brought"] for _, card in results["methods"])


def test_all_that_ships_is_measured(results):
    assert set(results["validation"]) == {*weights.names(), *weights.detector_names()}
    for name, told in results["validation"].items():
        assert told["measured_on"] and (told["metrics"] or told["also"]), name


def test_what_ships_and_is_in_no_result_file_is_told_as_its_card_has_it(
    tables, results, tmp_path, monkeypatch
):
    for path in tables.RESULTS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rest = {name: told for name, told in results["validation"].items() if name != "cpr"}
    (tmp_path / "validation.json").write_text(json.dumps(rest), "utf-8")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    told, known = tables.environment().globals["validation"]["cpr"], results["validation"]["cpr"]
    assert told["by"] == "as its card says"
    assert told["metrics"] == known["metrics"] | known["also"]


def test_shipped_weights_are_measured_on_faces_that_they_have_not_learnt_from(results):
    for name, told in results["validation"].items():
        card = weights.read_card(weights.folder(name))
        faces = "ibug300w:validation" if card.markup in ("ibug68", "ibug70") else "mtfl:validation"
        if seen(card.origin.learnt_from, faces):
            assert told["by"] != "the shipped weights", name
        if "afw_true_box_nme_inter_pupil_percent" in told["metrics"]:
            assert not seen(card.origin.learnt_from, "afw"), name


@pytest.mark.parametrize("where", ["fgnet", "webmorph", "infants", "synthetic"])
def test_groups_are_of_faces_that_the_model_has_not_learnt_from(results, where):
    faces = {"infants": "infanface", "synthetic": "synthetic:validation"}.get(where, where)
    for name in results["groups"][where]:
        assert not seen(weights.read_card(weights.folder(name)).origin.learnt_from, faces), name


def test_result_files_agree_where_they_say_the_same(results):
    """Two files hold errors on the whole validation photos, and what detectors find."""
    validation = results["validation"]
    for row in results["peers"]:
        name = row["model"].removeprefix("runs/")
        told = validation.get(name, {}).get("metrics", {}).get("whole_photos_detector_box_percent")
        if row["box"] == "detector" and told is not None:
            assert row["error"] == told, name
    for row in results["detector_recall"]:
        told = validation[row["detector"]]["also"].get("found_percent_mtfl_iou_0_4")
        assert told is None or told == pytest.approx(row["found_percent_iou_0_4"])
        told = validation[row["detector"]]["also"]["false_boxes_per_people_free_photo"]
        assert told == pytest.approx(row["false_boxes"] / row["people_free_photos"], abs=5e-4)
