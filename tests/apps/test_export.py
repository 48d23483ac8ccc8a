"""One ONNX file instead of a model: the same points, with the crop inside or not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, MissingExtra, OutputError, WeightsError
from meanshape.core.image import warp
from meanshape.core.sample import Sample
from meanshape.datasets.synthetic import face
from meanshape.methods.base import LandmarkModel, exportable
from meanshape.methods.mean_shape import MeanShape
from meanshape.methods.onnx import portable
from meanshape.methods.onnx.crop_graph import crop_model
from meanshape.methods.onnx.graph import Graph

pytest.importorskip("onnx")
NETWORKS = [n for n in weights.names() if weights.read_card(weights.folder(n)).method in exportable()]


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [face(seed, 160, occlusion=0) for seed in range(8)]


def apart(one: LandmarkModel, other: LandmarkModel, faces: list[Sample]) -> float:
    """The largest mean distance of two models' points on a face, in percent of the box."""
    gaps = []
    for sample in faces:
        difference = (
            one.predict(sample.image, sample.box).points - other.predict(sample.image, sample.box).points
        )
        gaps.append(100 * np.hypot(*difference.T).mean() / sample.box.size)
    return max(gaps)


@pytest.mark.parametrize("numbers", ["fp32", "fp16"])
def test_floats_answer_as_the_model(tmp_path: Path, faces: list[Sample], numbers: portable.Numbers) -> None:
    model, path = ms.load("dan"), tmp_path / "dan.onnx"
    portable.write(model, path, numbers=numbers)
    assert apart(model, ms.load(path), faces) < 1e-3


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    model = ms.load("dan")
    portable.write(model, tmp_path / "wide.onnx")
    portable.write(model, tmp_path / "half.onnx", numbers="fp16")
    assert (tmp_path / "half.onnx").stat().st_size < 0.55 * (tmp_path / "wide.onnx").stat().st_size


def test_crop_inside_answers_as_the_model(tmp_path: Path, faces: list[Sample]) -> None:
    model, path = ms.load("dan"), tmp_path / "dan.onnx"
    told = portable.write(model, path, with_crop=True)
    assert told["input"] == "picture and box"
    assert apart(model, ms.load(path), faces) < 0.2


def test_eight_bits_lose_little(tmp_path: Path, faces: list[Sample]) -> None:
    model, path = ms.load("dan"), tmp_path / "dan.onnx"
    graph = model.graph()
    crops = [warp(sample.pixels(), graph.matrix(sample.box), graph.size) for sample in faces]
    portable.write(model, path, numbers="int8", crops=crops)
    assert 0 < apart(model, ms.load(path), faces) < 2
    assert path.stat().st_size < 0.5 * 7.9e6


def test_no_cpu_overflows_on_eight_bits(tmp_path: Path, faces: list[Sample]) -> None:
    """Without VNNI two products of 8 bits are added up in 16: weights of 7 bits leave room for that."""
    import onnx
    from onnx.numpy_helper import to_array

    model, path = ms.load("tcdcn"), tmp_path / "tcdcn.onnx"
    graph = model.graph()
    crops = [warp(sample.pixels(), graph.matrix(sample.box), graph.size) for sample in faces]
    portable.write(model, path, numbers="int8", crops=crops)
    small = [to_array(one) for one in onnx.load(str(path)).graph.initializer if one.data_type == 3]
    assert any(one.ndim == 4 for one in small)
    assert all(np.abs(one.astype(int)).max() <= 64 for one in small if one.ndim == 4)


