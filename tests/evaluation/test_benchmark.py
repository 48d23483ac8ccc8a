"""The benchmark: every cell once, again only when weights change, and a report of what was measured."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from meanshape.apps.cli import main
from meanshape.core.errors import ConfigError, FormatError
from meanshape.datasets.synthetic import write
from meanshape.evaluation import benchmark
from meanshape.evaluation.report import to_html, to_markdown

pytest.importorskip("matplotlib")


@pytest.fixture
def faces(inside: Path) -> Path:
    return write(inside / "faces", 8, 64)


@pytest.fixture
def grid(faces: Path, model_folder: Path) -> benchmark.Grid:
    return benchmark.Grid((str(model_folder),), (f"synthetic:{faces}",), threads=(1, 2))


def test_what_cannot_be_drawn_is_said_before_anything_is_measured(
    faces: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("meanshape.evaluation.plots.find_spec", lambda name: None)
    assert main(["benchmark", "--model", str(model_folder), "--data", f"synthetic:{faces}"]) == 13
    assert capsys.readouterr().err.splitlines() == [
        "meanshape: Drawing plots needs an optional part: pip install 'meanshape[plot]'"
    ]
    assert not Path("report").exists()


def test_cells_are_measured_once(grid: benchmark.Grid, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = benchmark.run(grid, inside / "report", "abc")
    assert [record["cell"]["threads"] for record in first] == [1, 2]
    assert all(record["result"]["count"] == 8 and record["commit"] == "abc" for record in first)

    def never(*arguments: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(benchmark, "measure", never)
    assert benchmark.run(grid, inside / "report") == first
    with pytest.raises(AssertionError, match="measured again"):  # one more face: another cell
        benchmark.run(benchmark.Grid(grid.models, grid.data, limit=4), inside / "report")


def test_a_run_that_was_stopped_goes_on(
    grid: benchmark.Grid, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, seen = benchmark.measure, []

    def stops(cell: benchmark.Cell, *rest: Any) -> dict[str, Any]:
        seen.append(cell.threads)
        if cell.threads == 2 and len(seen) == 2:
            raise KeyboardInterrupt
        return measure(cell, *rest)

    monkeypatch.setattr(benchmark, "measure", stops)
    with pytest.raises(KeyboardInterrupt):
        benchmark.run(grid, inside / "report")
    assert len(benchmark.run(grid, inside / "report")) == 2
    assert seen == [1, 2, 2]


def test_new_weights_are_measured_anew(grid: benchmark.Grid, inside: Path, model_folder: Path) -> None:
    (cell, _) = grid.cells()
    before = cell.path(inside)
    card = model_folder / "card.toml"
    text = card.read_text()
    card.write_text(re.sub(r'= "[0-9a-f]{8}', '= "00000000', text, count=1))
    assert cell.path(inside) != before
    card.write_text(text)
    assert cell.path(inside) == before


def test_worst_cases_hold_points_and_no_photo(grid: benchmark.Grid, inside: Path) -> None:
    record = benchmark.run(grid, inside / "report")[0]
    errors = [case["error"] for case in record["worst"]]
    assert len(errors) == 6 and errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(max(record["result"]["errors"].values()), abs=1e-3)
    assert set(record["worst"][0]) == {"id", "error", "true", "predicted"}


def test_report_needs_nothing_beside_it(grid: benchmark.Grid, inside: Path) -> None:
    records = benchmark.run(grid, inside / "report", "abc")
    page = to_html(records)
    assert page.count("<svg") >= 8 and "abc" in page and len(page) < 3e6
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page) and "<script" not in page
    private = to_html(records, lambda data, number: [[[9, 9, 9]] * 4] * 4)
    assert private.count("<image") == page.count("<image") + 2 * len(records[0]["worst"])
    table = to_markdown(records)
    assert f"{records[0]['result']['nme']['inter_ocular']:.2f}" in table
    hostile = {**records[0], "result": {**records[0]["result"], "model": "<script>x</script>"}}
    assert "<script" not in to_markdown([hostile]) + to_html([hostile])


def test_command_writes_the_report(faces: Path, model_folder: Path, inside: Path, capsys: Any) -> None:
    (inside / "b.toml").write_text(f'models = ["{model_folder}"]\ndata = ["synthetic:{faces}"]\nlimit = 5\n')
    assert main(["benchmark", "b.toml", "--report", "out"]) == 0
    assert "5 faces" in capsys.readouterr().out
    assert (inside / "out" / "report.html").stat().st_size > 10_000
    assert len(list((inside / "out" / "cells").glob("*.json"))) == 1
    found = json.loads(next((inside / "out" / "cells").glob("*.json")).read_text())
    assert str(inside) not in json.dumps(found["cell"]["data"])


def test_what_is_wrong_is_said(inside: Path) -> None:
    for text, said in (
        ("data = []", "needs data"),
        ('data = ["x:y"]\nboxes = ["true"]', "truth"),
        ('data = ["x:y"]\nmodls = []', "models"),
    ):
        (inside / "b.toml").write_text(text)
        with pytest.raises(ConfigError, match=said):
            benchmark.Grid.read(inside / "b.toml")
    with pytest.raises(FormatError, match="cannot be read"):
        benchmark.Grid.read(inside / "none.toml")
    assert main(["benchmark", "b.toml", "--data", "x:y"]) not in (0, 1)


def test_cells_of_others_are_reported_too(
    faces: Path, inside: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["benchmark", "--model", str(model_folder), "--data", f"synthetic:{faces}", "--report"]
    assert main([*asked, str(inside / "ours")]) == 0
    (cell,) = (inside / "ours" / "cells").glob("*.json")
    record = json.loads(cell.read_text("utf-8"))
    record["result"]["model"], record["note"], record["version"] = "a_peer", "has seen these", "2.0"
    (inside / "peers").mkdir()
    (inside / "peers" / "peer.json").write_text(json.dumps(record), "utf-8")
    assert main([*asked, str(inside / "both"), "--with", str(inside / "peers")]) == 0
    shown = capsys.readouterr().out
    assert "| a_peer |" in shown and "a_peer 2.0: has seen these." in shown
    assert "has seen these" in (inside / "both" / "report.html").read_text("utf-8")
    assert main([*asked, str(inside / "none"), "--with", str(inside)]) != 0


def test_photos_outside_the_data_are_not_in_the_report(
    faces: Path, model_folder: Path, inside: Path, capsys: Any
) -> None:
    (inside / "mine").mkdir()
    for name in ("0", "1", "2"):
        photo = sorted(faces.rglob("*.png"))[int(name)]
        (inside / f"mine/{name}.png").write_bytes(photo.read_bytes())
        (inside / f"mine/{name}.pts").write_bytes(photo.with_suffix(".pts").read_bytes())
    (inside / "private").mkdir()
    (inside / "mine/1.png").rename(inside / "private/1.png")
    (inside / "mine/1.png").symlink_to(inside / "private/1.png")

    def pictures(*more: str) -> int:
        words = ["--model", str(model_folder), "--data", "folder:mine", "--report", "report", *more]
        assert main(["benchmark", *words]) == 0
        return (inside / "report/report.html").read_text().count("<image ")

    plots = pictures()
    assert pictures("--with-photos") == plots + 2 and "outside" in capsys.readouterr().err
    (inside / "mine/2.png").write_bytes(b"no picture")
    assert pictures("--with-photos") == plots + 1


def test_a_link_that_takes_a_photo_s_place_meanwhile_is_not_followed(
    faces: Path, model_folder: Path, inside: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = sorted(faces.rglob("*.png"))[0]
    for folder in ("mine", "private"):
        (inside / folder).mkdir()
        (inside / folder / "0.png").write_bytes(photo.read_bytes())
    (inside / "mine/0.pts").write_bytes(photo.with_suffix(".pts").read_bytes())
    resolved = os.path.realpath

    def swapping(path: Any, **options: Any) -> str:
        found = resolved(path, **options)
        if found == str(inside / "mine/0.png"):  # between the look at where it lies and the reading
            Path(found).unlink()
            Path(found).symlink_to(inside / "private/0.png")
        return found

    words = ["--model", str(model_folder), "--data", "folder:mine", "--report", "report"]
    assert main(["benchmark", *words]) == 0
    report = inside / "report/report.html"
    plots = report.read_text("utf-8").count("<image ")
    monkeypatch.setattr(os.path, "realpath", swapping)
    assert main(["benchmark", *words, "--with-photos"]) == 0
    assert (inside / "mine/0.png").is_symlink()
    assert report.read_text("utf-8").count("<image ") == plots
    assert "a link, which is not followed" in capsys.readouterr().err


@pytest.mark.parametrize("planted", ["cells", "the cell", "report.html", "report.md"])
def test_no_link_in_the_folder_of_a_report_is_followed(
    faces: Path, model_folder: Path, inside: Path, planted: str, capsys: Any
) -> None:
    asked = ["benchmark", "--model", str(model_folder), "--data", f"synthetic:{faces}", "--report", "report"]
    (cell,) = benchmark.Grid((str(model_folder),), (f"synthetic:{faces}",)).cells()
    elsewhere, path = inside / "elsewhere", cell.path(inside / "report")
    elsewhere.mkdir()
    (inside / "report").mkdir()
    if planted == "cells":
        path.parent.symlink_to(elsewhere)
    elif planted == "the cell":
        path.parent.mkdir()
        (elsewhere / "cell").write_text("{}")
        path.symlink_to(elsewhere / "cell")
    else:
        (inside / "report" / planted).symlink_to(elsewhere / "page")
    if planted.startswith("report"):
        assert main(asked) == 0 and (inside / "report" / planted).is_file()
        assert not (inside / "report" / planted).is_symlink()
    else:
        assert main(asked) == FormatError.exit_code
        assert "a link, which is not followed" in capsys.readouterr().err
    assert [(file.name, file.read_text()) for file in elsewhere.iterdir()] == (
        [("cell", "{}")] if planted == "the cell" else []
    )


def test_a_report_in_a_folder_that_is_a_link_is_wanted(faces: Path, model_folder: Path, inside: Path) -> None:
    (inside / "real").mkdir()
    (inside / "report").symlink_to("real")
    asked = ["benchmark", "--model", str(model_folder), "--data", f"synthetic:{faces}", "--report", "report"]
    assert main(asked) == 0 == main(asked)
    assert len(list((inside / "real/cells").iterdir())) == 1 and (inside / "real/report.md").is_file()


def test_no_link_among_cells_that_were_measured_elsewhere_is_followed(inside: Path) -> None:
    (inside / "cells").mkdir()
    (inside / "secret").write_text("{}")
    (inside / "cells" / "a.json").symlink_to(inside / "secret")
    (path,) = benchmark.cells_in(inside / "cells")
    with pytest.raises(FormatError, match=r"a link, which is not followed"):
        benchmark.read_cell(path)


HOSTILE = {
    "no table": lambda record: [record],
    "no cell": lambda record: {key: record[key] for key in ("result", "worst")},
    "a cell that says nothing": lambda record: {**record, "cell": {}},
    "neither result nor why": lambda record: {"cell": record["cell"]},
    "threads that are a text": lambda record: {**record, "cell": {**record["cell"], "threads": "1"}},
    "a machine that is a list": lambda record: {**record, "machine": [1]},
    "no points drawn": lambda record: {**record, "worst": [{"id": "a", "error": 1, "true": []}]},
    "points of three": lambda record: {
        **record,
        "worst": [{"id": "a", "error": 1, "true": [[1, 2, 3]] * 68, "predicted": None}],
    },
    "half a point": lambda record: {
        **record,
        "worst": [{"id": "a", "error": 1, "true": [[1, None]] * 68, "predicted": None}],
    },
}
HOSTILE |= {
    f"{key} {str(value)[:12]}": lambda record, key=key, value=value: {
        **record,
        "result": {**record["result"], key: value},
    }
    for key, value in (
        ("nme", 1), ("nme", {"inter_ocular": "1"}), ("nme", {"inter_ocular": 10**400}), ("norm", []),
        ("nme_interval", [1]), ("markup", "none"), ("markup", {}), ("points", {"a": 1}), ("bytes", "1"),
        ("errors", [1]), ("errors", {"a": float("nan")}), ("auc", {}), ("by", {"a": 1}), ("groups", None),
        ("groups", {str(number): 1 for number in range(1001)}), ("ms_per_face", True), ("model", None),
        ("confidence", {"predicted": [1], "observed": [], "ece": 1}), ("confidence", 1), ("count", 1.5),
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("measured")
    grid = benchmark.Grid((str(model_folder),), (f"synthetic:{write(folder / 'faces', 3, 64)}",))
    return benchmark.run(grid, folder / "report")[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "too many lists or tables in one another"),
        (b'{"cell": ' + b"1" * 5000 + b"}", "a number of more digits than can be read"),
        (b'{"cell": "\xff"}', "not a text in UTF-8"),
    ],
)
def test_a_cell_that_cannot_be_read_is_told_in_words(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_bytes(content)
    with pytest.raises(FormatError, match=rf"not a cell of a benchmark \({said}\); remove it"):
        benchmark.read_cell(tmp_path / "cell.json")


@pytest.mark.parametrize("what", HOSTILE)
def test_a_cell_that_holds_something_else_is_refused(
    what: str, measured: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(measured))
    assert benchmark.read_cell(path) == measured
    path.write_text(json.dumps(HOSTILE[what](measured)))
    with pytest.raises(FormatError, match="not a cell of a benchmark"):
        benchmark.read_cell(path)


def test_names_with_dollars_are_no_formulas(measured: dict[str, Any]) -> None:
    name = r"$\frac$ of $x$"
    result = measured["result"] | {"model": name}
    page = to_html([{**measured, "result": result}])
    assert page.count(f">{name}</text>") >= 2  # in the curves, beside its speed
