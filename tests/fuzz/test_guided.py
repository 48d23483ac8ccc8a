"""The fuzzer that looks which lines it reaches, for a few hundred steps from sound files."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris is not installed here")

SCRIPT = Path(__file__).with_name("guided.py")


@pytest.mark.parametrize("target", ["pictures", "labels", "settings", "models", "bodies"])
def test_a_few_hundred_steps(target, tmp_path):
    words = [
        sys.executable,
        str(SCRIPT),
        target,
        "--runs",
        "400",
        "--seconds",
        "60",
        "--corpus",
        str(tmp_path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    steps = int(done.stderr.partition("stat::number_of_executed_units:")[2].split()[0])
    assert steps >= 400
    reached = [int(line.split("cov: ")[1].split()[0]) for line in done.stderr.splitlines() if "cov: " in line]
    assert reached[-1] > 50, "the readers are not watched"
