"""The list of mutants does not rot: each line stands where it says, each test is there, draws repeat."""

from __future__ import annotations

import ast
from pathlib import Path

import plant
import pytest

MUTANTS = plant.read()
LEAST = 60


def test_there_are_many_of_every_method_and_none_twice() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) >= LEAST and len(set(names)) == len(names)
    methods = plant.ROOT / plant.PACKAGE / "methods"
    known = {p.stem for p in methods.iterdir() if not p.name.startswith("_") and p.suffix in ("", ".py")}
    touched = {
        mutant.file.split("/")[1].removesuffix(".py") for mutant in MUTANTS if "methods/" in mutant.file
    }
    assert touched >= known - {"base", "onnx"}
    assert {m.file.split("/")[0] for m in MUTANTS} >= {
        "training",
        "evaluation",
        "inference",
        "core",
        "detectors",
    }


@pytest.mark.parametrize("kind", ["methods", "detectors"])
def test_equations_are_computed_a_second_time(kind: str) -> None:
    """Each method and detector is imported by a file of equations, but for those that compute nothing."""
    files = [path.read_text("utf-8") for path in (plant.ROOT / "tests").rglob("test_equations_*.py")]
    known = {
        path.stem
        for path in (plant.ROOT / plant.PACKAGE / kind).iterdir()
        if not path.name.startswith("_") and path.suffix in ("", ".py")
    } - {"base", "onnx", "shared", "given", "whole_image", "mtcnn_synthetic"}
    assert len(known) >= 3
    for name in known - ({"mtcnn"} if kind == "detectors" else set()):  # that is the method of this name
        assert any(f"meanshape.{kind}.{name}" in text for text in files), name


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_planted(mutant: plant.Mutant) -> None:
    """Its line stands once in its file, what takes the line's place is Python, and its tests are there."""
    text = (plant.ROOT / plant.PACKAGE / mutant.file).read_text("utf-8")
    assert text.count(mutant.before) == 1, (
        f"{mutant.file} holds {mutant.before!r} {text.count(mutant.before)} times"
    )
    changed = plant.mutated(text, mutant)
    assert changed is not None and changed != text and mutant.why
    ast.parse(changed)
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        body = ast.parse((plant.ROOT / path).read_text("utf-8")).body
        there = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        assert not name or name in there, f"{path} has no {name}"


def test_a_draw_depends_on_the_hash_alone() -> None:
    some = plant.drawn(MUTANTS, 10, "0af3")
    assert some == plant.drawn(MUTANTS, 10, "0af3") and len({mutant.name for mutant in some}) == 10
    assert some != plant.drawn(MUTANTS, 10, "0af4")
    hashes = [f"{n:x}" for n in range(200)]
    assert {m.name for by in hashes for m in plant.drawn(MUTANTS, 10, by)} == {m.name for m in MUTANTS}


def made(folder: Path, test: str, before: str = "return 1") -> plant.Outcome:
    """Plant a fault in a package of one line, with one test."""
    source = folder / plant.PACKAGE
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("", "utf-8")
    (source / "one.py").write_text("def one():\n    return 1\n", "utf-8")
    (folder / "test_one.py").write_text(f"from meanshape.one import one\n\n{test}\n", "utf-8")
    return plant.plant(plant.Mutant("one", "one.py", before, "return 2", ("test_one.py",), "why"), folder)


@pytest.mark.parametrize(
    ("test", "before", "fate"),
    [
        ("def test_it():\n    assert one() == 1", "return 1", "killed"),
        ("def test_it():\n    assert one()", "return 1", "survived"),
        ("def test_it():\n    assert one() == 1", "return 3", "stale"),
        ("import pytest\n\npytest.skip('no torch', allow_module_level=True)", "return 1", "broken"),
    ],
)
def test_what_becomes_of_a_mutant(tmp_path: Path, test: str, before: str, fate: str) -> None:
    assert made(tmp_path, test, before).fate == fate
    if fate != "stale":
        assert (tmp_path / plant.PACKAGE / "one.py").read_text("utf-8").endswith("return 1\n")
