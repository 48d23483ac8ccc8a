"""The measures: by hand, by an independent implementation, by their properties."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import simpson

from meanshape.core import metrics
from meanshape.core.errors import ShapeError, UnknownName
from meanshape.core.markup import markup
from meanshape.evaluation import About, Evaluation
from meanshape.evaluation.labels import accuracy, balanced_accuracy
from meanshape.evaluation.schema import read_results, versions, write_results

SCHEMA = {
    *("model", "data", "split", "count", "missed", "box", "threads", "bytes", "norm", "nme", "nme_median"),
    *("nme_interval", "points", "groups", "auc", "failure_rate", "point_failure", "accuracy"),
    *("balanced_accuracy", "by", "ms_per_face", "versions", "errors"),
}
MORE = {
    "broken", "chosen", "confidence", "detector", "markup", "providers", "seen", "slices", "unknown_labels",
}  # fmt: skip


def made(errors, lengths=100.0, kind="mtfl5", labels=None, answers=None):
    """An evaluation with these errors (N, K), the same length for every normaliser."""
    errors = np.asarray(errors, float)
    count = len(errors)
    same = np.broadcast_to(np.asarray(lengths, float), count)
    return Evaluation(
        ids=tuple(f"face{i}" for i in range(count)),
        errors=errors,
        normalisers=dict.fromkeys(metrics.NORMALISERS, same),
        markup=markup(kind),
        norm="inter_pupil",
        missed=np.zeros(count, bool),
        seconds=np.full(count, 0.002),
        labels=labels or {},
        answers=answers or {},
        about=About(model="m", versions=versions()),
    )


def test_by_hand():
    found = made([[1, 2, 3, 4, 5], [6, 6, 6, 6, 6], [20, 20, 20, 20, 20]], [100, 100, 200])
    assert found.per_face().tolist() == pytest.approx([3, 6, 10])
    assert found.nme() == pytest.approx(19 / 3)
    assert found.median() == pytest.approx(6)
    assert found.auc(8) == pytest.approx(100 * (5 / 8 + 2 / 8 + 0) / 3)
    assert found.auc(10) == pytest.approx(100 * (0.7 + 0.4) / 3)
    assert (found.failure_rate(8), found.failure_rate(10)) == (pytest.approx(100 / 3), 0)
    assert found.ced([3, 5, 10]).tolist() == pytest.approx([100 / 3, 100 / 3, 100])
    assert found.points() == pytest.approx(
        {"right_eye": 17 / 3, "left_eye": 6, "nose": 19 / 3, "right_mouth_corner": 20 / 3}
        | {"left_mouth_corner": 7}
    )
    assert found.groups()["eyes"] == pytest.approx((1.5 + 6 + 10) / 3)
    assert found.point_failure()["right_eye"] == pytest.approx(200 / 3)  # above 5 % of the width: 6 and 10
    assert found.point_failure()["left_mouth_corner"] == pytest.approx(200 / 3)  # 5 % itself is not above
    assert found.milliseconds() == pytest.approx(2)


def independent(predicted, truth, left, right):
    """NME, AUC and failure rate as the DAN authors' test script has them: loops, Simpson, step 1e-4."""
    errors = []
    for shape, true in zip(predicted, truth, strict=True):
        total = 0.0
        for (x, y), (u, v) in zip(shape, true, strict=True):
            total += ((x - u) ** 2 + (y - v) ** 2) ** 0.5
        a, b = np.mean([true[i] for i in left], 0), np.mean([true[i] for i in right], 0)
        errors.append(total / len(true) / ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)
    axis = np.arange(0, 0.08 + 0.0001, 0.0001)
    curve = [np.count_nonzero(np.array(errors) <= x) / len(errors) for x in axis]
    return np.mean(errors), simpson(curve, x=axis) / 0.08, 1 - curve[-1]


@pytest.mark.parametrize(
    ("norm", "left", "right"),
    [("inter_ocular", [45], [36]), ("inter_pupil", range(42, 48), range(36, 42))],
)
def test_agrees_with_an_independent_implementation(norm, left, right):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 200, (40, 68, 2))
    predicted = truth + rng.normal(0, 1, truth.shape) * rng.uniform(0, 8, (40, 1, 1))
    kind = markup("ibug68")
    found = Evaluation(
        ids=tuple(map(str, range(40))),
        errors=metrics.point_errors(predicted, truth),
        normalisers=metrics.normalisers(truth, kind),
        markup=kind,
        norm=norm,
        missed=np.zeros(40, bool),
        seconds=np.full(40, np.nan),
    )
    nme, area, failures = independent(predicted, truth, left, right)
    assert found.nme() == pytest.approx(100 * nme, rel=1e-12)
    assert found.auc(8) == pytest.approx(100 * area, abs=0.1)
    assert found.failure_rate(8) == pytest.approx(100 * failures, abs=1e-9)


