"""How a trained network is run: one ONNX file through ONNX Runtime, torch nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import WeightsError


class OnnxSession:
    """An ONNX graph, made once and called often.

    Parameters
    ----------
    path
        The file. Its half-precision weights are widened once, at load.
    threads
        Threads of one call; one is best for small networks and for many workers.
    providers
        ONNX Runtime's execution providers, the CPU's by default.
    """

    def __init__(self, path: str | Path, threads: int = 1, providers: Sequence[str] | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=list(providers or ("CPUExecutionProvider",))
            )
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise WeightsError(f"{path}: ONNX Runtime cannot load it ({error})") from error
        self.path = Path(path)
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        try:
            return dict(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:
            raise WeightsError(f"{self.path}: its metadata cannot be read ({error})") from error

    def __call__(self, inputs: Mapping[str, NDArray[Any]], *outputs: str) -> list[NDArray[np.float32]]:
        """The named outputs (all, if none is named)."""
        try:
            result: list[NDArray[np.float32]] = self._session.run(list(outputs) or None, dict(inputs))
        except Exception as error:
            raise WeightsError(f"{self.path}: ONNX Runtime cannot run it ({error})") from error
        return result
