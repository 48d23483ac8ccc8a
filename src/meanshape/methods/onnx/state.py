"""Torch weights on disk: safetensors, matrices in half precision, everything else in single; or the graph
that was made of them, read back.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from meanshape.core.errors import OutputError, WeightsError
from meanshape.core.weights import Checked
from meanshape.methods.onnx.file import SUFFIX

GRAPH, STATE, ROOT = "model.onnx", "weights.safetensors", "module."
RENAMED = {"looking.": "face_crops."}
"""Parts of networks that weights from before know under another name."""
EPSILON = 1e-5
"""What torch's batch norm adds to a variance."""


def save_state(module: nn.Module, path: Path) -> None:
    """Write the module's state."""
    state = {
        k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in module.state_dict().items()
    }
    try:
        # not save_file: that writes for the owner alone, whatever the umask says
        path.write_bytes(save({k: v.contiguous() for k, v in state.items()}))
    except Exception as error:  # safetensors' error has no public base class
        raise OutputError(f"{path}: cannot be written ({error})") from error


def start_from(module: nn.Module, folder: Path) -> set[str]:
    """Read what fits of the weights in a folder, whose files are checked first, and return its names.

    Where its card names no torch weights, its graph is read.
    """
    files = Checked(folder)
    return load_state(module, files / (STATE if STATE in files else GRAPH))


def load_state(module: nn.Module, path: Path) -> set[str]:
    """Read what fits into the module and return its names; from torch weights, or from an `.onnx` graph.

    A state that shares no learnt weight of the same shape with the module is a `WeightsError`.
    """
    own = module.state_dict()
    try:
        state = graph_state(path, own) if path.suffix == ".onnx" else load_file(path)
    except Exception as error:  # neither safetensors' errors nor onnx's have a public base class
        raise WeightsError(f"{path}: no torch weights to start from ({error})") from error
    state = {_current_name(name): value for name, value in state.items()}
    fitting = {k: v.float() for k, v in state.items() if k in own and own[k].shape == v.shape}
    learnt = {name for name, value in module.named_parameters() if value.ndim > 1}
    if not learnt & set(fitting):
        raise WeightsError(f"{path}: none of its weights has the shape that this configuration asks for")
    with torch.no_grad():
        for key, value in fitting.items():
            own[key].copy_(value)
    return set(fitting)


def _current_name(name: str) -> str:
    for before, now in RENAMED.items():
        if name.startswith(before):
            return now + name.removeprefix(before)
    return name


def graph_state(path: Path, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state that `export` made a graph of, by the names of ``own``, the module's.

    The export has put every batch norm behind a convolution into that convolution's weights: such a norm
    comes back as one that only adds the convolution's bias.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    kept = {
        weight.name.removesuffix(SUFFIX): torch.from_numpy(np.array(numpy_helper.to_array(weight)))
        for weight in graph.initializer
    }
    for node in graph.node:  # the export keeps equal weights once
        if node.op_type == "Identity" and node.input[0] in kept:
            kept[node.output[0]] = kept[node.input[0]]
    state = {name.removeprefix(ROOT): value for name, value in kept.items() if name.startswith(ROOT)}
    for node in graph.node:
        name = module_name(node.name)
        if f"{name}.weight" not in own or f"{name}.weight" in state:
            continue
        if len(node.input) < 2 or node.input[1] not in kept:  # a module of another kind stood in its place
            continue
        weight = kept[node.input[1]]
        state[f"{name}.weight"] = weight.T.contiguous() if node.op_type == "MatMul" else weight
        if node.op_type == "Conv" and f"{name}.bias" not in own:
            place, _, index = name.rpartition(".")
            norm = f"{place}.{int(index) + 1}"
            still = torch.zeros_like(kept[node.input[2]])
            state |= {f"{norm}.running_mean": still, f"{norm}.running_var": still + 1 - EPSILON}
            state |= {f"{norm}.weight": still + 1, f"{norm}.bias": kept[node.input[2]]}
    return state


def module_name(node: str) -> str:
    """The torch name of the module that a node of an exported graph belongs to.

    ``/module/joint/trunk/trunk.7/body/body.0/Conv`` is of ``joint.trunk.7.body.0``.
    """
    parts = node.strip("/").split("/")[1:-1]
    pairs = zip_longest(parts, parts[1:], fillvalue="")
    return ".".join(part for part, after in pairs if not after.startswith(f"{part}."))
