"""How a trained network is run: one ONNX file through ONNX Runtime, torch nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import WeightsError

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider


class OnnxSession:
    """An ONNX graph, made once and called often; another process makes it again from its file.

    Parameters
    ----------
    path
        The file. Its half-precision weights are widened once, at load.
    threads
        Threads of one call; one is best for small networks and for many workers.
    providers
        ONNX Runtime's execution providers, the CPU's by default.
    """

    def __init__(
        self, path: str | Path, threads: int = 1, providers: Sequence[Provider] | None = None
    ) -> None:
        from meanshape.core import runtime

        self.path, self._made_of = Path(path), (str(path), threads, providers)
        self._session = runtime.session(self.path, threads, providers)
        self._only = runtime.onnxruntime.RunOptions()
        self._only.only_execute_path_to_fetches = True
        self.runs_on = runtime.runs_on(self._session)
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxSession, self._made_of

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        try:
            return dict(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:
            raise WeightsError(f"{self.path}: its metadata cannot be read ({error})") from error

    def __call__(self, inputs: Mapping[str, NDArray[Any]], *outputs: str) -> list[NDArray[np.float32]]:
        """The named outputs (all, if none is named); what leads to no other is not computed."""
        try:
            result: list[NDArray[np.float32]] = self._session.run(
                list(outputs) or None, dict(inputs), self._only
            )
        except Exception as error:
            raise WeightsError(f"{self.path}: ONNX Runtime cannot run it ({error})") from error
        return result
