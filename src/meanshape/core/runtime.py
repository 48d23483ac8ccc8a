"""ONNX Runtime: every session is made here, on the device that was asked for, without telemetry.

Nothing else may import `onnxruntime`; a lint rule holds this. Since 1.29 its official builds write a device
id into the user's cache and report to Microsoft as soon as they are imported. `ORT_DISABLE_TELEMETRY`
prevents both, and only if it is set before; `disable_telemetry_events` alone comes too late. A value that the
user has set stays.

ONNX Runtime passes over a provider that it cannot start and computes on the CPU. Here that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meanshape.core.errors import ConfigError, UnknownName, WeightsError
from meanshape.core.regular import read_bytes

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
    onnxruntime.disable_telemetry_events()  # for builds that report through Windows and read no variable

Provider = str | tuple[str, Mapping[str, Any]]
"""An execution provider's name, or the name and its options."""
CPU = "CPUExecutionProvider"
DEVICES = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
"""The short form: one word for a provider; `cuda:1` is its second device."""
PACKAGES = {
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu",
    "DmlExecutionProvider": "onnxruntime-directml",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx",
    "QNNExecutionProvider": "onnxruntime-qnn",
}
"""Where a provider comes from that the plain package lacks."""
ELSEWHERE = "session.model_external_initializers_file_folder_path"
"""Where files lie that a graph may name for its weights. Nobody has checked those: nothing can be there."""
NUMBERED = ("cuda", "tensorrt", "migraphx", "rocm", "directml")


def chosen(device: str | None, providers: Sequence[Provider] | None) -> tuple[Provider, ...] | None:
    """Return the providers to use, best first; None: the CPU.

    Raises `ConfigError` if both are given, or if this build of ONNX Runtime lacks one.
    """
    if device is not None and providers is not None:
        raise ConfigError("device is the short form of providers; give one of the two")
    if device is not None:
        return _checked([_provider(str(device))])
    return None if providers is None else _checked(providers)


def available() -> tuple[str, ...]:
    """Return the providers that this build of ONNX Runtime has."""
    return tuple(onnxruntime.get_available_providers())


def session(path: Path, threads: int, providers: Sequence[Provider] | None) -> Any:
    """Return a session on an ONNX file that runs on all of the providers, and the CPU where they cannot.

    Raises
    ------
    ConfigError : a provider is not there, does not start, or does not know an option
    WeightsError : the file is no graph that can be run
    """
    wanted = _checked([CPU] if providers is None else providers)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_session_config_entry(ELSEWHERE, str(path / "no other file"))
    try:
        made = _make(path, options, wanted)
    except Exception as error:  # onnxruntime's own exceptions share no base class
        if any(_name(provider) != CPU for provider in wanted) and _loads(path, options):
            names = ", ".join(map(_name, wanted))
            raise ConfigError(f"{names} cannot be started ({error})") from error
        raise WeightsError(f"{path}: ONNX Runtime cannot load it ({error})") from error
    missing = [_name(provider) for provider in wanted if _name(provider) not in made.get_providers()]
    if missing:
        raise ConfigError(
            f"{missing[0]} cannot be started on this machine: are its driver and its libraries there? "
            'device="cpu" runs without'
        )
    return made


def runs_on(made: Any) -> tuple[str, ...]:
    """Return the providers that have nodes of a session's graph to run, the busiest first."""
    nodes: dict[str, int] = {}
    for part in made.get_provider_graph_assignment_info():
        nodes[part.ep_name] = nodes.get(part.ep_name, 0) + len(part.get_nodes())
    return tuple(sorted(nodes, key=lambda name: -nodes[name]))


def quantization() -> Any:
    """Return ONNX Runtime's tools for quantising a graph."""
    from onnxruntime import quantization

    return quantization


def _provider(device: str) -> Provider:
    """Return the provider that a device's short name means."""
    name, _, number = device.partition(":")
    if name not in DEVICES:
        raise UnknownName.of("device", name, DEVICES)
    if not number and device == name:
        return DEVICES[name]
    if name not in NUMBERED or not number.isdecimal():
        raise ConfigError(f"a device is {', '.join(DEVICES)}, or numbered such as cuda:1, not {device!r}")
    return DEVICES[name], {"device_id": int(number)}


def _checked(providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Return providers that this build has, each once, or say what is wrong with them."""
    if isinstance(providers, str) or not isinstance(providers, Sequence):
        raise ConfigError(f"providers are a list of names, not {providers!r}")
    there = available()
    for provider in providers:
        pair = isinstance(provider, tuple) and len(provider) == 2 and isinstance(provider[1], Mapping)
        if not isinstance(provider, str) and not (pair and isinstance(provider[0], str)):
            raise ConfigError(f"a provider is a name, or (name, {{option: value}}), not {provider!r}")
        name = _name(provider)
        if name not in there:
            package = PACKAGES.get(name)
            how = f"; pip install {package} in place of onnxruntime" if package else ""
            raise ConfigError(f"this ONNX Runtime has no provider {name!r}, only {', '.join(there)}{how}")
        if name == CPU and not isinstance(provider, str) and provider[1]:
            raise ConfigError(f"{CPU} takes no options, but came with {', '.join(map(str, provider[1]))}")
    names = [_name(provider) for provider in providers]
    if len(set(names)) < len(names):
        raise ConfigError(f"a provider is named twice: {', '.join(names)}")
    return tuple(providers) or (CPU,)


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _make(path: Path, options: Any, providers: Sequence[Provider]) -> Any:
    """Return a session that never falls back to other providers, at its start or later."""
    plain = [one if isinstance(one, str) else (one[0], dict(one[1])) for one in providers]
    return onnxruntime.InferenceSession(read_bytes(path), options, providers=plain, enable_fallback=0)


def _loads(path: Path, options: Any) -> bool:
    """Tell whether the CPU can run a graph, so that the provider is to blame."""
    try:
        _make(path, options, [CPU])
    except Exception:
        return False
    return True


__all__ = [
    "CPU",
    "DEVICES",
    "Provider",
    "available",
    "chosen",
    "onnxruntime",
    "quantization",
    "runs_on",
    "session",
]
