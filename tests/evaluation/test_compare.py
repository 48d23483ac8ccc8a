"""Which of two is better, and whether that can be said."""

import json

import numpy as np
import pytest
from known_faces import Oracle, faces

from meanshape.apps.cli import main
from meanshape.core.errors import DataSetError, FormatError
from meanshape.evaluation import compare, evaluate


def result(errors, model, **more):
    """A result of the schema, as far as a comparison reads it."""
    found = {f"face{i}": value for i, value in enumerate(errors)}
    return {"model": model, "data": "drawn", "split": None, "norm": "inter_ocular", "errors": found, **more}


def test_a_constant_lead_is_certain():
    errors = np.random.default_rng(0).uniform(3, 9, 50)
    found = compare(result(errors, "a"), result(errors + 1, "b"))
    assert found.difference == pytest.approx(-1)
    assert found.interval == pytest.approx((-1, -1))
    assert (found.count, found.wins, found.decided) == (50, 100, True)
    assert found.sentence.startswith("a is better than b on 50 faces: ")
    assert "1.00, " in found.sentence and "outer eye corners" in found.sentence


def test_pairs_see_what_means_do_not():
    rng = np.random.default_rng(0)
    errors = rng.exponential(5, 200)
    found = compare(result(errors, "a"), result(errors + rng.normal(0.1, 0.3, 200), "b"))
    low, high = found.interval
    assert low < -0.1 < high < 0
    assert high - low == pytest.approx(2 * 1.96 * 0.3 / np.sqrt(200), rel=0.25)


def test_chance_is_called_chance():
    rng = np.random.default_rng(0)
    found = compare(result(rng.uniform(3, 9, 30), "a"), result(rng.uniform(3, 9, 30), "b"))
    assert not found.decided
    assert "cannot be told apart" in found.sentence


def test_turning_it_round_turns_the_signs():
    rng = np.random.default_rng(0)
    one, other = result(rng.uniform(3, 9, 30), "a"), result(rng.uniform(5, 11, 30), "b")
    first, second = compare(one, other), compare(other, one)
    assert first.difference == pytest.approx(-second.difference)
    assert first.interval == pytest.approx((-second.interval[1], -second.interval[0]))
    assert first.wins == pytest.approx(100 - second.wins)
    assert " better " in first.sentence and " worse " in second.sentence


def test_only_faces_that_both_measured_count():
    found = compare(result([1, 2, None, 4], "a"), result([2, None, 3, 5, 9], "b"))
    assert (found.count, found.first, found.second) == (2, 2.5, 3.5)


def test_evaluations_compare_themselves(samples):
    def off(pixels):
        return evaluate(Oracle(samples, lambda points, n: points + np.array([pixels, 0])), samples)

    found = off(1).compare(off(2))
    assert found.first == pytest.approx(found.second / 2)
    assert found.to_dict()["sentence"] == found.sentence
    assert compare(off(1).to_dict(), off(2)).difference == pytest.approx(found.difference)


def test_one_model_from_two_boxes_is_told_apart():
    found = compare(result([1, 2], "dan", box="truth"), result([2, 4], "dan", box="detector"))
    assert (found.a, found.b) == ("dan (box truth)", "dan (box detector)")


def test_what_cannot_be_compared(samples):
    with pytest.raises(DataSetError, match="inter_pupil"):
        compare(result([1], "a"), result([1], "b", norm="inter_pupil"))
    with pytest.raises(DataSetError, match="'other'"):
        compare(result([1], "a"), result([1], "b", data="other"))
    with pytest.raises(DataSetError, match="no measured face"):
        compare(result([1], "a"), result([None], "b"))
    with pytest.raises(DataSetError, match="mark-up"):
        five = evaluate(Oracle(samples, markup="mtfl5"), faces(markup="mtfl5"))
        evaluate(Oracle(samples), samples).compare(five)


@pytest.mark.parametrize(
    "wrong",
    [
        {"errors": {"face0": "1"}}, {"errors": {"face0": [1]}}, {"errors": {"face0": 10**400}},
        {"errors": {"face0": float("nan")}}, {"norm": ["inter_ocular"]}, {"model": {}}, {"data": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_holds_something_else_is_refused(tmp_path, capsys, wrong):
    path = tmp_path / "found.json"
    one, other = result([1.0, 2.0], "a"), result([2.0, 3.0], "b")
    path.write_text(json.dumps({"results": [one, other]}))
    assert main(["compare", str(path)]) == 0
    capsys.readouterr()
    path.write_text(json.dumps({"results": [one | wrong, other | wrong]}))
    assert main(["compare", str(path)]) == FormatError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"meanshape: {path}: not a result of meanshape evaluate --json (")
