"""What `meanshape doctor` finds sound, and what it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meanshape.apps.cli import doctor, main
from meanshape.core import weights
from meanshape.inference import choice

DEFAULTS = (choice.MODEL, choice.DETECTOR)
shipped = pytest.mark.skipif(
    not set(DEFAULTS) <= {*weights.names(), *weights.detector_names()},
    reason="the default weights are not here",
)


@shipped
def test_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for name in ("numpy", "onnxruntime", "pyarrow [parquet]", "threads", "providers", "self-test: detector"):
        assert name in said
    for name in weights.names():
        assert f"weights {name}" in said and f"self-test: {name}" in said
    assert "BROKEN" not in said
    assert said.count("ran on CPUExecutionProvider") + said.count("ran without ONNX Runtime") == (
        1 + len(weights.names())
    )


def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "openvino"]) == 6
    assert "no provider 'OpenVINOExecutionProvider'" in capsys.readouterr().err


@shipped
def test_points_off_the_rendered_face_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TOLERANCE", 0.01)
    assert main(["doctor"]) == 12
    assert "the self-test failed: aam, asm" in capsys.readouterr().err


@shipped
def test_weights_signed_anew_but_broken_fail_the_self_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DEFAULTS:
        shutil.copytree(weights.folder(name), tmp_path / name)
    shutil.copytree(weights.folder("cpr"), tmp_path / "cpr")
    card = weights.read_card(tmp_path / "cpr")
    broken = next(name for name in card.files if name.endswith(".npz"))
    (tmp_path / "cpr" / broken).write_bytes(b"no numbers")
    weights.write_card(tmp_path / "cpr", card, card.files)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert main(["doctor"]) == 12
    assert "the self-test failed: cpr" in capsys.readouterr().err
