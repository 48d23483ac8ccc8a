"""Runs that are killed, and disks without room: the short form of benchmarks/faults.py."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KILLS = 3

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are killed as forks")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """Return what runs some jobs of the script, in a process of its own: forks want no other threads."""

    def of(*names: str) -> dict[str, dict[str, int]]:
        file = tmp_path_factory.mktemp("faults") / "found.json"
        only = [word for name in names for word in ("--only", name)]
        words = [sys.executable, str(BENCHMARKS / "faults.py"), "--kills", str(KILLS), "--no-disk", *only]
        done = subprocess.run([*words, "--json", str(file)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, dict[str, int]] = json.loads(file.read_text("utf-8"))
        return found

    return of


def test_detect_killed_and_resumed_comes_to_the_same(run):
    found = run("detect-jsonl", "detect-csv", "detect-parquet", "detect-pts")
    assert all(one["kills"] == KILLS and one["runs that ended as undisturbed"] for one in found.values())


def test_a_benchmark_killed_and_started_again_comes_to_the_same(run):
    assert run("benchmark")["benchmark"]["kills"] == KILLS


def test_a_training_killed_and_resumed_comes_to_the_same_weights(run):
    pytest.importorskip("torch")
    assert run("train")["train"]["kills"] == KILLS


def test_no_correction_that_was_answered_is_lost(run):
    pytest.importorskip("uvicorn")
    assert run("annotate")["annotate"]["kills"] == KILLS


def unshared() -> bool:
    """Tell whether this system gives a process a file system of its own."""
    try:
        words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not unshared(), reason="unshare -rm is not to be had here")
def test_a_full_disk_and_a_read_only_folder_are_told_in_a_sentence():
    words = ["unshare", "-rm", sys.executable, str(BENCHMARKS / "faults_disk.py"), "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert sum(one.get("code") == 15 for one in found.values()) >= 10
    for name, one in found.items():
        if one.get("code"):
            assert len(one["said"]) == 1 and one["said"][0].startswith("meanshape: "), f"{name}: {one}"


def test_the_scripts_can_be_imported():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        for name in ("faults", "faults_disk"):
            spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
            assert spec is not None and spec.loader is not None
            made: ModuleType = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made)
    finally:
        sys.path.remove(str(BENCHMARKS))
