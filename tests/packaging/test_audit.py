"""What `make audit` says of reports: a package that was not asked about is no sound package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import audit

SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
WEAK = {"name": "pillow", "version": "10.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["10.3", "11.0"]}]}
OPEN = {"name": "ray", "version": "2.40", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "scipy", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([SOUND], 0, ["1 packages were asked about, none"]),
        (
            [SOUND, WEAK, OPEN],
            1,
            ["pillow 10.1: PYSEC-1, mended in 10.3, 11.0", "in no version", "2 known"],
        ),
        ([SOUND, UNKNOWN], 2, ["1 of 2 packages (scipy)", "Nothing is proved"]),
        ([WEAK, UNKNOWN], 2, ["PYSEC-1", "Nothing is proved"]),
        ([], 2, ["Nothing is proved"]),
    ],
)
def test_it_judges_a_report(packages: list[object], code: int, words: list[str]) -> None:
    found, said = audit.judge({"dependencies": packages})
    assert found == code
    assert all(word in said for word in words), said


def test_without_an_answer_it_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "resolve", lambda out, resolution: None)
    monkeypatch.setattr(audit, "ask", lambda versions, source: "no route to host")
    monkeypatch.setattr(sys, "argv", ["audit.py"])
    assert audit.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did not answer (no route to host)" in line