def test_crop_graph_cuts_what_the_program_cuts() -> None:
    """A dot is found at its place, to a tenth of a pixel of the crop."""
    from meanshape.core.runtime import onnxruntime as ort

    graph = Graph.about(Path("none.onnx"), "points", 32, 1.5)
    session = ort.InferenceSession(
        crop_model(graph, 20, 9).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    image = np.zeros((150, 200, 3), np.uint8)
    image[70:75, 120:125] = 255  # its middle is (122, 72)
    box = Box(80, 40, 160, 110)
    pixels, zoom, back = session.run(None, {"image": image, "box": np.array(box.as_list(), np.float32)})
    weight = pixels[0, :, :, 0].astype(float)
    found = np.array([(weight.sum(0) @ np.arange(32)), (weight.sum(1) @ np.arange(32))]) / weight.sum()
    assert back + zoom * (found + 0.5) == pytest.approx([122, 72], abs=0.1 * float(zoom[0]))


def test_crop_graph_reflects_beyond_the_picture() -> None:
    from meanshape.core.runtime import onnxruntime as ort

    graph = Graph.about(Path("none.onnx"), "points", 24, 1.0)
    session = ort.InferenceSession(
        crop_model(graph, 20, 9).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    box = Box(-12.5, -12.5, 11.5, 11.5)
    pixels = session.run(["pixels"], {"image": image, "box": np.array(box.as_list(), np.float32)})[0][0]
    assert np.array_equal(pixels[12:, 12:], image)
    assert np.array_equal(pixels[:12, 12:], image[::-1])
    assert np.array_equal(pixels[12:, :12], image[:, ::-1])


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    told = portable.write(ms.load("dan"), tmp_path / "dan.onnx")
    assert told["markup"] == "ibug68" and told["method"] == "dan"
    assert told["licence"].startswith("research only")
    assert len(told["sha256"]) == 64 and len(told["points"].split(",")) == 68
    import onnx

    kept = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "dan.onnx")).metadata_props}
    assert kept == told


@pytest.mark.parametrize("name", ["dan", "tcnn", "integral"])
def test_command_measures_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Also where the mark-up of model and faces are two, whichever becomes the other."""
    path = tmp_path / f"{name}.onnx"
    assert main(["export", name, "-o", str(path), "--fp16", "--limit", "4"]) == 0
    assert "error of the file" in capsys.readouterr().err and path.is_file()


def test_what_can_be_exported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(weights.folder("cpr"))
    assert main(["export", run, "-o", str(tmp_path / "cpr.onnx")]) == 6
    said = capsys.readouterr().err
    assert "cpr runs no single ONNX graph" in said
    for name in said.partition("exported: ")[2].strip().split(", "):
        if name in weights.names():
            assert ms.load(name).graph().path.is_file()
    assert {"dan", "tcnn"} <= set(exportable()) and not {"cpr", "asm", "mtcnn"} & set(exportable())


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no single ONNX graph"):
        portable.write(MeanShape().fit([face(1, 64)]), tmp_path / "x.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        portable.write(ms.load("dan"), tmp_path / "file" / "x.onnx")
    portable.write(ms.load("dan"), tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="cannot learn"):
        ms.load(tmp_path / "x.onnx").fit([face(1, 64)])
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(WeightsError, match=r"bad\.onnx"):
        ms.load(tmp_path / "bad.onnx")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_exported(tmp_path: Path, faces: list[Sample], name: str) -> None:
    """Its graph takes the crop that the method takes, whatever the proportions of the box."""
    model, path = ms.load(name), tmp_path / "x.onnx"
    portable.write(model, path)
    wide = [replace(sample, box=sample.box.scaled(1.1, 0.9)) for sample in faces[:3] if sample.box]
    assert apart(model, ms.load(path), wide) < 0.05


def test_shipped_models_are_exported_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "safetensors", "sklearn", "numba"):
        monkeypatch.setitem(sys.modules, module, None)
    assert portable.write(ms.load("dan"), tmp_path / "dan.onnx")["markup"] == "ibug68"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"meanshape\[export\]"):
        portable.write(ms.load("dan"), tmp_path / "dan.onnx")


@pytest.mark.parametrize(
    "answer", [np.full((1, 68, 2), b"x", object), np.zeros(0, np.float32), np.zeros((1, 68, 2), np.int32)]
)
def test_a_file_that_answers_something_else_is_refused(tmp_path: Path, answer: np.ndarray) -> None:
    import onnx

    portable.write(ms.load("dan"), path := tmp_path / "odd.onnx")
    net = onnx.load(path)
    constant = onnx.numpy_helper.from_array(answer, "said")
    net.graph.ClearField("node"), net.graph.ClearField("initializer"), net.graph.ClearField("output")
    net.graph.initializer.append(constant)
    net.graph.node.append(onnx.helper.make_node("Identity", ["said"], ["points"]))
    net.graph.output.append(onnx.helper.make_tensor_value_info("points", constant.data_type, answer.shape))
    onnx.save(net, path)
    with pytest.raises(WeightsError, match="answers no points"):
        ms.load(path).predict(face(0, 96).image)
