"""Small files that would take gigabytes or minutes, or never end: each is refused in a process of its own
with 1 GB of memory and 10 seconds of a processor.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import bounded

from meanshape.core import config, registry, weights
from meanshape.core import markup as markups
from meanshape.core.errors import MarkUpError, MeanshapeError
from meanshape.detectors.given import Given
from meanshape.evaluation import benchmark, schema
from meanshape.evaluation.benchmark import Grid
from meanshape.formats import FORMATS, read
from meanshape.inference import shards
from meanshape.inference.clip import Clip
from meanshape.methods.shared import arrays
from meanshape.training import run_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")

ALONE = """
import os, resource, sys
from meanshape.core.errors import MarkUpError, MeanshapeError
{read}
for path in sys.argv[1:]:
    sys.stdout.flush()
    if child := os.fork():
        state = os.waitpid(child, 0)[1]
        if state:
            print(f"{{path}}: ended with {{os.waitstatus_to_exitcode(state)}}")
        continue
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    try:
        read(path)
        print(f"{{path}}: was read")
    except MeanshapeError as error:
        assert len(str(error)) < 6000, "a message of that length"
    sys.stdout.flush()
    os._exit(0)
"""


def refused(read: str, *files: Path) -> None:
    """Read each file in a process of its own; an error of the tree must come of it."""
    code = ALONE.format(read=read)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr[-3000:]


def test_xml(tmp_path: Path) -> None:
    texts = {
        "nested": "<a>" * 1_700_000,
        "flat": "<a/>" * 1_200_000,
        "texts": "<a>b</a>" * 700_000,
        "nested labels": '<image file="a.jpg">' * 100_000,
    }
    files = []
    for root in ("dataset", "annotations"):
        for name, text in texts.items():
            files.append(tmp_path / f"{root} {name}.xml")
            files[-1].write_text(f"<{root}>{text}", "utf-8")
    refused("from meanshape.formats import read", *files)


def test_toml(tmp_path: Path) -> None:
    long = {
        "keys": ".".join("a" * 80_000) + " = 1",
        "tables": "[" + ".".join("a" * 80_000) + "]",
        "quoted": '."a" . b' * 20_000 + " = 1",
        "inline": "a = {" + ".".join("b" * 80_000) + " = 1}",
        "megabytes": "#" * 2_000_000,
        "number": "name = 0x" + "f" * 200_000,
        "deep": "a = " + "[" * 200_000,
    }
    files = []
    for name, text in long.items():
        (tmp_path / name).mkdir()
        files.append(tmp_path / name / "card.toml")
        files[-1].write_text(text, "utf-8")
    refused(
        """
from pathlib import Path
from meanshape.core import config, markup, registry, weights
from meanshape.evaluation.benchmark import Grid
kind = registry.method("cpr").Config
readers = [lambda p: config.load(kind, p), markup.load_markup, Grid.read]
def read(path):
    for one in readers:
        try:
            one(path)
        except MeanshapeError:
            continue
        sys.exit("was read")
    weights.verify(Path(path).parent)
""",
        *files,
    )


def parquet_files(folder: Path) -> list[Path]:
    """Write a few kilobytes that hold millions of values each."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from meanshape.formats.parquet import _schema

    def write(name: str, rows: int, **columns: Any) -> Path:
        made = {f.name: columns.get(f.name, arrow.nulls(rows, f.type)) for f in _schema(arrow)}
        parquet.write_table(arrow.table(made), folder / name, compression="zstd", row_group_size=10**8)
        return folder / name

    def one_list(values: np.ndarray) -> Any:
        return arrow.ListArray.from_arrays(arrow.array([0, len(values)], arrow.int32()), arrow.array(values))

    numbers = one_list(np.zeros(20_000_000))
    letters = arrow.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["a" * 10_000_000])
    json_ = json.dumps({"attributes": {f"a{n}": "x" for n in range(60)}})
    some = arrow.DictionaryArray.from_arrays(np.zeros(50_000, np.int32), [json_])
    return [
        write("list.parquet", 1, x=numbers, y=numbers, face=arrow.array([0])),
        write("booleans.parquet", 1, visible=one_list(np.zeros(40_000_000, bool)), face=arrow.array([0])),
        write("rows.parquet", 5_000_000),
        write("text.parquet", 20_000, source=letters),
        write("more.parquet", 50_000, more=some, face=arrow.array(np.arange(50_000))),
    ]


def test_parquet(tmp_path: Path) -> None:
    files = parquet_files(tmp_path)
    assert max(path.stat().st_size for path in files) < 400_000
    refused("from meanshape.formats import read", *files)


