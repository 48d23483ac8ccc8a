"""Annotation files of every data set, broken in every way, read from its miniature."""

import io
import re
import shutil
import sqlite3
import tracemalloc

import numpy as np
import pytest
from hostile import cuts, flips, read_all
from PIL import Image

from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import FormatError
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets import load_data, parse_data
from meanshape.datasets.parts.files import PHOTOS
from meanshape.formats import jsonl

SETS = [name for name in registry.names("datasets") if name != "synthetic"]
BINARY = {".mat", ".sqlite", ".avi", ".npz"}


@pytest.fixture(scope="module", params=SETS)
def made(request, tmp_path_factory):
    module = registry.dataset(request.param)
    return module, module.miniature(tmp_path_factory.mktemp("hostile") / request.param)


def annotations(root):
    """Everything in a copy that is no picture, the first two of each folder and suffix."""
    seen = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix.lower() not in PHOTOS:
            seen.setdefault((path.parent, path.suffix), []).append(path)
    return [path for many in seen.values() for path in many[:2]][:4]


def rewritten(path, read):
    """Return what reads a copy with other bytes in one of its files."""

    def with_bytes(data):
        path.write_bytes(data)
        return read()

    return with_bytes


def test_labels_cut_off_or_changed(made):
    module, root = made
    for path in annotations(root):
        whole, few = path.read_bytes(), path.suffix in BINARY
        many = [whole, b"", b"\xff\xfe\0", *cuts(whole, 20 if few else 30), *flips(whole, 16)]
        try:
            read = rewritten(path, lambda: module.samples(root, allow_missing=True))
            assert read_all(read, [whole]) == 1
            read_all(read, many)
        finally:
            path.write_bytes(whole)


WORDS = (
    "",
    "nan",
    "-1",
    "1e999",
    "9" * 5000,
    "²",
    "x" * 300,
    "é\0",
    "../../../etc/passwd",
    "0",
    '"',
    ";",
    "\ud800",
)


