"""Torch weights on disk: safetensors, matrices in half precision, everything else in single."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from meanshape.core.errors import OutputError, WeightsError


def save_state(module: nn.Module, path: Path) -> None:
    """Write the module's state."""
    state = {
        k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in module.state_dict().items()
    }
    try:
        save_file({k: v.contiguous() for k, v in state.items()}, path)
        path.chmod(0o644)  # safetensors writes for the owner alone
    except Exception as error:  # safetensors' error has no public base class
        raise OutputError(f"{path}: cannot be written ({error})") from error


def load_state(module: nn.Module, path: Path) -> set[str]:
    """Read what fits into the module and return its names.

    A state that shares no learnt weight of the same shape with the module is a `WeightsError`.
    """
    try:
        state = load_file(path)
    except Exception as error:  # safetensors' error has no public base class
        raise WeightsError(f"{path}: no torch weights to start from ({error})") from error
    own = module.state_dict()
    fitting = {k: v.float() for k, v in state.items() if k in own and own[k].shape == v.shape}
    learnt = {name for name, value in module.named_parameters() if value.ndim > 1}
    if not learnt & set(fitting):
        raise WeightsError(f"{path}: none of its weights has the shape that this configuration asks for")
    with torch.no_grad():
        for key, value in fitting.items():
            own[key].copy_(value)
    return set(fitting)
