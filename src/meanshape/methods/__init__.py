"""One file per method; `load` finds a ready one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meanshape.core import registry, weights
from meanshape.core.errors import UnknownName, WeightsError, suggestion

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider
    from meanshape.methods.base import LandmarkModel


def load(
    name: str | Path,
    *,
    threads: int = 1,
    providers: Sequence[Provider] | None = None,
    device: str | None = None,
) -> LandmarkModel:
    """Return a ready model.

    Parameters
    ----------
    name : weights that came with the package ("dan"), a folder that `save` or a training run wrote, an
        `.onnx` file, or a method that needs no weights
    threads : threads of one call, for methods that run under ONNX Runtime
    providers : its execution providers, best first, each a name or (name, {option: value}); default the CPU
    device : their short form: "cpu", "cuda", "cuda:1", "coreml", "directml", "openvino" …

    Raises
    ------
    UnknownName : nothing is called so
    WeightsError : weights that are missing, damaged, or of another kind
    ConfigError : a provider that this machine does not have
    """
    if device is not None or providers is not None:
        from meanshape.core import runtime

        providers = runtime.chosen(device, providers)
    options: dict[str, Any] = {"threads": threads, "providers": providers}
    if isinstance(name, str) and name in weights.names():
        return _load(weights.folder(name), options)
    path = Path(name)
    if path.suffix == ".onnx":
        return _load_onnx(path, options)
    if path.is_dir():
        return _load(path, options)
    if str(name) in registry.names("methods"):
        method = registry.method(str(name))
        if not method.needs_weights:
            model: LandmarkModel = method()
            return model
        raise WeightsError(
            f"{name} has no weights in this package; train it (meanshape train {name} …) and load its folder"
        )
    if str(name) in registry.names("detectors"):
        raise UnknownName(f"{name} finds faces and places no points of a model; it is a detector: --detector")
    known = weights.names() or registry.names("methods")
    raise UnknownName(f"no model, folder or .onnx file is called {str(name)!r}{suggestion(name, known)}")


def _load(folder: Path, options: Mapping[str, Any]) -> LandmarkModel:
    model: LandmarkModel = registry.method(weights.read_card(folder).method).load(folder, **options)
    return model


def _load_onnx(path: Path, options: Mapping[str, Any]) -> LandmarkModel:
    """Return the model in one ONNX file that `meanshape export` wrote."""
    from meanshape.methods.onnx.exported import Exported

    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    return Exported(path, **options)