def test_what_a_parquet_file_says_of_itself(tmp_path: Path) -> None:
    """Its description and its pages' headers may lie, contradict themselves or never end."""
    from meanshape.formats import thrift

    pages = [
        b"\x19\xf9" + b"\xff" * 8 + b"\x01",  # a list of lists without end
        b"\x19\xf7" + b"\xff" * 8 + b"\x01",  # of numbers
        b"\x1c" * 100_000,  # structures in structures
        b"\x15\x02\x05\x02\x04",  # one field twice
        b"\x18\xff\xff\xff\xff\x07",
        b"",
    ]
    for data in pages:
        with bounded(), pytest.raises(MeanshapeError):
            thrift.struct(data)
    path = tmp_path / "a.parquet"
    for data in pages:
        path.write_bytes(b"PAR1" + data + struct.pack("<I", len(data)) + b"PAR1")
        with bounded(), pytest.raises(MeanshapeError):
            read(path)


SQL = {
    "endless": """CREATE VIEW FeatureCoords AS WITH RECURSIVE n(face_id) AS
        (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT face_id, 1 AS feature_id, 2 AS x, 3 AS y FROM n""",
    "crossed": """CREATE VIEW FeatureCoords AS SELECT a.face_id, 1 AS feature_id, 2 AS x, 3 AS y
        FROM Faces a, Faces b, Faces c, Faces d""",
    "large": "CREATE TABLE FeatureCoords (face_id, feature_id AS (hex(zeroblob(30000000))), x, y)",
    "grown": f"""CREATE TABLE FeatureCoords (face_id, a DEFAULT '{"x" * 900}', b AS (a||a||a||a||a||a||a||a),
        c AS (b||b||b||b||b||b||b||b), feature_id AS (c||c||c||c||c||c||c||c), x, y)""",
    "function": """CREATE VIEW FeatureCoords AS SELECT face_id, randomblob(900000) AS feature_id, 2 AS x,
        3 AS y FROM Faces ORDER BY feature_id""",
}


def test_sqlite(tmp_path: Path) -> None:
    files = []
    for name, statement in SQL.items():
        root = registry.dataset("aflw").miniature(tmp_path / name)
        files.append(root)
        with closing(sqlite3.connect(root / "data" / "aflw.sqlite")) as database, database:
            database.execute("DROP TABLE FeatureCoords")
            database.execute(statement)
            rows = [(n, f"image{n % 3:05d}.jpg", "aflw") for n in range(3000)]
            database.executemany("INSERT INTO Faces VALUES (?, ?, ?)", rows)
            if "TABLE" in statement:
                some = [row[:1] for row in rows[: 3 if name == "large" else 300]]
                database.executemany("INSERT INTO FeatureCoords (face_id) VALUES (?)", some)
    refused(
        "from meanshape.core import registry\nread = registry.dataset('aflw').samples",
        *files,
    )


def mat5_file(path: Path, kind: int, content: bytes, count: int) -> Path:
    """Write a variable `pts` that packs well: `count` numbers or cells, which `content` holds."""

    def element(number: int, data: bytes) -> bytes:
        return struct.pack("<II", number, len(data)) + data + bytes(-len(data) % 8)

    matrix = (
        element(6, struct.pack("<II", kind, 0))
        + element(5, struct.pack("<ii", count, 1))
        + element(1, b"pts")
        + content
    )
    packed = zlib.compress(element(14, matrix))
    head = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
    path.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    return path


def test_matlab(tmp_path: Path) -> None:
    cells, numbers = 5_000_000, 60_000_000
    files = [
        mat5_file(tmp_path / "cells.mat", 1, struct.pack("<II", 14, 0) * cells, cells),
        mat5_file(tmp_path / "numbers.mat", 6, struct.pack("<II", 2, numbers) + bytes(numbers), numbers),
    ]
    refused(
        "from pathlib import Path\nfrom meanshape.datasets.parts import mat\n"
        "def read(path): mat.points(Path(path), 'pts', (68,))",
        *files,
    )
    h5py = pytest.importorskip("h5py")
    for name in ("afw6", "cofw"):
        root = registry.dataset(name).miniature(tmp_path / name)
        path = next(root.rglob("*.mat"))
        with h5py.File(path, "r+") as file:
            key = next(key for key in file if key != "#refs#")
            del file[key]
            file.create_dataset(key, (40_000, 50_000), "f8", compression="gzip", chunks=(1000, 1000))
        refused(f"from meanshape.core import registry\nread = registry.dataset('{name}').samples", root)


