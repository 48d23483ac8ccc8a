"""Workflows call targets of the Makefile, so that what runs there can be run here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_every_step_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert {path.name for path in WORKFLOWS} == {"test.yml", "release.yml"}
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        for command in re.findall(r"^\s*-? run: (.+)$", text, re.M):
            target = re.fullmatch(r"make (\S+|\$\{\{ matrix\.target \}\}) PYTHON=python[\d.]*", command)
            assert target, f"{path.name}: {command}"
            matrix = re.search(r"target: \[(.*)\]", text)
            named = matrix[1].split(", ") if matrix and "$" in command else [target[1]]
            assert set(named) <= targets


def test_all_pythons_of_the_package_are_tested_on_three_systems() -> None:
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    listed = re.search(r"python: \[(.*)\]", text)
    assert listed is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stated = [one.rpartition(" ")[2] for one in project["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert re.findall(r"3\.\d+", listed[1]) == stated
    assert "os: [ubuntu-latest, macos-latest, windows-latest]" in text