shapes = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(st.floats(0, 30), min_size=5, max_size=5), min_size=n, max_size=n)
)


@given(shapes, st.floats(0.01, 100))
def test_bigger_pictures_change_nothing(errors, factor):
    small, big = made(errors), made(np.multiply(errors, factor), 100 * factor)
    for measure in ("nme", "median", "auc"):
        assert getattr(big, measure)() == pytest.approx(getattr(small, measure)(), rel=1e-9, abs=1e-9)
    assert big.points() == pytest.approx(small.points(), rel=1e-9, abs=1e-9)


@given(shapes, st.randoms())
def test_the_order_of_faces_does_not_matter(errors, random):
    other = list(errors)
    random.shuffle(other)
    first, second = made(errors), made(other)
    assert first.nme() == pytest.approx(second.nme(), abs=1e-9)
    assert first.median() == pytest.approx(second.median(), abs=1e-9)
    assert first.auc() == pytest.approx(second.auc(), abs=1e-9)
    assert first.failure_rate() == pytest.approx(second.failure_rate())
    assert first.point_failure() == pytest.approx(second.point_failure())


@given(shapes, st.integers(0, 4), st.floats(0, 20))
def test_a_larger_error_never_measures_better(errors, point, more):
    worse = np.array(errors)
    worse[0, point] += more
    before, after = made(errors), made(worse)
    assert after.nme() >= before.nme() - 1e-9
    assert after.auc() <= before.auc() + 1e-9
    assert after.failure_rate() >= before.failure_rate()


def test_points_and_faces_that_are_not_annotated_do_not_count():
    hole = np.nan
    found = made([[2, hole, 4, hole, hole], [hole] * 5, [5] * 5])
    assert found.nme() == pytest.approx(4)
    assert found.points()["left_eye"] == pytest.approx(5)
    plain = found.to_dict()
    assert plain["count"] == 3
    assert plain["errors"] == {"face0": pytest.approx(3), "face1": None, "face2": pytest.approx(5)}
    nothing = made([[hole] * 5]).to_dict()
    assert nothing["nme"]["inter_pupil"] is None
    assert nothing["nme_interval"] is None
    assert nothing["auc"] == {"8": None, "10": None}
    assert nothing["point_failure"]["nose"] is None


def test_the_schema(tmp_path):
    labels = {"gender": ("male", "female", None), "smile": ("smiling",) * 3}
    found = made([[1] * 5, [2] * 5, [9] * 5], labels=labels, answers={"gender": ("male", "male", "male")})
    path = tmp_path / "deep" / "result.json"
    write_results(path, [found])
    (plain,) = json.loads(path.read_text("utf-8"))["results"]
    assert set(plain) == SCHEMA | MORE
    assert read_results(path) == [plain]
    assert not list(path.parent.glob("*.part"))
    assert plain["accuracy"] == {"gender": 50}
    assert plain["balanced_accuracy"] == {"gender": 50}
    assert plain["by"] == {"gender": {"male": pytest.approx(1), "female": pytest.approx(2)}}
    assert set(plain["auc"]) == set(plain["failure_rate"]) == {"8", "10"}
    assert set(plain["nme"]) == set(metrics.NORMALISERS)
    assert plain["nme_interval"][0] <= plain["nme"]["inter_pupil"] <= plain["nme_interval"][1]
    assert {"meanshape", "numpy", "python"} <= set(plain["versions"])


def test_the_interval_is_seeded_covers_and_narrows():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(20):
        found = made(np.repeat(rng.exponential(3, (80, 1)), 5, 1))
        low, high = found.interval()
        covered += low <= 3 <= high
    assert 15 <= covered <= 20
    assert found.interval() == (low, high) != found.interval(seed=1)
    many = made(np.repeat(rng.exponential(3, (2000, 1)), 5, 1)).interval()
    assert many[1] - many[0] < (high - low) / 2


def test_accuracy_counts_no_answer_as_wrong():
    truth = ("a", "a", "a", "b", None)
    assert accuracy(truth, ("a", "a", None, "a", "b")) == pytest.approx(50)
    assert balanced_accuracy(truth, ("a", "a", None, "a", "b")) == pytest.approx(100 / 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\(1, 5\)"):
        made([[1, 2, 3]])
    with pytest.raises(ShapeError, match="of everything"):
        made([[1] * 5], labels={"gender": ()})
    with pytest.raises(UnknownName, match="inter_ocular"):
        made([[1] * 5]).nme("inter_oculr")
