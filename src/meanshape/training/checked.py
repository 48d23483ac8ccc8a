"""What a checkpoint holds, checked against the run that goes on: somebody else may have put it there.

Everything here raises `ValueError`; `loop.of_this_run` says of which file.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

STEPS = 2**40
"""More steps than any run has."""


def check_stored(file: BinaryIO) -> None:
    """Refuse an archive that unpacks to more than it is: torch and NumPy pack nothing that we write."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    size, unpacked = file.seek(0, 2), sum(part.file_size for part in parts)
    file.seek(0)
    if unpacked > size:
        raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}")


def whole(state: Mapping[str, Any], key: str) -> int:
    """Return a count."""
    value = state[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= STEPS:
        raise ValueError(f"its {key} is {_said(value)}")
    return value


def number(state: Mapping[str, Any], key: str) -> float:
    """Return a finite number."""
    value = state[key]
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"its {key} is {_said(value)}")
    return float(value)


def seconds(state: Mapping[str, Any]) -> float:
    """Return how long a run has learnt."""
    if (value := number(state, "seconds")) < 0:
        raise ValueError(f"its seconds are {value}")
    return value


def figures(state: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of the best validation; {}: there was none."""
    found = state["best"]
    if not isinstance(found, dict) or (found and "error" not in found):
        raise ValueError("its best has no error")
    return {str(key): number(found, key) for key in found}


def tensors(found: Any, own: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return tensors that are like those of the run, by name: of the same kind and shape, and finite."""
    if not isinstance(found, Mapping) or found.keys() != own.keys():
        raise ValueError(f"its {what} has other tensors")
    return {key: _like(found[key], value, f"{what}'s {key}") for key, value in own.items()}


def of_optimiser(found: Any, own: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of an optimiser of Adam's kind, with the settings of the run, which decide."""
    now = own.state_dict()
    parameters = [one for group in own.param_groups for one in group["params"]]
    if not isinstance(found, Mapping) or not isinstance(found["state"], Mapping):
        raise ValueError("its optimiser has no state")
    groups = found["param_groups"]
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError("its optimiser has no groups")
    if [group.get("params") for group in groups] != [group["params"] for group in now["param_groups"]]:
        raise ValueError("its optimiser has other parameters")
    state = {}
    for index, moments in found["state"].items():
        if not isinstance(index, int) or not 0 <= index < len(parameters):
            raise ValueError("its optimiser has other parameters")
        like = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameters[index]) | {"step": torch.zeros(())}
        state[index] = tensors(moments, like, f"optimiser's state {index}")
    return {"state": state, "param_groups": now["param_groups"]}


def of_schedule(found: Any, own: Any) -> dict[str, Any]:
    """Return the state of a schedule of rates, if it is made of the same plain values as its own."""
    now = own.state_dict()
    if not isinstance(found, Mapping) or found.keys() != now.keys():
        raise ValueError("its schedule is another one")
    same = all(_same_kind(found[key], value) for key, value in now.items())
    if not same or not 0 <= found.get("last_epoch", 0) <= STEPS:
        raise ValueError("its schedule is another one")
    return dict(found)


def _like(found: Any, own: Tensor, what: str) -> Tensor:
    if not isinstance(found, Tensor) or found.shape != own.shape or found.dtype != own.dtype:
        raise ValueError(f"its {what} is another tensor")
    held = found.layout == torch.strided and found.device.type != "meta"
    if not held or found.untyped_storage().nbytes() < found.numel() * found.element_size():
        raise ValueError(f"its {what} is not held in the file")
    if found.is_floating_point() and not bool(torch.isfinite(found).all()):
        raise ValueError(f"its {what} is not finite")
    return found


def _said(value: Any) -> str:
    """Return what a message says of a value; a list in a list in a list has no end when it is written."""
    return f"{value!r:.40}" if isinstance(value, float | int) else f"of the kind {type(value).__name__}"


def _same_kind(found: Any, own: Any) -> bool:
    if isinstance(own, list):
        return isinstance(found, list) and len(found) == len(own) and all(map(_same_kind, found, own))
    if isinstance(own, float | int) and not isinstance(own, bool):
        return isinstance(found, float | int) and not isinstance(found, bool) and math.isfinite(found)
    return type(found) is type(own)
