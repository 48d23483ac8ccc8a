"""A torch module as one ONNX file that needs no code beside it: pixels in, points out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from meanshape.methods.onnx.file import halve

OPSET = 20


class FromPixels(nn.Module):
    """Takes uint8 crops (N, H, W, 3) instead of float ones (N, 3, H, W)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixels: Tensor) -> Any:
        """The module's answer to the pixels."""
        return self.module(pixels.permute(0, 3, 1, 2).float())


def export(
    module: nn.Module,
    path: Path,
    *,
    size: tuple[int, int],
    outputs: Sequence[str],
    half: bool = True,
    metadata: dict[str, str] | None = None,
    any_size: bool = False,
) -> None:
    """Write ``module`` (crops (N, 3, H, W) in 0..255 to a list of tensors) with a uint8 input (N, H, W, 3).

    Parameters
    ----------
    size
        (width, height) of the crops.
    outputs
        Names of what the module returns, in order.
    half
        Store large weights in half precision, cast back to single in the graph and folded when it is loaded.
    any_size
        Take pictures of any size; ``size`` is that of the example, and the last axis of the outputs follows.
    """
    import onnx

    example = torch.zeros((2, size[1], size[0], 3), dtype=torch.uint8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            FromPixels(module).eval(),
            (example,),
            buffer,  # type: ignore[arg-type]  # a file object is taken, the signature forgets it
            dynamo=False,  # the newer exporter writes the same graph in thirty times the time
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=list(outputs),
            dynamic_axes={
                "pixels": {0: "batch"} | ({1: "height", 2: "width"} if any_size else {}),
                **{name: {0: "batch"} | ({2: "cells"} if any_size else {}) for name in outputs},
            },
        )
    model = onnx.load_from_string(buffer.getvalue())
    if half:
        halve(model)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
