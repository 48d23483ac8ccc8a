"""Named arrays in groups, kept in one .npz file without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import WeightsError, writing
from meanshape.core.files import replacing
from meanshape.core.regular import open_regular

Group = dict[str, NDArray[Any]]


def save(path: Path, groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Write groups of arrays."""
    flat = {f"{group}.{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
    write: Any = np.savez  # whose own options could, for all a type checker knows, be among the names
    with writing(path), replacing(path) as file:
        write(file, **flat)


def load(path: Path) -> dict[str, Group]:
    """Return the groups that `save` wrote: of finite numbers, else a `WeightsError`."""
    groups: dict[str, Group] = {}
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            for key in file.files:
                group, _, name = key.rpartition(".")
                groups.setdefault(group, {})[name] = file[key]
    except Exception as error:  # zip files and NumPy's headers break in many ways
        raise WeightsError(f"{path}: not a file of arrays ({error})") from error
    for group, found in groups.items():
        for name, array in found.items():
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                raise WeightsError(f"{path}: wanted finite numbers, but not all of {group}.{name} are some")
    return groups


def load_points(path: Path, count: int) -> NDArray[np.float64]:
    """Return the points (count, 2) in a .npy file."""
    try:
        with open_regular(path) as opened:
            points: NDArray[np.float64] = np.asarray(np.load(opened, allow_pickle=False), np.float64)
    except Exception as error:
        raise WeightsError(f"{path}: not a file of points ({error})") from error
    if points.shape != (count, 2) or not np.isfinite(points).all():
        raise WeightsError(f"{path}: wanted points ({count}, 2), got {points.shape}")
    return points
