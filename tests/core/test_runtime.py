"""Every network runs on the device that was asked for, or says why not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.core import registry, runtime, weights
from meanshape.core.errors import ConfigError, UnknownName, WeightsError
from meanshape.methods.onnx.session import OnnxSession

CUDA, CPU = "CUDAExecutionProvider", runtime.CPU
shipped = pytest.mark.skipif(
    not {"dan", "mtcnn"} <= set(weights.names()), reason="the weights of dan and mtcnn are not here"
)
Real = runtime.onnxruntime.InferenceSession


class Machine:
    """A machine with a graphics card, as far as ONNX Runtime tells: what it was asked, and what starts."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.starts = True

    def session(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        self.asked.append(providers)
        names = [one if isinstance(one, str) else one[0] for one in providers]
        if any(one[1].get("mode") for one in providers if not isinstance(one, str)):
            raise RuntimeError("Unknown option: mode")
        made = Real(path, options, providers=[CPU], enable_fallback=enable_fallback)
        made.get_providers = lambda: [*(names if self.starts else []), CPU]
        return made


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr(runtime, "available", lambda: (CUDA, CPU))
    monkeypatch.setattr(runtime.onnxruntime, "InferenceSession", made.session)
    yield made


@shipped
@pytest.mark.parametrize("options", [{"device": "cuda:1"}, {"providers": [(CUDA, {"device_id": 1})]}])
def test_every_network_of_a_pipeline_runs_on_the_device(machine: Machine, options: dict[str, Any]) -> None:
    pipeline = ms.Pipeline(**options, emotion=True, attributes=True)
    assert len(machine.asked) >= 6  # three of the detector, and three models
    assert all(providers == [(CUDA, {"device_id": 1})] for providers in machine.asked)
    assert set(pipeline.providers) == {"detector", "model", "emotion", "attributes"}


@pytest.mark.parametrize("name", weights.names())
def test_every_model_runs_on_the_device(machine: Machine, name: str) -> None:
    model = ms.load(name, device="cuda")
    model.predict(np.zeros((60, 60, 3), np.uint8), ms.Box(10, 10, 50, 50))
    assert all(providers == [CUDA] for providers in machine.asked)
    assert bool(machine.asked) == bool(model.runs_on)


@shipped
def test_what_really_ran_is_said() -> None:
    assert ms.Pipeline().providers == {"detector": (CPU,), "model": (CPU,)}
    assert ms.Pipeline("whole_image", "asm").providers == {"detector": (), "model": ()}
    if "AzureExecutionProvider" in runtime.available():  # starts, but takes none of the work
        assert ms.load("dan", providers=["AzureExecutionProvider"]).runs_on == (CPU,)


@shipped
def test_what_does_not_start_is_an_error_not_the_cpu(machine: Machine) -> None:
    machine.starts = False
    with pytest.raises(ConfigError, match=f"{CUDA} cannot be started on this machine"):
        ms.Pipeline(device="cuda")
    machine.starts = True
    with pytest.raises(ConfigError, match=r"cannot be started \(Unknown option: mode\)"):
        ms.load("dan", providers=[(CUDA, {"mode": "fast"})])


def test_a_broken_file_is_not_blamed_on_the_device(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"broken\.onnx: ONNX Runtime cannot load it"):
        OnnxSession(tmp_path / "broken.onnx", providers=[CUDA])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"providers": "CPUExecutionProvider"}, ConfigError, "a list of names"),
        ({"providers": [3]}, ConfigError, "a name, or"),
        ({"providers": [(CPU, 3)]}, ConfigError, "a name, or"),
        ({"providers": [CPU, CPU]}, ConfigError, "named twice"),
        ({"providers": [(CPU, {"arena": 1})]}, ConfigError, "takes no options, but came with arena"),
        ({"providers": ["NoProvider"]}, ConfigError, "no provider 'NoProvider', only"),
        ({"device": "openvino"}, ConfigError, "pip install onnxruntime-openvino"),
        ({"device": "cpu", "providers": [CPU]}, ConfigError, "one of the two"),
        ({"device": "cudo"}, UnknownName, "did you mean 'cuda'"),
        ({"device": "cpu:1"}, ConfigError, "or numbered such as cuda:1"),
        ({"device": "cuda:"}, ConfigError, "or numbered such as cuda:1"),
        ({"device": 0}, UnknownName, "no device is called '0'"),
        ({"device": "gpu"}, UnknownName, "no device is called 'gpu'; there are: coreml, cpu, cuda, "),
    ],
)
def test_wrong_devices_are_said(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        runtime.chosen(options.get("device"), options.get("providers"))


@shipped
def test_a_device_for_what_is_loaded_already_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"loaded already: give its device to ms\.load"):
        ms.Pipeline(model=ms.load("dan"), device="cpu")
    with pytest.raises(ConfigError, match="is made already"):
        ms.Pipeline(registry.detector("mtcnn")(), device="cpu")


@pytest.mark.parametrize("name", weights.names())
def test_models_can_be_sent_to_other_processes(name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    model = ms.load(name)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.predict(image, ms.Box(10, 10, 50, 50)) == model.predict(image, ms.Box(10, 10, 50, 50))