def test_text_that_takes_the_square_of_its_length(tmp_path: Path) -> None:
    files = {
        "a.pts": "n_points:" + " " * 300_000 + "5" + " " * 300_000 + "x\n",
        "b.pts": "a" + ": " * 300_000 + "\n",
        "a.json": json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
                "categories": [{"id": 1, "name": "a", "keypoints": ["x"] * 200_000}],
                "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, 1, 2, 2, 1, 2] * 2}] * 9000
                + [{"image_id": 1, "category_id": 1, "keypoints": [1]}],
            }
        ),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    refused("from meanshape.formats import read", *(tmp_path / name for name in files))
    put = registry.dataset("put").miniature(tmp_path / "put")
    label = next((put / "landmarks").iterdir())
    label.write_text("x: 1" + " " * 300_000 + "2\n", "utf-8")
    refused("from meanshape.core import registry\nread = registry.dataset('put').samples", put)


def run_again(path: Path) -> None:
    """Go on with an unfinished run."""
    (path.parent / "frames-0.npz").touch()
    run_folder.begin(path.parent, {})


def readers(folder: Path) -> dict[str, tuple[str, Callable[[Path], Any]]]:
    """Every file that a person names, or that lies in a folder which a person names, and what reads it."""
    kind = registry.method("cpr").Config
    made = {f"labels as {form}": (f"a.{form}", lambda path, f=form: read(path, form=f)) for form in FORMATS}
    return made | {
        "labels by what is in them": ("a.xml", read),
        "boxes": ("boxes.csv", Given.from_file),
        "a card": (weights.CARD, lambda path: weights.read_card(path.parent)),
        "a config": ("config.toml", lambda path: config.load(kind, path)),
        "a mark-up": ("own.toml", markups.load_markup),
        "a grid": ("grid.toml", Grid.read),
        "results": ("result.json", schema.read_results),
        "arrays": ("a.npz", arrays.load),
        "points": ("a.npy", lambda path: arrays.load_points(path, 5)),
        "a cell of a benchmark": ("cell.json", benchmark.read_cell),
        "the note of a shard": ("a.jsonl.shard", lambda path: shards.missing([path.with_suffix("")])),
        "what a run was asked for": (run_folder.RECORD, run_again),
        "a video": ("a.mp4", Clip),
        "a hash": ("a.onnx", weights.sha256),
    }


@pytest.mark.parametrize("target", ["a pipe", "/dev/zero", "/dev/tty", "a folder"])
@pytest.mark.parametrize("what", readers(Path()))
def test_what_is_no_regular_file(what: str, target: str, tmp_path: Path) -> None:
    name, reader = readers(tmp_path)[what]
    path = tmp_path / name
    if target == "a pipe":
        os.mkfifo(path)
    elif target == "a folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    with bounded(), pytest.raises(MeanshapeError) as error:
        reader(path)
    assert str(path) in str(error.value)


def test_a_mark_up_beside_labels_that_is_no_regular_file(tmp_path: Path) -> None:
    """Whatever lies beside labels under the name of a TOML file: what is none of ours does not matter."""
    folder = registry.dataset("folder")
    root = folder.miniature(tmp_path / "own")
    count = len(folder.samples(root))
    os.mkfifo(root / "a.toml")
    (root / "b.toml").symlink_to("/dev/zero")
    with bounded():
        assert len(folder.samples(root)) == count
    (root / "c.toml").write_text("#" * 2_000_000, "utf-8")
    with bounded(), pytest.raises(MarkUpError, match="larger than"):
        folder.samples(root)


def test_a_photo_without_a_suffix_that_is_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("source,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\na,1,2,3,4,5,6,7,8,9,10\n")
    os.mkfifo(tmp_path / "a.photo")
    with bounded(), pytest.raises(MeanshapeError):
        registry.dataset("folder").samples(tmp_path)


@pytest.mark.parametrize("name", ["config.toml", "markup.toml", "mean.npz"])
def test_a_pipe_in_a_folder_of_weights(name: str, model_folder: Path, tmp_path: Path) -> None:
    """It is not on the card, which names regular files alone, and so never opened."""
    import shutil

    import meanshape as ms

    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    card = weights.read_card(folder)
    (folder / name).unlink(missing_ok=True)
    weights.write_card(folder, card, set(card.files) - {name})
    os.mkfifo(folder / name)
    # A model of a shipped mark-up has none of its own, so this one is not even looked at.
    wrong = nullcontext() if name == "markup.toml" else pytest.raises(MeanshapeError)
    with bounded(), wrong:
        ms.load(folder)
