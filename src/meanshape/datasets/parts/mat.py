"""MATLAB's files: version 5 by scipy, version 7.3, which is HDF5, by h5py (an optional extra)."""

from __future__ import annotations

import io
import math
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
FILTERS = (1, 2, 3)
"""HDF5's numbers of deflate, shuffle and fletcher32: what MATLAB packs arrays with, and no plug-in."""
FAULTS = (KeyError, IndexError, ValueError, TypeError, AttributeError, OSError, RuntimeError, MemoryError)
"""What h5py and NumPy raise where a version 7.3 file is not as it should be."""
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


def texts(path: Path, name: str) -> list[str]:
    """Return the texts in a cell array of a version 5 file."""
    cells = [np.ravel(cell) for cell in load(path, name).ravel()]
    if any(cell.size != 1 or not isinstance(cell[0], str) for cell in cells):
        raise FormatError(f"wanted a text in each cell of {name!r}", path=path)
    return [str(cell[0]) for cell in cells]


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
    except FAULTS as error:
        raise FormatError(f"not a MATLAB file of version 7.3: {error}", path=path) from error


def node(file: Any, key: Any) -> Any:
    """Return what a version 7.3 file holds itself under a name, or where a reference in it says.

    HDF5 follows links, soft ones and those into other files, like any name; nothing of MATLAB's is one.
    """
    import h5py

    if isinstance(key, str):
        link = file.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"it holds no variable {key!r}" if link is None else f"{key!r} is a link")
    elif type(key) is not h5py.Reference:
        raise ValueError(f"wanted a reference, got {type(key).__name__}")
    return file[key]


def array(node: Any, most: int) -> NDArray[Any]:
    """Return what an array of a version 7.3 file holds: numbers or references, `most` of them at most.

    A file of a few bytes may promise terabytes of one number, in one part that is unpacked whole.
    """
    _check(node)
    if node.size > most:
        raise ValueError(f"an array of {node.size:,} numbers, where {most:,} may be")
    return np.array(node)


def reference(node: Any, number: int) -> Any:
    """Return one reference of an array of them, by its number."""
    _check(node)
    return node[np.unravel_index(number, node.shape)]


def _check(node: Any) -> None:
    """Refuse what MATLAB writes no array as: other kinds, other filters, and what lies in other files."""
    import h5py

    size, kind = getattr(node, "size", None), getattr(getattr(node, "dtype", None), "kind", "")
    refers = kind == "O" and h5py.check_ref_dtype(node.dtype) is h5py.Reference
    if size is None or not (refers or (kind and kind in "biuf")):
        raise ValueError(f"wanted an array of numbers, got {node!r:.80}")
    plan = node.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ValueError("an array whose numbers lie in another file")
    if any(plan.get_filter(number)[0] not in FILTERS for number in range(plan.get_nfilters())):
        raise ValueError("an array that is packed as MATLAB packs none")
    if max(size, math.prod(node.chunks or ())) * node.dtype.itemsize > mat5.LARGEST:
        raise ValueError(f"an array that unpacks to more than {mat5.LARGEST:,} bytes")


def text(node: Any) -> str:
    """Return the text that MATLAB keeps as an array of character codes."""
    codes = array(node, LETTERS)
    if codes.dtype.kind != "u":
        raise ValueError("wanted a text")
    return "".join(map(chr, codes.ravel().tolist()))


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
