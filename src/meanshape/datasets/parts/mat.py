"""MATLAB's files: version 5 by scipy, version 7.3, which is HDF5, by h5py (an optional extra)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import FormatError, MissingExtra
from meanshape.core.regular import open_regular, read_bytes
from meanshape.datasets.parts import mat5

LETTERS = 4096
"""Of the name of a photo."""
ORIGIN = 1.0
"""MATLAB calls the centre of the top-left pixel (1, 1)."""


def load(path: Path, name: str) -> NDArray[Any]:
    """Return a variable of a version 5 file."""
    from scipy.io import loadmat

    try:
        content = read_bytes(path)
        mat5.check(content)
        values = loadmat(io.BytesIO(content), variable_names=[name])
    except Exception as error:  # scipy raises what it likes
        raise FormatError(f"not a MATLAB file of version 5: {error}", path=path) from error
    if name not in values:
        raise FormatError(f"it holds no variable {name!r}", path=path)
    return np.asarray(values[name])


def points(path: Path, name: str, counts: Iterable[int]) -> NDArray[np.float64]:
    """Return points (K, 2) of a version 5 file, 0-based; `counts` are the K there may be."""
    counts = tuple(counts)
    array = load(path, name)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != 2 or len(array) not in counts:
        wanted = " or ".join(map(str, counts))
        raise FormatError(f"wanted {wanted} points (K, 2) in {name!r}, got {array.shape}", path=path)
    return array.astype(np.float64) - ORIGIN


def save(path: Path, **values: Any) -> None:
    """Write a version 5 file."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(str(path), values)


def h5(path: Path, mode: str = "r") -> Any:
    """Open a version 7.3 file; arrays in it have their axes in the opposite order."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra.of("mat73", f"{path.name}, a MATLAB file of version 7.3,") from None
    try:
        if mode == "r":
            open_regular(path).close()
        return h5py.File(path, mode)
    except OSError as error:
        raise FormatError(f"not a MATLAB file of version 7.3: {error}", path=path) from error


def array(node: Any, most: int) -> NDArray[Any]:
    """Return what an array of a version 7.3 file holds: numbers or references, `most` of them at most.

    A file of a few bytes may promise terabytes of one number.
    """
    size, kind = getattr(node, "size", None), getattr(getattr(node, "dtype", None), "kind", "")
    if size is None or kind not in "biufO" or not kind:
        raise ValueError(f"wanted an array of numbers, got {node!r:.80}")
    if size > most:
        raise ValueError(f"an array of {size:,} numbers, where {most:,} may be")
    return np.array(node)


def text(node: Any) -> str:
    """Return the text that MATLAB keeps as an array of character codes."""
    return "".join(chr(int(code)) for code in array(node, LETTERS).ravel())


def write_cells(file: Any, name: str, rows: Iterable[Iterable[Any]]) -> None:
    """Write a cell array as MATLAB does: references, here (rows, columns), to arrays in `#refs#`.

    A list among the values becomes a cell array of its own, (n, 1).
    """
    import h5py

    refs = file.require_group("#refs#")

    def put(value: Any) -> Any:
        key = str(len(refs))
        if isinstance(value, list):
            target = refs.create_dataset(key, (0 if not value else len(value), 1), dtype=h5py.ref_dtype)
            target[:, 0] = [put(part) for part in value]
        else:
            codes = [ord(letter) for letter in value] if isinstance(value, str) else value
            kind = np.uint16 if isinstance(value, str) else None
            array = np.asarray(codes, kind)
            target = refs.create_dataset(key, data=array[:, None] if isinstance(value, str) else array)
        return target.ref

    table = [[put(value) for value in row] for row in rows]
    target = file.create_dataset(name, (len(table), len(table[0])), dtype=h5py.ref_dtype)
    for number, row in enumerate(table):
        target[number, :] = row
