"""`meanshape data`: what is listed, drawn, found wrong, converted."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from meanshape import formats
from meanshape.apps.cli import _figure, main
from meanshape.core import registry
from meanshape.core.errors import MarkUpError
from meanshape.core.markup import markup
from meanshape.core.types import Box, Face, Prediction, Shape
from meanshape.datasets import ibug300w, imm, mtfl, widerface
from meanshape.datasets.parts.drawing import template
from meanshape.datasets.parts.duplicates import near_pairs, perceptual_hash

DRAWN = [name for name in registry.names("markups") if markup(name).sides]


def test_list_names_all_and_imports_nothing_heavy():
    script = (
        "import sys; from meanshape.apps.cli import main; code = main(['data', 'list']);"
        "heavy = {'cv2', 'scipy', 'onnxruntime', 'torch', 'PIL', 'h5py', 'pyarrow', 'sqlite3'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in registry.names("datasets"):
        assert f" {name} " in done.stdout
    assert "train 3,148" in done.stdout and "non-commercial" in done.stdout


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_show_tells_what_people_ask(name, capsys):
    assert main(["data", "show", name]) == 0
    text = capsys.readouterr().out
    for word in ("mark-up:", "terms:", "counts:", registry.card("datasets", name)["title"]):
        assert word in text


def test_a_wrong_name_is_corrected(capsys):
    assert main(["data", "show", "ibug300"]) == 7
    assert "did you mean 'ibug300w'" in capsys.readouterr().err


@pytest.mark.parametrize("name", DRAWN)
def test_a_mark_up_is_drawn_with_every_number(name, tmp_path):
    lost = _figure.write(markup(name), tmp_path / "a.svg")
    assert lost == []
    top = ET.parse(tmp_path / "a.svg").getroot()
    numbers = [int(text.text) for text in top.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(numbers) == list(range(len(markup(name))))
    points = _figure.places(markup(name))
    mirrored = points[list(markup(name).mirror)] * (-1, 1)
    assert np.abs(points - mirrored).max() < 0.05  # a plain face is its own mirror image


def test_the_68_are_drawn_where_they_are_and_png_is_a_picture(tmp_path, capsys):
    assert np.allclose(_figure.places(markup("ibug68")), template())
    assert main(["data", "show", "ibug300w", "-o", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 500
    assert main(["data", "show", "ar", "-o", str(tmp_path / "a.png")]) == 8
    assert "not known well enough" in capsys.readouterr().err
    with pytest.raises(MarkUpError):
        _figure.places(markup("put30"))
    assert main(["data", "show", "lfw", "-o", str(tmp_path / "a.png")]) == 4
    assert main(["data", "show", "imm73", "-o", str(tmp_path / "a.gif")]) == 6


@pytest.fixture
def clean(tmp_path):
    """A copy of a set without faults."""
    root = mtfl.miniature(tmp_path / "mtfl")
    return root


def test_verify_finds_nothing_in_a_clean_copy(clean, capsys):
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0
    text = capsys.readouterr()
    assert "0 faults" in text.err and "validation" in text.out


def test_verify_finds_what_is_wrong(clean, capsys):
    (clean / "lfw_5590/face_0.jpg").unlink()
    (clean / "lfw_5590/face_1.jpg").write_bytes(b"no picture")
    text = (clean / "testing.txt").read_text("utf-8").splitlines()
    words = text[0].split()
    words[1:11] = [str(float(word) + 700) for word in words[1:11]]
    (clean / "testing.txt").write_text("\n".join([" ".join(words), *text[1:]]), "utf-8")
    assert main(["data", "verify", f"mtfl:{clean}"]) == 4
    out = capsys.readouterr().out
    for line in ("missing: lfw_5590/face_0.jpg", "corrupt: lfw_5590/face_1", "outside: AFLW/0000-image0"):
        assert line in out


def test_verify_counts_and_finds_near_duplicates(tmp_path, capsys):
    root = imm.miniature(tmp_path)
    with Image.open(root / "01_01.jpg") as picture:
        picture.resize((320, 240)).save(root / "03_01.jpg", quality=60)
    shutil.copy(root / "asf/01_01.asf", root / "asf/03_01.asf")
    assert main(["data", "verify", f"imm:{root}"]) == 4
    text = capsys.readouterr()
    assert "count: split 'all': 3 of 120 samples are here" in text.out
    assert "duplicate: 01_01 and 03_01" in text.out


def test_near_duplicates_alone_are_wrong_only_if_asked(clean):
    with Image.open(clean / "AFLW/0001-image1.jpg") as picture:
        picture.save(clean / "AFLW/0002-image2.jpg", quality=70)
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0
    assert main(["data", "verify", f"mtfl:{clean}", "--strict"]) == 4


def test_the_hash_forgives_size_and_quality_but_not_another_photo():
    rng = np.random.default_rng(0)
    one, other = (
        np.asarray(Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((180, 150)))
        for _ in range(2)
    )
    small = np.asarray(Image.fromarray(one).resize((90, 75)))
    hashes = {"one": perceptual_hash(one), "small": perceptual_hash(small), "other": perceptual_hash(other)}
    assert [pair[:2] for pair in near_pairs(hashes)] == [("one", "small")]
    assert near_pairs({"a": 5, "b": 5, "c": 4, "d": 1 << 100}) == [
        ("a", "b", 0),
        ("a", "c", 1),
        ("c", "d", 2),
        ("a", "d", 3),
    ]


@pytest.mark.parametrize("goal", ["a.csv", "a.jsonl", "a.parquet", "a.json", "a.cvat.xml", "a.xml"])
def test_a_data_set_becomes_a_file_and_comes_back(tmp_path, goal, capsys):
    root = ibug300w.miniature(tmp_path / "300w")
    assert main(["data", "convert", f"ibug300w:{root}:common", str(tmp_path / goal)]) == 0
    assert "6 faces of 6 photos written to 1 file" in capsys.readouterr().err
    samples = {s.id: s for s in ibug300w.samples(root, "common", allow_missing=True)}
    read = formats.read(tmp_path / goal)
    assert [p.source.rpartition(".")[0] for p in read] == list(samples)
    for prediction in read:
        wanted = samples[prediction.source.rpartition(".")[0]].shape.points
        assert np.abs(prediction.faces[0].shape.points - wanted).max() <= 1e-6
    back = tmp_path / "back"
    assert main(["data", "convert", str(tmp_path / goal), f"{back}/", "--to", "pts", "--into", "ibug51"]) == 0
    assert main(["data", "convert", str(back), str(tmp_path / "again.csv")]) == 0
    again = formats.read(tmp_path / "again.csv")
    assert sorted(p.source for p in again) == sorted(samples)
    assert {len(p.faces[0].shape) for p in again} == {51}


def test_convert_relative_whole_and_what_does_not_go(tmp_path, capsys):
    shape = Shape(template()[36:41] * 20 + 60.25, "mtfl5")
    formats.write(
        tmp_path / "a.jsonl", [Prediction((Face(Box(10, 10, 110, 110), shape),), (200, 200), "a.jpg")]
    )
    source = str(tmp_path / "a.jsonl")
    for goal in ("r.csv", "r.parquet"):
        assert main(["data", "convert", source, str(tmp_path / goal), "--relative"]) == 0
        (read,) = formats.read(tmp_path / goal)
        assert np.abs(read.faces[0].shape.points - shape.points).max() <= 1e-6
    assert main(["data", "convert", source, str(tmp_path / "w.xml"), "--whole"]) == 0
    assert np.array_equal(formats.read(tmp_path / "w.xml")[0].faces[0].shape.points, np.rint(shape.points))
    assert main(["data", "convert", source, str(tmp_path / "r.json"), "--relative"]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.json"), "--whole"]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.gif")]) == 5
    assert main(["data", "convert", str(tmp_path / "none"), str(tmp_path / "r.csv")]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.csv"), "--into", "ibug68"]) == 8
    assert "mtfl5 cannot become ibug68: it has no right_jaw_1" in capsys.readouterr().err


def test_boxes_without_points_are_converted_too(tmp_path):
    root = widerface.miniature(tmp_path / "wider")
    assert main(["data", "convert", f"widerface:{root}:train", str(tmp_path / "a.json")]) == 0
    read = formats.read(tmp_path / "a.json")
    assert [len(p.faces) for p in read] == [2, 1] and read[0].size == (150, 140)
    assert read[0].faces[0].box == Box(40, 30, 110, 110)