def test_labels_with_another_word_in_some_places(made):
    module, root = made
    for path in annotations(root):
        if path.suffix in BINARY:
            continue
        whole = path.read_bytes()
        parts = whole.decode("utf-8", "replace").replace(",", " , ").split(" ")
        places = sorted({0, 1, len(parts) // 3, len(parts) // 2, len(parts) - 1})
        many = [[*parts[:place], word, *parts[place + 1 :]] for place in places for word in WORDS]
        texts = [" ".join(words).replace(" , ", ",") for words in many]
        try:
            read = rewritten(path, lambda: module.samples(root, allow_missing=True))
            read_all(read, (text.encode("utf-8", "surrogatepass") for text in texts))
        finally:
            path.write_bytes(whole)


def test_what_is_broken_is_told_and_not_raised(made):
    """`verify` lists what is wrong, whatever it is."""
    module, root = made
    for path in annotations(root)[:3]:
        whole = path.read_bytes()
        try:
            read = rewritten(path, lambda: module.verify(root))
            assert read_all(read, [b"", whole[: len(whole) // 2], b"\0" * 50]) == 3
        finally:
            path.write_bytes(whole)


def test_labels_that_are_folders(made):
    module, root = made
    path = annotations(root)
    if not path:
        pytest.skip("this set has no label files")
    whole = path[0].read_bytes()
    path[0].unlink()
    path[0].mkdir()
    try:
        read_all(lambda _: module.samples(root, allow_missing=True), [None])
    finally:
        path[0].rmdir()
        path[0].write_bytes(whole)


def test_rendered_faces_with_broken_labels(tmp_path):
    module = registry.dataset("synthetic")
    root = module.miniature(tmp_path / "made")
    for path in annotations(root):
        whole = path.read_bytes()
        read = rewritten(path, lambda: module.samples(root, allow_missing=True))
        read_all(
            read, [*cuts(whole, 60), *flips(whole, 60), b"[]", b"[" * 100_000, b'{"a/b": 3}', b'{"../x": {}}']
        )
        path.write_bytes(whole)


@pytest.mark.parametrize("value", ["x", None, b"\0", 1e308, -(2**60)])
def test_a_database_with_other_kinds_of_values(value, tmp_path):
    """SQLite lets any value stand in any column."""
    module = registry.dataset("aflw")
    root = module.miniature(tmp_path / "aflw")
    tables = {
        "FaceRect": "xywh",
        "FacePose": ("roll", "yaw"),
        "FeatureCoords": ("feature_id", "x"),
        "FaceImages": ("filepath",),
    }
    for table, columns in tables.items():
        for column in columns:
            with sqlite3.connect(root / "data" / "aflw.sqlite") as database:
                database.execute(f"UPDATE {table} SET {column} = ?", (value,))
            database.close()
            read_all(lambda _: module.samples(root, allow_missing=True), [(table, column)])


def test_matlab_files_with_other_variables(tmp_path):
    from scipy.io import savemat

    for name in SETS:
        module = registry.dataset(name)
        root = module.miniature(tmp_path / name)
        for path in [path for path in annotations(root) if path.suffix == ".mat"]:
            whole = path.read_bytes()
            if not whole.startswith(b"MATLAB 5.0"):
                continue
            from scipy.io import whosmat

            names = [row[0] for row in whosmat(path)]
            cell = np.empty((1, 2), object)
            cell[:] = "x"
            for value in (
                np.zeros((0, 0)),
                np.zeros((3, 3, 3)),
                "text",
                cell,
                np.full((2, 29), np.nan),
                {"a": 1},
            ):
                savemat(path, dict.fromkeys(names, value))
                read_all(lambda _, m=module, r=root: m.samples(r, allow_missing=True), [name])
            path.write_bytes(whole)


def test_a_picture_of_another_kind_under_every_name(made):
    """A label may belong to a picture that is none: told when it is opened."""
    module, root = made
    pictures = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in PHOTOS][:2]
    samples = {str(sample.image): sample for sample in module.samples(root)}
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG")
    for path in pictures:
        whole = path.read_bytes()
        for data in (b"", whole[: len(whole) // 2], small.getvalue()):
            path.write_bytes(data)
            read_all(lambda _: module.samples(root, allow_missing=True), [path.name])
            if str(path) in samples:
                read_all(lambda sample: sample.pixels(), [samples[str(path)]])
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "text", ["", ":", "a", "ibug300w:", "mtfl:\0:train", "folder:" + "x" * 9999, "synthetic:-3"]
)
def test_data_arguments(text):
    assert read_all(parse_data, [text]) <= 1
    assert read_all(load_data, [text]) == 0


@pytest.mark.parametrize("text", ["synthetic:" + "9" * 5000, "synthetic:1e9", "synthetic:²", "synthetic:-3"])
def test_numbers_of_rendered_faces(text):
    assert read_all(load_data, [text]) == 0


def _with_box(root, name, numbers):
    """Give the first face of a miniature another box (left, top, right or width, bottom or height)."""
    table, words, which = BOXES[name]
    path = next(root.rglob(table))
    lines = path.read_text("utf-8").splitlines()
    rows = [re.split("[ ,]+", line) for line in lines]
    number = next(n for n, row in enumerate(rows) if len(row) > words and row[which][:1].isdecimal())
    cells = re.split("([ ,]+)", lines[number])
    cells[2 * which : 2 * which + 8 : 2] = numbers
    lines[number] = "".join(cells)
    path.write_text("\n".join(lines), "utf-8")
    return f"{path}, line {number + 1}: a box"


BOXES = {
    "wflw": ("*rect_attr*train.txt", 200, 196),
    "widerface": ("*train*gt.txt", 4, 0),
    "celeba": ("list_bbox*", 4, 1),
    "affectnet": ("training.csv", 8, 1),
    "cnn_facepoint": ("train*.txt", 14, 1),
}


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("numbers", [("1e308",) * 4, ("-1e308", "-1e308", "1e308", "1e308")])
def test_a_box_too_large_to_compute_with_is_told_with_its_line(name, numbers, tmp_path):
    module = registry.dataset(name)
    root = module.miniature(tmp_path / name)
    where = _with_box(root, name, numbers if name != "cnn_facepoint" else ("-1e308", "1e308") * 2)
    with pytest.raises(FormatError, match=re.escape(where)):
        module.samples(root, allow_missing=True)
    assert [problem.kind for problem in module.verify(root)].count("label") == 1


@pytest.mark.parametrize(
    ("name", "table", "text"),
    [
        ("webmorph", "canada_info.csv", f"face_id,face_age,face_gender\n003f,19,{'f' * 200_000}\n"),
        ("webmorph", "canada_info.csv", 'face_id,face_age\n"003f,19\n' + "x\n" * 100_000),
        ("fer2013", "fer2013.csv", f"emotion,pixels,Usage\n-1,{'1 ' * 2304},Training\n"),
        ("fer2013", "fer2013.csv", f"emotion,pixels,Usage\n7,{'1 ' * 2304},Training\n"),
    ],
)
def test_tables_with_cells_that_cannot_be(name, table, text, tmp_path):
    module = registry.dataset(name)
    root = tmp_path / name
    if name == "webmorph":
        module.miniature(root)
    root.mkdir(exist_ok=True)
    (root / table).write_text(text, "utf-8")
    with pytest.raises(FormatError, match=re.escape(table)):
        module.samples(root, allow_missing=True)


def test_an_age_that_no_number_of_years_is_is_none(tmp_path):
    module = registry.dataset("webmorph")
    root = module.miniature(tmp_path / "webmorph")
    whole = {sample.id for sample in module.samples(root) if sample.attributes.get("age") == 19}
    (root / "canada_info.csv").write_text(f"face_id,face_age,face_gender\n003f,{'9' * 5000},female\n")
    told = [sample.attributes for sample in module.samples(root) if sample.id in whole]
    assert whole and all(said["gender"] == "female" and "age" not in said for said in told)


@pytest.mark.parametrize("root", ["²", "1@²", "9" * 5000, "0"])
def test_what_is_no_number_of_rendered_faces_is_a_fault(root):
    (problem,) = registry.dataset("synthetic").verify(root)
    assert "wanted COUNT" in problem.message


def test_points_that_fall_together_are_told_with_their_photo(tmp_path):
    module = registry.dataset("folder")
    Image.new("RGB", (60, 60)).save(tmp_path / "a.png")
    line = Prediction(
        (Face(Box(1, 1, 9, 9), Shape(np.full((68, 2), 30.0), "ibug68")),), (60, 60), "a.png", "m"
    )
    (tmp_path / "labels.jsonl").write_text(jsonl.render(line) + "\n")
    with pytest.raises(FormatError, match=r"labels\.jsonl: a: a box needs left < right"):
        module.samples(tmp_path)
    assert "label" in {problem.kind for problem in module.verify(tmp_path)}


@pytest.mark.parametrize(("name", "table"), [("imm", "*.asf"), ("bioid", "BioID_0000.eye")])
def test_lines_that_nobody_asked_for_take_little_memory(name, table, tmp_path):
    """The words of each would be a hundred times as large as the file."""
    module = registry.dataset(name)
    root = module.miniature(tmp_path / name)
    shutil.rmtree(root / "points_20", ignore_errors=True)
    path = sorted(root.rglob(table))[0]
    path.write_text(path.read_text("utf-8").rstrip("\n") + "\n1" * 200_000, "utf-8")
    tracemalloc.start()
    try:
        module.samples(root, allow_missing=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6
