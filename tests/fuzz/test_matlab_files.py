"""MATLAB files that lead elsewhere, hold something else, or more than any data set has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import bounded

from meanshape.core import registry
from meanshape.core.errors import FormatError, MeanshapeError
from meanshape.datasets.parts import mat

HEAD = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
EMPTY = struct.pack("<II", 14, 0)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind: int, dims: tuple[int, ...], content: bytes, name: bytes = b"pts") -> bytes:
    about = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, about + element(1, name) + content)


def packed(data: bytes) -> bytes:
    small = zlib.compress(data)
    return struct.pack("<II", 15, len(small)) + small


NUMBERS = matrix(6, (2**22, 1), element(2, bytes(2**22)), b"")
CELLS = matrix(1, (60_000, 1), EMPTY * 60_000, b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed(matrix(1, (5, 1), NUMBERS * 5)), "numbers in a variable"),
        (matrix(1, (3, 1), CELLS * 3), "variables, cells and fields"),
        (packed(CELLS) * 3, "variables, cells and fields"),
        (matrix(6, (1,) * 33, element(9, bytes(8))), "a matrix of dimensions"),
    ],
)
def test_limits_hold_for_all_cells_together(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(HEAD + content)
    with bounded(), pytest.raises(FormatError, match=said):
        mat.load(tmp_path / "a.mat", "pts")


@pytest.mark.parametrize("cell", [np.zeros((0, 0)), np.ones((1, 1)), {"a": 1}])
def test_a_cell_that_should_be_a_text(cell: Any, tmp_path: Path) -> None:
    module = registry.dataset("helen29")
    root = module.miniature(tmp_path / "helen29")
    names, points = np.empty((1, 1), object), np.empty((1, 1), object)
    names[0, 0], points[0, 0] = cell, np.zeros((2, 29))
    mat.save(root / "helen.mat", imgs=names, Pts=points)
    with pytest.raises(FormatError, match="wanted a text in each cell of 'imgs'"):
        module.samples(root)


def put(file: Any, name: str, value: Any = None, **made: Any) -> Any:
    """Put something in the place of a variable."""
    if name in file:
        del file[name]
    if value is None:
        return file.create_dataset(name, **made)
    file[name] = value
    return file[name]


def referred(file: Any, name: str, place: tuple[int, int], target: Any) -> None:
    """Let a reference in a table say another thing."""
    table = file[name][()]
    table[place] = target.ref
    file[name][...] = table


def other(file: Any, kind: str) -> Any:
    """Return a picture whose pixels lie in another file."""
    import h5py

    folder = Path(file.filename).parent
    if kind == "raw":
        return file.create_dataset("x", (30, 30), "u1", external=[(str(folder / "secret"), 0, 900)])
    layout = h5py.VirtualLayout((30, 30), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (30, 30))
    return file.create_virtual_dataset("x", layout)


def linked(file: Any, name: str, kind: str) -> None:
    import h5py

    del file[name]
    file[name] = h5py.SoftLink(f"/{name}") if kind == "soft" else h5py.ExternalLink("other.h5", "phisTr")


def typed(file: Any, kind: str) -> None:
    import h5py

    kinds = {
        "strings": h5py.string_dtype(),
        "texts": h5py.vlen_dtype(np.uint8),
        "regions": h5py.regionref_dtype,
    }
    put(file, "IsTr", shape=(1, 2), dtype=kinds[kind])


def one_part(file: Any) -> Any:
    """Return a picture of 900 pixels in a part of a gigabyte."""
    made = file.create_dataset(
        "x", (30, 30), "u1", maxshape=(None, None), chunks=(2**15, 2**15), compression=1
    )
    made.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**20), 1))
    return made


COFW: dict[str, Callable[[Any], Any]] = {
    "labels by a link to another file": lambda file: linked(file, "phisTr", "external"),
    "labels by a link to themselves": lambda file: linked(file, "phisTr", "soft"),
    "labels that lie in another file": lambda file: put(
        file, "phisTr", shape=(87, 2), dtype="f8",
        external=[(str(Path(file.filename).parent / "secret"), 0, 87 * 16)],
    ),
    "a picture that lies in another file": lambda file: referred(file, "IsTr", (0, 0), other(file, "raw")),
    "a picture that is made of another": lambda file: referred(file, "IsTr", (0, 0), other(file, "virtual")),
    "numbers for references": lambda file: put(file, "IsTr", np.zeros((1, 2))),
    "strings for references": lambda file: typed(file, "strings"),
    "texts for references": lambda file: typed(file, "texts"),
    "regions for references": lambda file: typed(file, "regions"),
    "references to nothing": lambda file: put(file, "IsTr", shape=(1, 2), dtype=mat_reference()),
    "a picture that is a table of references": lambda file: referred(file, "IsTr", (0, 0), file["IsTr"]),
    "a picture of large numbers": lambda file: referred(
        file, "IsTr", (0, 0), file.create_dataset("x", data=np.full((9, 9), 1e300))
    ),
    "a picture in a part of a gigabyte": lambda file: referred(file, "IsTr", (0, 0), one_part(file)),
    "labels packed by a plug-in": lambda file: put(
        file, "phisTr", shape=(87, 2), dtype="f8", chunks=(87, 2), compression="lzf"
    ),
    "boxes without end": lambda file: put(file, "bboxesTr", np.full((4, 2), 1e308)),
    "too many labels": lambda file: put(
        file, "phisTr", shape=(87, 30_000), dtype="f8", chunks=(87, 100), compression=1
    ),
}  # fmt: skip


def mat_reference() -> Any:
    import h5py

    return h5py.ref_dtype


@pytest.mark.parametrize("what", COFW)
def test_cofw_files_that_hold_something_else(what: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    module = registry.dataset("cofw")
    root = module.miniature(tmp_path / "cofw")
    (root / "secret").write_bytes(b"SECRET" * 1000)
    with h5py.File(root / "other.h5", "w") as file:
        file["secret"], file["phisTr"] = np.full((30, 30), 83, np.uint8), np.zeros((87, 2))
    with h5py.File(root / "COFW_train_color.mat", "r+") as file:
        COFW[what](file)
    with bounded(megabytes=300), pytest.raises(MeanshapeError, match=r"COFW_train_color\.mat"):
        for sample in module.samples(root, "train", allow_missing=True):
            sample.pixels()


def at(file: Any, row: int, value: Any) -> None:
    """Put a value in the place of the first face's box (row 1) or points (row 3), or the photo's name (0)."""
    made = file.create_dataset("x", data=value)
    if row:
        referred(file, file[file["anno"][row, 0]].name, (0, 0), made)
    else:
        referred(file, "anno", (0, 0), made)


AFW: dict[str, Callable[[Any], Any]] = {
    f"{name} {np.shape(value)} {value!r:.12}": lambda file, row=row, value=value: at(file, row, value)
    for name, row, values in (
        ("box", 1, (5.0, np.zeros((1, 4)), np.zeros(4), np.zeros((0, 2)), np.full((2, 2), np.inf))),
        ("name", 0, (np.array([np.inf]), np.array([np.nan]), np.array([-1]), np.array([1e9]))),
        ("points", 3, (5.0, np.full((2, 6), np.inf), np.zeros((2, 7)), np.zeros((2, 6, 1)))),
    )
    for value in values
}
AFW["a link"] = lambda file: linked(file, "anno", "external")


@pytest.mark.parametrize("what", AFW)
def test_afw_files_that_hold_something_else(what: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    module = registry.dataset("afw6")
    root = module.miniature(tmp_path / "afw6")
    with h5py.File(root / "testimages" / "anno.mat", "r+") as file:
        AFW[what](file)
    with bounded(), pytest.raises(FormatError):
        module.samples(root, allow_missing=True)


@pytest.mark.parametrize("rows", [0, 100_000])
def test_afw_files_of_more_faces_than_there_are(rows: int, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    module = registry.dataset("afw6")
    root = module.miniature(tmp_path / "afw6")
    with h5py.File(root / "testimages" / "anno.mat", "r+") as file:
        table = file["anno"][()]
        if rows:
            many = file.create_dataset("x", (rows, 1), h5py.ref_dtype, chunks=(rows, 1), compression=1)
            many[...] = np.repeat(file[table[1, 0]][:1], rows, 0)
            for row in (1, 3):
                referred(file, "anno", (row, 0), many)
        else:
            put(file, "anno", shape=(4, 25_000), dtype=h5py.ref_dtype, chunks=(4, 100), compression=1)
            file["anno"][...] = np.repeat(table[:, :1], 25_000, 1)
    with bounded(), pytest.raises(FormatError, match="where 20,000 may be"):
        module.samples(root)
